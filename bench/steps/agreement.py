"""The same completions through TRL's loss and through ours: what is timed elsewhere is equal work.

TRL samples a batch with its own trainer. Old log-probabilities are moved away from the current ones by chance, so that
ratios are not 1 and some are clipped; at ratio 1 the loss of any group would be 0. The rows are made again by our
renderer, whose prompts must be TRL's token for token.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.engine.batching import make_batch
from agent.engine.experience import Experience
from agent.objective.aggregation import trajectory_weights
from agent.parts import Parts, build
from agent.train import learner_of
from agent.types import Row, Segment
from agent.update import accumulate_gradient

from .job import Job
from .ours import config_of
from .theirs import make_trainer

MOVED = 0.3  # standard deviation of the old log-probabilities around the current ones, nats


def compared(job: Job, folder: Path) -> dict[str, Any]:
    """The two losses, and the largest difference of a gradient of a weight."""
    parts = build(config_of(job, folder), folder / "runs", None)
    trainer = make_trainer(job, folder)
    trainer.current_gradient_accumulation_steps = 1
    asked = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    scored = trainer._generate_and_score_completions(asked)
    mask = scored["completion_mask"].bool()
    with torch.no_grad():
        now = current(trainer, scored)
    torch.manual_seed(0)
    old = now + MOVED * torch.randn(now.shape)
    theirs = trainer._compute_loss(trainer.model, scored | {"old_per_token_logps": old})
    theirs.backward()

    batch = our_batch(parts, asked, scored)
    aligned = torch.zeros(batch.action_mask.shape).masked_scatter(batch.action_mask, old[mask])
    lengths = mask.sum(1)
    weights = trajectory_weights(lengths, torch.ones(len(lengths), dtype=torch.bool), "sequence_mean")
    learner = learner_of(parts.config, parts)
    learner = replace(learner, actor=replace(learner.actor, banned_ids=()))  # TRL's loss knows of none
    told = accumulate_gradient(learner, Experience(batch, old_logprobs=aligned), weights)
    named = dict(trainer.model.named_parameters())
    pairs = [(own.grad, named[name].grad) for name, own in parts.vlm.model.named_parameters()]
    return {
        "ours": told.metrics["loss"],
        "theirs": float(theirs.detach()),
        "clipped": told.metrics["clip_fraction"],
        "gradient": max(float((one - other).abs().max()) for one, other in pairs),
        "largest": max(float(other.abs().max()) for _, other in pairs),
    }


def current(trainer: Any, scored: dict[str, Any]) -> torch.Tensor:
    """TRL's log-probabilities of its completions, as the model is now."""
    known = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    return trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1),
        torch.cat([scored["prompt_mask"], scored["completion_mask"]], dim=1),
        scored["completion_ids"].size(1),
        **{name: scored[name] for name in known},
    )[0]


def our_batch(parts: Parts, asked: list[dict[str, Any]], scored: dict[str, Any]) -> Any:
    """TRL's batch, made by our renderer.

    Raises:
        ValueError: TRL's prompt has other tokens.
    """
    rows = []
    for index, one in enumerate(asked):
        prompt = parts.renderer.prompt(one["prompt"][0]["content"], [np.array(image) for image in one["images"]])
        theirs = scored["prompt_ids"][index][scored["prompt_mask"][index].bool()].tolist()
        if list(prompt.token_ids) != theirs:
            raise ValueError(f"prompt {index} of TRL's has {len(theirs)} tokens, ours {len(prompt.token_ids)} others")
        said = scored["completion_ids"][index][scored["completion_mask"][index].bool()].tolist()
        rows.append(Row((prompt, Segment("action", tuple(said), 0))))
    return make_batch(
        rows, list(range(len(rows))), scored["advantages"].tolist(), parts.renderer.pixels, parts.vlm.processor.merge
    )
