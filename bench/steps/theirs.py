"""Whole steps of TRL's trainers: the same folder, worlds, sizes and rewards, in the fastest of their settings.

float32, no gradient checkpointing, no reference model, no logging to speak of. Pictures are handed over decoded, so
that TRL spends no time on PNG. Both sides may not sample control tokens, and stop at the same end token.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoModelForImageTextToText, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from agent.bridges.trl_processor import picture_processor
from agent.model.load import load_processor

from .clock import Meter
from .job import Job
from .models import digits_for, write_folder
from .ours import LR
from .world import World, score

KINDS = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}


def dataset(side: int, digits: int, count: int) -> Dataset:
    """So many worlds, all different; their pictures wait in memory as they are."""
    world = World(side, digits)
    shown = [world.reset(seed=seed)[0] for seed in range(count)]
    pictures = [Image.fromarray(observation["images"][0]) for observation in shown]
    prompts = [[{"role": "user", "content": observation["text"]}] for observation in shown]
    made = Dataset.from_dict({"prompt": prompts, "world": list(range(count))})

    def with_pictures(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return rows | {"images": [[pictures[world]] for world in rows["world"]]}

    return made.with_transform(with_pictures)


def scores(completions: Sequence[Any], **_: Any) -> list[float]:
    """Our environment's score of what was said."""
    return [score(completion[0]["content"]) for completion in completions]


def suppressed(model: Path) -> list[int]:
    """Control tokens but the one that ends a turn, which nobody may sample with us either."""
    processor = load_processor(model)
    return sorted(set(processor.control_tokens.values()) - set(processor.stop_ids))


class Laps(TrainerCallback):
    """Takes a lap at the end of each step, and keeps what the trainer says of it."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.lengths: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        assert self.meter is not None
        self.meter.lap()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "completions/mean_length" in logs:
            self.lengths.append(float(logs["completions/mean_length"]))


def make_trainer(job: Job, folder: Path, **options: Any) -> Any:
    """A trainer of TRL's for a job; options: more of its configuration."""
    model = write_folder(Path(job.models or folder) / job.family, job.family)
    arguments_of, trainer = KINDS[job.algorithm]
    episodes, steps = job.prompts * job.group, job.warm + job.measured
    rows = job.rows or episodes
    own = {"loss_type": "grpo"} if job.algorithm == "grpo" else {}
    accelerator = job.device == "cuda"
    arguments = arguments_of(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=episodes // rows,
        num_generations=job.group,
        max_completion_length=job.tokens,
        max_steps=steps,
        learning_rate=LR,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.0,
        generation_kwargs={"suppress_tokens": suppressed(model)},
        gradient_checkpointing=False,
        bf16=accelerator,
        use_cpu=not accelerator,
        use_vllm=False,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=accelerator,
        **own,
        **options,
    )
    return trainer(
        model=AutoModelForImageTextToText.from_pretrained(
            model, dtype=torch.bfloat16 if accelerator else torch.float32, attn_implementation="sdpa"
        ),
        reward_funcs=scores,
        args=arguments,
        train_dataset=dataset(job.side, digits_for(model, job.side, job.prompt), job.prompts * steps),
        processing_class=picture_processor(model),
    )


def whole_steps(job: Job, folder: Path) -> dict[str, Any]:
    """Seconds and memory of the steps of a run, and the mean length of its completions."""
    trainer, laps = make_trainer(job, folder), Laps()
    trainer.add_callback(laps)
    laps.meter = Meter(job.device)
    trainer.train()
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    # Every completion enters TRL's loss, whatever its advantage.
    trained = float(job.prompts * job.group)
    return laps.meter.told(job.warm) | {
        "trained": trained,
        "length": statistics.mean(laps.lengths[job.warm :]),
        "parameters": parameters,
    }
