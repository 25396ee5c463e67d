"""Two small environments, a tiny checkpoint, and a real GRPOTrainer of TRL around them."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from trl import GRPOConfig, GRPOTrainer

from agent.bridges.trl_processor import picture_processor
from agent.config_model import TinyShape
from agent.model.load import load_vlm
from agent.model.tiny import make_tiny_vlm

SPACES = spaces.Dict({"text": spaces.Text(99), "images": spaces.Sequence(spaces.Discrete(1))})

GREETING = "talk"


class LostError(Exception):
    infrastructure_failure = True


def worth(action: str) -> float:
    """Differs between nearly any two texts, in [0, 1)."""
    return sum(i * byte for i, byte in enumerate(action.encode("utf-8", "replace"), 1)) % 97 / 97


class Letters(gymnasium.Env):
    """One turn, one picture drawn from the seed. `lose`: the first `lose` steps fail by the infrastructure."""

    observation_space, action_space = SPACES, spaces.Text(99)

    def __init__(self, split: str = "train", word: str = "letters", lose: int = 0) -> None:
        self.split, self.word, self.left = split, word, lose

    def num_tasks(self, split: str) -> int:
        return 6

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        task = (options or {}).get("task")
        shape = (14, 14 * (1 + task % 3), 3)
        picture = np.random.default_rng(task).integers(0, 256, shape, dtype=np.uint8)
        return {"text": f"{self.split} {self.word} {task}?", "images": (picture,)}, {}

    def step(self, action: str) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise LostError("the sandbox is gone")
        return {"text": "", "images": ()}, worth(action), True, False, {}


class Talk(gymnasium.Env):
    """`turns` turns; the world is its seed. `first`, `later`: pictures in the first and in later observations."""

    observation_space, action_space = SPACES, spaces.Text(99)

    def __init__(
        self, turns: int = 3, first: bool = True, later: bool = False, restart: bool = False, lose: int = 0
    ) -> None:
        self.turns, self.first, self.later, self.restart, self.left = turns, first, later, restart, lose

    def _shown(self, text: str, pictured: bool) -> dict[str, Any]:
        picture = np.random.default_rng(self.seed).integers(0, 256, (14, 28, 3), dtype=np.uint8)
        return {"text": text, "images": (picture,) if pictured else ()}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.seed, self.turn = seed, 0
        return self._shown(f"{GREETING} {seed % 1000}" * (1 + seed % 3), self.first), {}

    def step(self, action: str) -> Any:
        self.turn += 1
        if self.turn == 2:
            self.left -= 1
            if self.left >= 0:
                raise LostError("the sandbox is gone")
        info = {"context": "restart"} if self.restart else {}
        over = self.turn == self.turns
        return self._shown(f"heard {len(action)} letters", self.later), worth(action), over, False, info


def register() -> None:
    for environment in (Letters, Talk):
        if f"TRLTest/{environment.__name__}-v0" not in gymnasium.registry:
            gymnasium.register(f"TRLTest/{environment.__name__}-v0", environment)


def write_checkpoint(folder: Path, words: str = "train letters? talk heard") -> Path:
    shape = TinyShape(hidden=32, feed_forward=64, layers=1, vision_layers=1, vocabulary=600)
    return make_tiny_vlm(folder, [words] * 4, 0, shape)


class Recorded(GRPOTrainer):
    """TRL's trainer; `batches` are the inputs of its loss, `forward_inputs` what its model was given beside tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches: list[dict[str, Any]] = []
        self.forward_inputs: list[dict[str, Any]] = []

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        made = super()._generate_and_score_completions(inputs)
        self.batches.append(made)
        return made

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        self.forward_inputs.append({name: value for name, value in kwargs.items() if value is not None})
        return super()._get_per_token_logps_and_entropies(*args, **kwargs)


def make_trainer(
    checkpoint: Path, folder: Path, data: Any, rewards: Any, model: Any = None, **options: Any
) -> Recorded:
    torch.manual_seed(0)
    rollout = options.pop("rollout_func", None)
    adapter = options.pop("peft_config", None)
    arguments = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "num_generations": 2,
        "max_completion_length": 6,
        "max_steps": 1,
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "beta": 0.0,
        "shuffle_dataset": False,
        "disable_tqdm": True,
    }
    return Recorded(
        model=load_vlm(checkpoint).model,
        reward_funcs=rewards,
        args=GRPOConfig(**arguments | options),
        train_dataset=data,
        processing_class=picture_processor(checkpoint),
        rollout_func=rollout,
        peft_config=adapter,
    )


def unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]
