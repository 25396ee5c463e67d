"""Generation alone: the rollout engine against transformers' `generate`, and many turns with and without its caches.

Nobody may end a turn, so that all ways draw equally many tokens. Pictures are processed before the clock starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agent.model.forward import has_mrope
from agent.parts import Parts, build
from agent.rollout.engine import Completion, Request, RolloutEngine, SamplingParams
from agent.types import Row, Segment

from .clock import Meter
from .job import Job
from .ours import config_of, sizes_of
from .world import ANSWER, World, picture


def rollouts(job: Job, folder: Path) -> dict[str, Any]:
    """`prompts` x `group` rows of one turn."""
    parts = build(config_of(job, folder), folder / "runs", None)
    rows = prompts_of(job, parts)
    if job.way == "generate":
        inputs = generate_inputs(parts, rows)
        generate = partial(generated, parts, inputs, job.tokens)
        meter = Meter(job.device)
        found = meter.measure(generate, job.warm, job.measured, lambda: None)
        return meter.told(job.warm) | sizes_of(parts) | {"drawn": found[-1]}
    requests = [request_of(parts, row, index, job.tokens) for index, row in enumerate(rows)]
    meter = Meter(job.device)
    found = meter.measure(
        lambda: sum(len(c.token_ids) for c in asked(parts.rollout_engine, requests)),
        job.warm,
        job.measured,
        parts.rollout_engine.forget,
    )
    parts.close()
    return meter.told(job.warm) | sizes_of(parts) | {"drawn": found[-1]}


def many_turns(job: Job, folder: Path) -> dict[str, Any]:
    """Episodes of several turns; each answer of the environment has a picture. "forgotten": the engine's caches are
    dropped before each turn, so that every row is run from its beginning."""
    parts = build(config_of(job, folder), folder / "runs", None)
    starts, answers = prompts_of(job, parts), answers_of(job, parts)

    def played() -> int:
        rows, drawn = list(starts), 0
        for turn in range(job.turns):
            if job.way == "forgotten":
                parts.rollout_engine.forget()
            requests = [request_of(parts, row, index, job.tokens, turn) for index, row in enumerate(rows)]
            done = asked(parts.rollout_engine, requests)
            drawn += sum(len(completion.token_ids) for completion in done)
            if turn + 1 < job.turns:
                rows = [
                    row.append(Segment("action", completion.token_ids, turn)).append(answer)
                    for row, completion, answer in zip(rows, done, answers[turn], strict=True)
                ]
        return drawn

    meter = Meter(job.device)
    found = meter.measure(played, job.warm, job.measured, parts.rollout_engine.forget)
    parts.close()
    return meter.told(job.warm) | sizes_of(parts) | {"drawn": found[-1]}


def prompts_of(job: Job, parts: Parts) -> list[Row]:
    """`prompts` different ones, each `group` times."""
    kwargs, rows = parts.config.env.kwargs, []
    for seed in range(job.prompts):
        observation, _ = World(kwargs["side"], kwargs["digits"]).reset(seed=seed)
        rows += [Row((parts.renderer.prompt(observation["text"], observation["images"]),))] * job.group
    return rows


def answers_of(job: Job, parts: Parts) -> list[list[Segment]]:
    """What the environment says after each turn but the last, to each episode something else."""
    episodes = job.prompts * job.group
    return [
        [
            parts.renderer.observation(ANSWER, [picture(turn * episodes + episode, job.side)], turn + 1, False)
            for episode in range(episodes)
        ]
        for turn in range(job.turns - 1)
    ]


def request_of(parts: Parts, row: Row, index: int, tokens: int, turn: int = 0) -> Request:
    seed = 1000 * turn + index
    sampling = SamplingParams(1.0, tokens, seed, (), parts.vlm.processor.banned_ids)
    return Request(seed, index, row.collapsed, tuple(parts.renderer.pictures(row)), sampling)


def asked(engine: RolloutEngine, requests: Sequence[Request]) -> list[Completion]:
    """Their completions, in order."""
    for request in requests:
        engine.submit(request)
    done: dict[int, Completion] = {}
    while len(done) < len(requests):
        done |= {completion.id: completion for completion in engine.poll(0)}
    return [done[request.id] for request in requests]


def generate_inputs(parts: Parts, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """As transformers' processors make them: a picture a row. All rows are of one length."""
    ids = torch.tensor([row.token_ids for row in rows])
    pictures = [image for row in rows for image in parts.renderer.pictures(row)]
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.cat([image.pixels for image in pictures]),
    }
    if has_mrope(parts.vlm.model):
        inputs |= {
            "image_grid_thw": torch.tensor([image.grid for image in pictures]),
            "mm_token_type_ids": (ids == parts.vlm.processor.image_token_id).int(),
        }
    return {name: tensor.to(parts.vlm.model.device) for name, tensor in inputs.items()}


@torch.inference_mode()
def generated(parts: Parts, inputs: dict[str, torch.Tensor], tokens: int) -> int:
    """By transformers' `generate`; how many tokens it drew."""
    model = parts.vlm.model.eval()
    model.generation_config.eos_token_id = None
    found = model.generate(
        **inputs,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        max_new_tokens=tokens,
        suppress_tokens=list(parts.vlm.processor.banned_ids),
    )
    return found[:, inputs["input_ids"].shape[1] :].numel()
