"""Counted operations against torch's own counter, on the computation that shares nothing."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize(("side", "prompt"), [(56, 200), (224, 128)])
def test_a_padded_update_takes_what_torch_counts(side: int, prompt: int, tmp_path: Path) -> None:
    from steps import counted
    from steps.job import Job
    from steps.ours import config_of
    from steps.update import group_of, padded

    from agent.parts import build

    job = Job("update", way="padded", side=side, prompt=prompt, prompts=1, group=3, tokens=24)
    parts = build(config_of(job, tmp_path), tmp_path / "runs", None)
    parts.vlm.model.set_attn_implementation("eager")  # the counter does not know the kernel that the CPU has for sdpa
    batch = group_of(job, parts)
    with FlopCounterMode(display=False) as counter:
        padded(parts, parts.vlm.model, batch, torch.full((3,), 0.1))
    work = counted.Work(1, 3, prompt, batch.images[0].tokens, 24)
    shape = counted.Shape.of(parts.vlm.model.config)
    assert counted.update(shape, work, shared=False) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_a_forward_pass_on_kept_keys_is_the_rest_of_the_whole_one() -> None:
    from steps import counted

    shape = counted.Shape(2, 128, 128, 160_000, 30_000, 608, 2, 128, 200_000, 1176, 2)
    whole = counted.text(shape, 100)
    halves = counted.text(shape, 60) + counted.text(shape, 40, 60)
    # Scores that look ahead are computed in a whole pass and not by two.
    assert whole - halves == 2 * 4 * 60 * 40 * 128


def test_sharing_saves_all_prompts_but_one_of_each_group() -> None:
    from steps import counted

    shape = counted.Shape(2, 128, 128, 160_000, 30_000, 608, 2, 128, 200_000, 1176, 2)
    alone, group = counted.Work(2, 1, 1000, 256, 8), counted.Work(2, 8, 1000, 256, 8)
    assert counted.step(shape, group, shared=True) < 1.7 * counted.step(shape, alone, shared=True)
    assert counted.step(shape, group, shared=False) == pytest.approx(8 * counted.step(shape, alone, shared=False))


@pytest.mark.parametrize("side", [56, 224])
def test_a_shared_update_takes_what_torch_counts_but_for_halves_that_are_masked(side: int, tmp_path: Path) -> None:
    from steps import counted
    from steps.job import Job
    from steps.ours import config_of
    from steps.update import group_of

    from agent.engine.experience import Experience
    from agent.model import attention_parts
    from agent.parts import build
    from agent.train import learner_of
    from agent.update import accumulate_gradient

    job = Job("update", side=side, prompt=128, prompts=1, group=3, tokens=24)
    parts = build(config_of(job, tmp_path), tmp_path / "runs", None)
    batch = group_of(job, parts)
    with pytest.MonkeyPatch.context() as patch, FlopCounterMode(display=False) as counter:
        patch.setattr(attention_parts, "_fused", None)  # products that the counter knows
        parts.vlm.model.base_model.visual.set_attn_implementation("eager")
        accumulate_gradient(learner_of(parts.config, parts), Experience(batch), torch.full((3,), 0.1))
    work = counted.Work(1, 3, 128, batch.images[0].tokens, 24)
    shape = counted.Shape.of(parts.vlm.model.config)
    assert counted.update(shape, work, shared=True) == pytest.approx(counter.get_total_flops(), rel=0.05)
