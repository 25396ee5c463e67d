"""The last layer of some tokens is that of all of them, there, and computes no more."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import agent.model.last_layer as module
from agent.engine.batching import Batch
from agent.model import states
from agent.model.forward import hidden_states
from agent.model.last_layer import narrows
from agent.model.layout import takes_layouts
from agent.model.load import VLM, load_vlm
from agent.model.prompt_pass import PromptTokens, prompt_states
from agent.model.tree import Packed, pack
from agent.rollout.render import Renderer
from tests.agent.checkpoints import write_composed
from tests.agent.model.test_states import by, largest_difference, siblings

Picture = Callable[..., np.ndarray]
CPU = torch.device("cpu")


def run(vlm: VLM, batch: Batch, narrow: bool) -> tuple[Packed, Tensor, dict[str, Tensor]]:
    """The packed row, its states where they are asked for, and gradients of something made of these."""
    assert takes_layouts(vlm.model) and narrows(vlm.model)
    packed = pack(batch, vlm.model.config.image_token_id, CPU, narrow=narrow)
    vlm.model.zero_grad()
    flat = hidden_states(vlm.model, packed.input_ids, None, packed.position_ids, packed.images, layout=packed)[0]
    asked = flat[packed.index[batch.predicting]]
    (asked * torch.linspace(-1, 1, asked.numel()).view_as(asked)).sum().backward()
    gradients = {name: p.grad.clone() for name, p in vlm.model.named_parameters() if p.grad is not None}
    vlm.model.zero_grad()
    return packed, asked.detach(), gradients


def through(vlm: VLM, action: Callable[[], object]) -> list[int]:
    """Tokens that went through the feed-forward part of the first layer, and of the last."""
    layers, found = vlm.model.base_model.language_model.layers, []
    hooks = [
        layer.mlp.register_forward_pre_hook(lambda _, given: found.append(given[0].shape[1]))
        for layer in (layers[0], layers[-1])
    ]
    action()
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("turns", [1, 3])
def test_states_and_gradients_are_those_of_all_tokens(
    vlm: VLM, renderer: Renderer, picture: Picture, turns: int
) -> None:
    batch = siblings(renderer, picture, turns)
    packed, found, gradients = run(vlm, batch, narrow=True)
    _, expected, whole = run(vlm, batch, narrow=False)
    assert packed.last is not None
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert largest_difference(gradients, whole) <= 1e-5


def test_so_they_are_where_positions_have_one_axis(tmp_path: Path, picture: Picture) -> None:
    vlm = load_vlm(write_composed(tmp_path))
    batch = siblings(Renderer(vlm.processor), picture)
    packed, found, gradients = run(vlm, batch, narrow=True)
    _, expected, whole = run(vlm, batch, narrow=False)
    assert packed.last is not None
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert largest_difference(gradients, whole) <= 1e-5


@pytest.mark.parametrize("turns", [1, 3])
def test_only_tokens_that_are_asked_for_go_through_it(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture, turns: int
) -> None:
    batch = siblings(one_renderer, picture, turns)
    packed = pack(batch, one_vlm.model.config.image_token_id, CPU, narrow=True)
    assert packed.last is not None
    all_of_them, last = through(one_vlm, lambda: states.batch_states(one_vlm.model, batch))
    assert all_of_them == packed.input_ids.shape[1]
    assert last == len(packed.last.through) < 0.6 * all_of_them


def test_of_prompts_only_the_last_tokens_go_through_it_and_nothing_else_changes(
    vlm: VLM, renderer: Renderer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert takes_layouts(vlm.model)
    prompts = []
    for number in range(3):
        segment = renderer.prompt("How many are there? " * (8 + 4 * number), (picture(60, 80, number),))
        images = [renderer.pixels(span.sha256) for span in segment.images]
        positions = np.arange(len(segment.token_ids))[None].repeat(3, 0)
        prompts.append(PromptTokens(segment.token_ids, positions, images))
    with torch.no_grad():
        found = prompt_states(vlm.model, prompts)
        assert through(vlm, lambda: prompt_states(vlm.model, prompts)) == [found.ranges[-1][1], 3]
        monkeypatch.setattr("agent.model.prompt_pass.narrows", lambda model: False)
        expected = prompt_states(vlm.model, prompts)
    torch.testing.assert_close(found.states, expected.states, rtol=0, atol=2e-6)
    for name in ("keys", "values"):
        for one, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_all_states_that_somebody_asks_for_are_there(one_vlm: VLM, one_renderer: Renderer, picture: Picture) -> None:
    batch = siblings(one_renderer, picture)
    lengths = batch.attention_mask.sum(1)
    with torch.no_grad():
        found = states.batch_states(one_vlm.model, batch)
        with by(one_vlm.model, "none"):
            expected = states.batch_states(one_vlm.model, batch)
    torch.testing.assert_close(found.at(batch.predicting), expected.at(batch.predicting), rtol=0, atol=5e-6)
    torch.testing.assert_close(found.last(lengths), expected.last(lengths), rtol=0, atol=5e-6)


def test_a_model_is_hooked_once_and_keeps_its_other_passes(one_vlm: VLM) -> None:
    model = deepcopy(one_vlm.model)
    tokens = torch.tensor([[5, 9, 7]])
    inputs = (tokens, torch.ones_like(tokens), torch.arange(3).expand(3, 1, 3), [])
    with torch.no_grad():
        before = hidden_states(model, *inputs)
        assert narrows(model) and narrows(model)
        assert torch.equal(hidden_states(model, *inputs), before)
    assert list(model.base_model.language_model.layers[-1]._forward_pre_hooks.values()).count(module._narrow) == 1


def test_models_that_do_more_than_run_their_layers_are_left_alone(
    one_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = deepcopy(one_vlm.model)
    for name in model.base_model.language_model.layers[-1]._forward_pre_hooks.copy():
        model.base_model.language_model.layers[-1]._forward_pre_hooks.pop(name)
    count = len(model.base_model.language_model.layers)
    monkeypatch.setattr(model.config.vision_config, "deepstack_visual_indexes", [0] * count, raising=False)
    assert not narrows(model)
    monkeypatch.setattr(model.config.vision_config, "deepstack_visual_indexes", [0] * (count - 1), raising=False)
    monkeypatch.setattr(module, "PLAIN", set())
    assert not narrows(model)
    assert not model.base_model.language_model.layers[-1]._forward_pre_hooks


def test_a_layer_that_does_not_ask_for_its_attention_is_a_fault_and_no_silence() -> None:
    class Deaf:
        def forward(self, states: Tensor, **options: Any) -> Tensor:
            return states

    with pytest.raises(RuntimeError, match="Deaf has not asked for its attention by name"):
        module._keys_and_values(Deaf(), torch.zeros(1, 2, 4), {})


@pytest.mark.parametrize("fault", ["seen", "through"])
def test_another_token_is_a_difference(one_vlm: VLM, one_renderer: Renderer, picture: Picture, fault: str) -> None:
    batch = siblings(one_renderer, picture)
    packed, expected, _ = run(one_vlm, batch, narrow=True)
    assert packed.last is not None
    moved = getattr(packed.last, fault).clone()
    moved[3] = moved[4]
    wrong = replace(packed, last=replace(packed.last, **{fault: moved}))
    with torch.no_grad():
        flat = hidden_states(one_vlm.model, wrong.input_ids, None, wrong.position_ids, wrong.images, layout=wrong)[0]
    assert (flat[wrong.index[batch.predicting]] - expected).abs().max() > 1e-3


def test_a_layer_that_leaves_things_out_by_chance_is_left_alone(one_vlm: VLM) -> None:
    model = deepcopy(one_vlm.model)
    layer = model.base_model.language_model.layers[-1]
    layer.dropout = torch.nn.Dropout(0.0)
    assert narrows(model)
    layer.dropout = torch.nn.Dropout(0.1)
    assert not narrows(model)


def test_a_state_that_nobody_asked_for_is_no_other_tokens(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = siblings(one_renderer, picture)
    with torch.no_grad():
        found = states.batch_states(one_vlm.model, batch)
    row = int(batch.prompt_length.argmax())
    other = torch.zeros_like(batch.action_mask)
    other[row, batch.prompt_length[row] - 2] = True
    with pytest.raises(IndexError):
        found.at(other)
