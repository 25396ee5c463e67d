"""What one measurement is of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

MICRO = 8  # rows of a small micro-batch, where that is faster
Kind = Literal["step", "trl step", "agreement", "update", "rollout", "turns", "profile"]


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own.

    Args:
        kind: What is done.
        way: Which way: "shared" is ours as it is and "plain" ours with `engine.sharing: none`, whose updates run whole
            rows and whose rollouts run every sibling's prompt. Others by kind: "padded" and "generate" are
            transformers', "forgotten" is ours with its caches dropped before each turn.
        algorithm: "grpo", "rloo" or "ppo".
        family: Of the model.
        side: Of the pictures, in pixels.
        prompt: Tokens of the prompt; 0: those of a short question.
        prompts: Distinct prompts a step.
        group: Siblings of each.
        tokens: New tokens a turn.
        turns: Of an episode.
        rows: Of a micro-batch of TRL's; ours get as many tokens as these have, padded. 0: all.
        warm: Steps that are not measured.
        measured: Steps that are.
        device: "cpu" or "cuda".
        models: Folder in which checkpoints are kept between jobs; "": none.
    """

    kind: Kind
    way: str = "shared"
    algorithm: str = "grpo"
    family: str = "qwen2_vl"
    side: int = 56
    prompt: int = 0
    prompts: int = 8
    group: int = 8
    tokens: int = 32
    turns: int = 1
    rows: int = 0
    warm: int = 2
    measured: int = 5
    device: str = "cpu"
    models: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        return Job(**json.loads(text))
