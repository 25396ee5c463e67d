"""What a recorded step keeps: what the models said, and the numbers that came of it.

Beside `rollouts/step_N.jsonl`, whose lines have the fields of `fields_of`, stands `rollouts/step_N.safetensors`. Its
tensors are named PROCESS/TIME/NAME/COUNT: the process that trained on them, "before" the updates or "update_U", what it
is, and which one of its kind (micro-batches in order). What a model said of a batch is there at its action tokens
alone, in reading order; a loss is one float64. The header has what else the losses depend on, see `Circumstances`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..engine.batching import Batch
from ..lesson import Lesson

BEFORE = "before"


@dataclass(frozen=True)
class Circumstances:
    """On what a step's numbers depend beside its trajectories.

    Attributes:
        kl_coef: Weight of the divergence in this step.
        processes: That trained on it.
        device: Where the losses were computed: the name of the accelerator, or the instructions of the processor.
        threads: That torch added numbers up with.
        torch: Its version.
        packed: How tokens of micro-batches were counted, see `Batch.spans`.
    """

    kl_coef: float
    processes: int
    device: str
    threads: int
    torch: str
    packed: bool = False  # of records from before rows were packed

    @property
    def machine(self) -> str:
        return f"{self.device}, torch {self.torch}"


def circumstances(kl_coef: float, processes: int, device: torch.device, packed: bool) -> Circumstances:
    """As they are in this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    where = f"{device.type} {name}"
    return Circumstances(kl_coef, processes, where, torch.get_num_threads(), torch.__version__, packed)


class Recording:
    """A listener that keeps everything.

    Attributes:
        around: On what the numbers depend beside.
        tensors: By TIME/NAME/COUNT.
        about: The trajectories that a loss is of, by its name.
        trainer_logprobs: Of trajectories by index, of their trained action tokens as of before the first update.
    """

    def __init__(self, around: Circumstances) -> None:
        self.around = around
        self.tensors: dict[str, Tensor] = {}
        self.about: dict[str, tuple[int, ...]] = {}
        self.trainer_logprobs: dict[int, list[float]] = {}
        self._time = BEFORE
        self._counts: Counter[str] = Counter()
        self._last: tuple[int, ...] = ()

    def update(self, number: int) -> None:
        self._time = f"update_{number}"

    def said(self, name: str, batch: Batch, values: Tensor) -> None:
        mask = batch.action_mask.to(values.device)
        flat = values.detach() if values.dim() == 1 else values.detach()[mask]
        self.tensors[self._named(name)] = flat.cpu().clone()
        self._last = tuple(dict.fromkeys(batch.trajectory.tolist()))
        # With several updates the trainer is asked before the first; with one, what it says there is the same.
        if name == "old_logprobs" or (name == "logprobs" and f"{BEFORE}/old_logprobs/0" not in self.tensors):
            for row, owner in enumerate(batch.trajectory.tolist()):
                told = values.detach()[row][mask[row]].tolist()
                self.trainer_logprobs.setdefault(owner, []).extend(told)

    def lost(self, name: str, value: float) -> None:
        named = self._named(name)
        self.tensors[named] = torch.tensor(value, dtype=torch.float64)
        self.about[named] = self._last

    @property
    def share(self) -> tuple[dict[str, Tensor], dict[int, list[float]]]:
        """What other processes are given of it."""
        return self.tensors, self.trainer_logprobs

    def _named(self, name: str) -> str:
        kind = f"{self._time}/{name}"
        self._counts[kind] += 1
        return f"{kind}/{self._counts[kind] - 1}"


def fields_of(lesson: Lesson, trainer_logprobs: Mapping[int, Sequence[float]]) -> list[dict[str, Any]]:
    """What is recorded of each trajectory beside itself.

    group             whose siblings it is compared with
    scored            its score after terms, penalties and scaling
    terms             what was added to the environment's return, by name
    advantage         of all of its action tokens; "advantages": of each, where they differ
    returns           what the critic is to learn at each action token; null where it learns nothing
    trainer_logprobs  of each action token as of before the first update; null for what the trainer did not look at
    """
    credit, groups = lesson.credit, lesson.episodes.groups.tolist()
    scores, terms = lesson.rewards.scores.tolist(), {name: t.tolist() for name, t in lesson.rewards.terms.items()}
    found: list[dict[str, Any]] = []
    for index, advantages in enumerate(lesson.advantages):
        length = len(advantages)
        fields: dict[str, Any] = {
            "group": groups[index],
            "scored": scores[index],
            "terms": {name: values[index] for name, values in terms.items()},
        }
        if len(set(advantages)) < 2:
            fields["advantage"] = advantages[0] if advantages else 0.0
        else:
            fields["advantages"] = advantages
        if credit.returns is not None and credit.valued is not None:
            learned = zip(credit.returns[index, :length].tolist(), credit.valued[index, :length].tolist(), strict=True)
            fields["returns"] = [value if valued else None for value, valued in learned]
        looked = trainer_logprobs.get(index)
        # Where only last turns are trained, these are the last tokens.
        fields["trainer_logprobs"] = None if looked is None else [None] * (length - len(looked)) + list(looked)
        found.append(fields)
    return found


def write_tensors(path: Path, shares: Sequence[Mapping[str, Tensor]], around: Circumstances) -> None:
    """Write what each process recorded, whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    named = {f"{process}/{name}": tensor for process, share in enumerate(shares) for name, tensor in share.items()}
    content = safetensors.torch.save(named, {"circumstances": json.dumps(asdict(around))})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial_tensors")
    partial.write_bytes(content)
    os.replace(partial, path)


def read_tensors(path: Path) -> tuple[list[dict[str, Tensor]], Circumstances]:
    """What `write_tensors` wrote: the tensors of each process, and the circumstances.

    Raises:
        ValueError: it is damaged, or of another form.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            around = Circumstances(**json.loads((file.metadata() or {})["circumstances"]))
            shares: list[dict[str, Tensor]] = [{} for _ in range(around.processes)]
            for key in file.keys():  # noqa: SIM118  (the file is no mapping)
                process, _, name = key.partition("/")
                shares[int(process)][name] = file.get_tensor(key)
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return shares, around
