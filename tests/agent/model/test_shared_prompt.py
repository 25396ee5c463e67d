"""Prompts that rows share are run once, and nothing else changes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from agent.engine.batching import Batch, make_batch
from agent.model import shared_prompt
from agent.model.load import VLM
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row, Segment

Picture = Callable[..., np.ndarray]


def siblings(renderer: Renderer, picture: Picture) -> Batch:
    """Three prompts of different lengths and pictures, one of them without any; rows of one and of two turns."""
    rng = np.random.default_rng(0)
    prompts = [
        renderer.prompt("How many?", (picture(30, 40, 1),)),
        renderer.prompt("How many of these two pictures are red?", (picture(40, 30, 2), picture(28, 28, 3))),
        renderer.prompt("A word.", ()),
    ]
    rows = []
    for prompt in prompts:
        for sibling in range(3):
            row = Row((prompt, Segment("action", tuple(rng.integers(0, 200, 3 + sibling).tolist()), 0)))
            if sibling == 1:
                row = row.append(renderer.observation("Look again.", (picture(30, 40, 4),), 1, True))
                row = row.append(Segment("action", tuple(rng.integers(0, 200, 2).tolist()), 1))
            rows.append(row)
    order = rng.permutation(len(rows)).tolist()  # siblings need not stand side by side
    return make_batch(
        [rows[i] for i in order], list(range(len(rows))), [1.0] * len(rows), renderer.pixels, renderer.processor.merge
    )


def loss_and_gradients(vlm: VLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    vlm.model.zero_grad()
    logprobs, entropy = Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)
    (logprobs * torch.linspace(-1, 1, logprobs.numel()).view_as(logprobs)).sum().backward()
    gradients = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    return logprobs.detach(), entropy, gradients


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row a prompt of its own: the plain pass over whole rows."""
    monkeypatch.setattr(shared_prompt, "_prompt_keys", lambda batch: list(range(len(batch))))


def test_log_probabilities_and_entropies_are_those_of_whole_rows(
    vlm: VLM, renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = siblings(renderer, picture)
    shared = loss_and_gradients(vlm, batch)
    plain(monkeypatch)
    whole = loss_and_gradients(vlm, batch)
    np.testing.assert_allclose(shared[0], whole[0], atol=2e-5)
    np.testing.assert_allclose(shared[1], whole[1], atol=2e-5)


def test_gradients_of_every_weight_are_those_of_whole_rows(
    vlm: VLM, renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = siblings(renderer, picture)
    shared = loss_and_gradients(vlm, batch)[2]
    plain(monkeypatch)
    whole = loss_and_gradients(vlm, batch)[2]
    assert shared.keys() == whole.keys()
    for name, gradient in whole.items():
        assert (shared[name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name


def test_another_picture_under_the_same_words_is_another_prompt(one_renderer: Renderer, picture: Picture) -> None:
    rows = [Row((one_renderer.prompt("Same?", (picture(30, 30, k),)), Segment("action", (1, 2), 0))) for k in (1, 2, 1)]
    batch = make_batch(rows, [0, 1, 2], [1.0] * 3, one_renderer.pixels, one_renderer.processor.merge)
    first, second, third = shared_prompt._prompt_keys(batch)
    assert first == third != second


def test_a_shared_prompt_goes_through_the_model_once(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = shared_prompt.hidden_states

    def counted(model: object, input_ids: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(input_ids.shape[0])
        return original(model, input_ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shared_prompt, "hidden_states", counted)
    shared_prompt.batch_hidden_states(one_vlm.model, siblings(one_renderer, picture))
    assert seen == [3, 9]
