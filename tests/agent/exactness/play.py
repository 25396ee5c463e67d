"""Random episodes through the real driver and engine, with what the engine was asked and what it answered."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.engine.batching import Batch, make_batch
from agent.model.load import VLM, load_vlm
from agent.model.processor import image_sha256
from agent.rollout.engine import Completion, Request, RolloutEngine
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.seeds import derive_seed, generator
from agent.types import Row, Trajectory
from tests.agent.checkpoints import FORGETFUL_TEMPLATE, write_checkpoint, write_composed
from tests.agent.exactness import storm

APPENDING = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava")
FORGETFUL = "qwen3_vl, forgetful"  # its template drops the thoughts of earlier turns, so that each turn begins a row
FAMILIES = (*APPENDING, FORGETFUL)
SIBLINGS = 4
MOST_TURNS = 8
# Tokens of a turn, of a row and (0: any number) of an episode: wide, tight for a prompt's pictures, used up over turns,
# cutting every turn, tight over turns.
LIMITS = ((12, 3000, 0), (5, 150, 0), (24, 3000, 60), (1, 3000, 0), (8, 250, 0))


def load(family: str, folder: Path) -> VLM:
    """A tiny model of a family that ends some of its turns by itself; its image processor counts."""
    if family == "llava":
        vlm = load_vlm(write_composed(folder))
    elif family == FORGETFUL:
        vlm = load_vlm(write_checkpoint(folder, "qwen3_vl", template=FORGETFUL_TEMPLATE))
    else:
        vlm = load_vlm(write_checkpoint(folder, family))
    with torch.no_grad():
        vlm.model.get_output_embeddings().weight[list(vlm.processor.stop_ids)] *= 3
    vlm.processor.image_processor = Counting(vlm.processor.image_processor)
    return vlm


class Counting:
    """An image processor that counts how often it was given each picture."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, images: Sequence[np.ndarray], **options: Any) -> Any:
        self.calls.update(map(image_sha256, images))
        return self.processor(images=images, **options)


class Recorder:
    """An engine that writes down what passes: requests and completions of each episode, in order."""

    def __init__(self, engine: RolloutEngine) -> None:
        self.engine = engine
        self.turns: dict[int, list[tuple[Request, Completion]]] = {}
        self._open: dict[int, Request] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def submit(self, request: Request) -> None:
        self._open[request.id] = request
        self.engine.submit(request)

    def poll(self, timeout: float) -> list[Completion]:
        finished = self.engine.poll(timeout)
        for completion in finished:
            request = self._open.pop(completion.id)
            self.turns.setdefault(request.episode, []).append((request, completion))
        return finished


@dataclass(frozen=True)
class Wave:
    """Episodes that are played together, and how."""

    specs: tuple[EpisodeSpec, ...]
    budget: Budget
    options: DriverOptions
    pause: float


def waves(seed: int | str, episodes: int, size: int) -> Iterator[Wave]:
    """Waves of `size` episodes, siblings in groups, under limits of every size, in rounds and overlapped in turn."""
    for wave, start in enumerate(range(0, episodes, size)):
        rng = generator("waves", seed, wave)
        specs = tuple(
            EpisodeSpec(None, derive_seed("world", seed, i // SIBLINGS), derive_seed("sample", seed, i))
            for i in range(start, min(start + size, episodes))
        )
        of_turn, of_row, of_episode = LIMITS[wave % len(LIMITS)]
        budget = Budget(1.0, of_turn, of_row, MOST_TURNS, of_episode)
        deterministic = wave % 2 == 0
        options = DriverOptions(int(rng.choice([5, 64, 64])), int(rng.choice([1, 4])), deterministic)
        yield Wave(specs, budget, options, 0.0 if deterministic else 0.003)


@dataclass(frozen=True, eq=False)
class Played:
    """Episodes with what the engine was asked and answered at each turn."""

    vlm: VLM
    renderer: Renderer
    budget: Budget
    trajectories: list[Trajectory]
    turns: list[list[tuple[Request, Completion]]]

    @cached_property
    def worlds(self) -> list[storm.World]:
        return [storm.world(trajectory.seed) for trajectory in self.trajectories]

    @cached_property
    def told(self) -> list[list[list[int]]]:
        """Of each trajectory the turns of each row: a restart begins one, or every turn where history is rewritten."""
        each = self.renderer.family.rewrites_history
        return [
            _by_row(len(turns), [each or scene.restart for scene in world.scenes])
            for turns, world in zip(self.turns, self.worlds, strict=True)
        ]

    @cached_property
    def trained(self) -> list[tuple[int, int]]:
        """(trajectory, row) of every row that is trained on: it has an action and nothing broke."""
        return [
            (index, row)
            for index, trajectory in enumerate(self.trajectories)
            if trajectory.valid
            for row in range(len(self.told[index]))
        ]

    @property
    def rows(self) -> list[Row]:
        return [self.trajectories[index].rows[row] for index, row in self.trained]

    def pairs(self, index: int, row: int) -> list[tuple[Request, Completion]]:
        return [self.turns[index][turn] for turn in self.told[index][row]]

    def shown(self, index: int, row: int) -> range:
        """The scenes that a row tells of: from the last restart to its last action."""
        first, last = self.told[index][row][0], self.told[index][row][-1]
        restarts = [turn for turn in range(first + 1) if turn == 0 or self.worlds[index].scenes[turn].restart]
        return range(restarts[-1], last + 1)

    def pictures(self, index: int, row: int) -> list[np.ndarray]:
        """What the world showed in a row's scenes."""
        return [image for turn in self.shown(index, row) for image in self.worlds[index].scenes[turn].images]

    def said(self, index: int, turn: int) -> str:
        """The text of a scene, with what it repeats of the answer before, as UTF-8 has it."""
        answer = self.answer(index, turn - 1) if turn else ""
        return self.worlds[index].scenes[turn].said(answer).encode("utf-8", "replace").decode()

    def answer(self, index: int, turn: int) -> str:
        return self.renderer.action_text(self.turns[index][turn][1].token_ids)


def _by_row(turns: int, restarts: Sequence[bool]) -> list[list[int]]:
    rows: list[list[int]] = []
    for turn in range(turns):
        if turn == 0 or restarts[turn]:
            rows.append([])
        rows[-1].append(turn)
    return rows


def play(vlm: VLM, wave: Wave, engine: RolloutEngine | None = None) -> Played:
    """Play a wave with a fresh renderer, as each training step has."""
    recorder = Recorder(engine or engine_of(vlm))
    renderer = Renderer(vlm.processor)
    pool = storm.pool(wave.pause)
    trajectories = EpisodeDriver(recorder, renderer, pool, wave.options).run(wave.specs, wave.budget)  # type: ignore[arg-type]
    pool.close()
    turns = [recorder.turns.get(index, []) for index in range(len(trajectories))]
    return Played(vlm, renderer, wave.budget, trajectories, turns)


def engine_of(vlm: VLM) -> TransformersEngine:
    return TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)


def batch_of(played: Played, trained: Sequence[tuple[int, int]] | None = None) -> Batch:
    """What the trainer is given."""
    chosen = played.trained if trained is None else trained
    rows = [played.trajectories[index].rows[row] for index, row in chosen]
    owners = [index for index, _ in chosen]
    return make_batch(rows, owners, [1.0] * len(rows), played.renderer.pixels, played.vlm.processor.merge)
