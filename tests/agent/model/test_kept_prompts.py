"""A rollout's pass over the prompts, used again by the update: the same loss, the same gradients, one pass less."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from agent.engine.batching import Batch, make_batch
from agent.model import states, tree
from agent.model.kept_prompts import KeptPrompts
from agent.model.layout import takes_layouts
from agent.model.load import VLM
from agent.model.prompt_pass import PromptStates, PromptTokens, prompt_states
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row, Segment

Picture = Callable[..., np.ndarray]


def rows_of(renderer: Renderer, picture: Picture) -> list[Row]:
    """Three prompts of different lengths, one without a picture; ragged siblings, some with a second turn."""
    rng = np.random.default_rng(0)
    prompts = [
        renderer.prompt("How many?", (picture(60, 80, 1),)),
        renderer.prompt("How many of these two pictures are red?", (picture(40, 70, 2), picture(58, 58, 3))),
        renderer.prompt("A word. " * 12, ()),
    ]
    rows = []
    for sibling in range(3):
        for prompt in prompts:
            row = Row((prompt, Segment("action", tuple(rng.integers(0, 200, 3 + 2 * sibling).tolist()), 0)))
            if sibling == 1:
                row = row.append(renderer.observation("Look again. " * 9, (picture(30, 40, 4),), 1, True))
                row = row.append(Segment("action", tuple(rng.integers(0, 200, 4).tolist()), 1))
            rows.append(row)
    return rows


def batch_of(renderer: Renderer, rows: Sequence[Row]) -> Batch:
    return make_batch(rows, list(range(len(rows))), [1.0] * len(rows), renderer.pixels, renderer.processor.merge)


def kept_of(vlm: VLM, batch: Batch, sheaves: Sequence[Sequence[int]]) -> KeptPrompts:
    """The prompts of these rows of a batch as a rollout would have kept them, in so many passes."""
    assert takes_layouts(vlm.model)
    kept, names = KeptPrompts(), batch.prompts()
    for rows in sheaves:
        prompts = []
        for row in rows:
            length, count = int(batch.prompt_length[row]), int(batch.prompt_images[row])
            own = [image for image, owner in zip(batch.images, batch.image_row, strict=True) if owner == row]
            ids = batch.input_ids[row, :length].tolist()
            prompts.append(PromptTokens(ids, batch.position_ids[:, row, :length].numpy(), own[:count]))
        kept.keep([names[row] for row in rows], prompt_states(vlm.model, prompts))
    return kept


def gradients_of(
    vlm: VLM, batch: Batch, kept: KeptPrompts | None, size: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A loss and its gradients, in micro-batches of so many rows."""
    actor = Actor(vlm.model, 1.0, vlm.processor.banned_ids)
    total = torch.zeros(())
    weights = torch.linspace(-1, 1, len(batch))
    for first in range(0, len(batch), size):
        rows = range(first, min(first + size, len(batch)))
        micro = batch.select(list(rows))
        logprobs, _ = actor.logprobs(micro, actor.states(micro, kept))
        loss = (logprobs * weights[list(rows), None]).sum() / batch.action_mask.sum()
        loss.backward()
        total += loss.detach()
    if kept is not None:
        kept.backward()
    gradients = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    return total, gradients


@pytest.mark.parametrize("size", [9, 2])
@pytest.mark.parametrize("sheaves", [[[0, 1, 2]], [[1], [0, 2]], [[2, 0]]], ids=["one pass", "two", "not all"])
def test_an_update_from_kept_prompts_has_the_gradients_of_whole_rows(
    vlm: VLM, renderer: Renderer, picture: Picture, sheaves: list[list[int]], size: int
) -> None:
    vlm.model.zero_grad()
    batch = batch_of(renderer, rows_of(renderer, picture))
    states.share(vlm.model, "none")
    loss, expected = gradients_of(vlm, batch, None, size)
    states.share(vlm.model, "auto")
    found, gradients = gradients_of(vlm, batch, kept_of(vlm, batch, sheaves), size)
    assert abs(float(loss - found)) <= 1e-6
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (gradients[name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name


def test_without_the_last_backward_pass_gradients_lack_the_prompts_part(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_vlm.model.zero_grad()
    batch = batch_of(one_renderer, rows_of(one_renderer, picture))
    _, expected = gradients_of(one_vlm, batch, None, 9)
    monkeypatch.setattr(KeptPrompts, "backward", lambda self: None)
    _, gradients = gradients_of(one_vlm, batch, kept_of(one_vlm, batch, [[0, 1, 2]]), 9)
    differences = [
        float((gradients.get(name, torch.zeros_like(gradient)) - gradient).abs().max())
        for name, gradient in expected.items()
    ]
    assert max(differences) > 1e-3


def test_kept_prompts_are_not_run_again(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(one_renderer, rows_of(one_renderer, picture))
    kept = kept_of(one_vlm, batch, [[0, 1, 2]])
    seen, original = [], states.hidden_states

    def counted(model: object, input_ids: torch.Tensor, *rest: object, **options: object) -> torch.Tensor:
        seen.append(input_ids.numel())
        return original(model, input_ids, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(states, "hidden_states", counted)
    states.batch_states(one_vlm.model, batch, kept)
    assert seen == [int((batch.attention_mask.sum(1) - batch.prompt_length).sum())]


def a_pass(lengths: Sequence[int]) -> PromptStates:
    ranges, start = [], 0
    for length in lengths:
        ranges.append((start, start + length))
        start += length
    whole = torch.zeros(1, 1, start, 2, requires_grad=True)
    return PromptStates([whole], [whole], ranges, torch.zeros(len(lengths), 2, requires_grad=True))


def test_a_pass_is_used_where_two_thirds_of_it_carry_a_gradient() -> None:
    names = [(bytes([number]), ()) for number in range(4)]
    kept = KeptPrompts()
    kept.keep(names[:2], a_pass([20, 10]))
    kept.keep(names[2:], a_pass([10, 20]))
    chosen = kept.worth([names[0], names[2], (b"other", ())])
    assert chosen.outer(names).names == [names[0], names[1]]  # type: ignore[union-attr]
    assert len(kept.worth(names)) == 4 and not len(kept.worth([])) and kept.worth([names[1]]).outer(names) is None


def test_a_prompt_that_was_run_twice_is_kept_once() -> None:
    kept = KeptPrompts()
    for _ in range(2):
        kept.keep([(b"same", ())], a_pass([4]))
    assert len(kept) == 1


def test_what_an_environment_answered_is_spared_the_last_layer_behind_kept_prompts_too(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = batch_of(one_renderer, rows_of(one_renderer, picture))
    outer = kept_of(one_vlm, batch, [[0, 1, 2]]).outer(batch.prompts())
    packed = tree.pack(batch, one_vlm.model.config.image_token_id, torch.device("cpu"), outer, narrow=True)
    assert packed.outer is not None and packed.last is not None
    assert len(packed.last.through) < packed.input_ids.numel()
