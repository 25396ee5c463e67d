"""The gradient of one group alone: ours, through `agent.update`, and a plain padded one by transformers alone.

The responses are drawn by chance, all of one length. The plain way runs the whole rows and encodes the picture once a
sibling, as trainers do that know nothing of groups; logits are computed where an action is predicted and nowhere else.
Both give the same gradient, whose norm is told so that whoever asked can look.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.engine.batching import Batch, make_batch
from agent.engine.experience import Experience
from agent.model.forward import plain_inputs
from agent.objective.aggregation import trajectory_weights
from agent.parts import Parts, build
from agent.train import learner_of
from agent.types import Row, Segment
from agent.update import accumulate_gradient

from .clock import Meter
from .job import Job
from .ours import config_of, sizes_of
from .world import World


def updates(job: Job, folder: Path) -> dict[str, Any]:
    """Seconds and memory of an update without the optimizer's step, and the norm of the gradient."""
    parts = build(config_of(job, folder), folder / "runs", None)
    batch = group_of(job, parts)
    weights = trajectory_weights(torch.full((job.group,), job.tokens), torch.ones(job.group, dtype=torch.bool))
    model: Any = parts.vlm.model
    if job.way == "padded":
        # As transformers has it: ours embeds patches and keeps activations in its own way.
        model = type(model).from_pretrained(parts.config.model.path, dtype=model.dtype, attn_implementation="sdpa")
        model.to(parts.vlm.model.device)

        def update() -> None:
            padded(parts, model, batch, weights)
    else:
        # The whole group is one micro-batch, whatever the default.
        learner = replace(learner_of(parts.config, parts), micro_batch_tokens=batch.input_ids.numel())

        def update() -> None:
            accumulate_gradient(learner, Experience(batch), weights)

    norms: list[float] = []

    def noted() -> None:
        norms.append(norm(model))
        model.zero_grad(set_to_none=True)

    meter = Meter(job.device)
    meter.measure(update, job.warm, job.measured, noted)
    return meter.told(job.warm) | sizes_of(parts) | {"gradient": norms[0]}


def group_of(job: Job, parts: Parts) -> Batch:
    """One prompt with its siblings' responses, and advantages of both signs."""
    generator = np.random.default_rng(1)
    kwargs = parts.config.env.kwargs
    observation, _ = World(kwargs["side"], kwargs["digits"]).reset(seed=1)
    prompt = parts.renderer.prompt(observation["text"], observation["images"])
    processor = parts.vlm.processor
    allowed = np.setdiff1d(np.arange(processor.vocabulary), (*processor.banned_ids, *processor.stop_ids))
    drawn = generator.choice(allowed, size=(job.group, job.tokens))
    rows = [Row((prompt, Segment("action", tuple(map(int, tokens)), 0))) for tokens in drawn]
    advantages = generator.standard_normal(job.group).tolist()
    return make_batch(rows, list(range(job.group)), advantages, parts.renderer.pixels, processor.merge)


def padded(parts: Parts, model: Any, batch: Batch, weights: torch.Tensor) -> None:
    """By transformers alone: whole rows, a picture a row."""
    device = model.device
    model.train()
    inputs = plain_inputs(model, batch.position_ids, batch.images)
    states = model.base_model(
        input_ids=batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        **{name: tensor.to(device) for name, tensor in inputs.items()},
    ).last_hidden_state
    logits = model.get_output_embeddings()(states[batch.predicting.to(device)]).float()
    mask = torch.zeros(logits.shape[-1], dtype=torch.bool, device=device)
    mask[list(parts.vlm.processor.banned_ids)] = True
    said = batch.input_ids.to(device)[batch.action_mask.to(device)]
    logprobs = logits.masked_fill(mask, float("-inf")).log_softmax(-1).gather(1, said[:, None])[:, 0]
    advantages = batch.advantages[batch.action_mask].to(device)
    per_token = weights[batch.trajectory].to(device)[:, None].expand(batch.action_mask.shape)
    ratio = torch.exp(logprobs - logprobs.detach())
    (-(ratio * advantages) * per_token[batch.action_mask.to(device)]).sum().backward()


def norm(model: torch.nn.Module) -> float:
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    return float(torch.stack([gradient.float().norm() for gradient in gradients]).norm())
