"""The critic's model: the value before a token knows what stands before it and nothing else."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.engine.batching import Batch, make_batch
from agent.model.forward import hidden_states
from agent.model.load import VLM
from agent.model.lora import attach
from agent.model.value_head import ValueModel, own_trunk, shared_trunk
from agent.rollout.render import Renderer
from agent.types import Row, Segment

Picture = Callable[..., np.ndarray]
ACTIONS = ((7, 8, 9), (10, 11))


def rows(renderer: Renderer, picture: Picture, shade: int = 0) -> list[Row]:
    """A row of two turns with a picture in each, and a shorter one with the same prompt."""
    array = picture(60, 90)
    array[0, 0, 0] ^= shade
    prompt = renderer.prompt("How many?", [array])
    long = Row((prompt, Segment("action", ACTIONS[0], 0)))
    long = long.append(renderer.observation("Again?", [picture(30, 30, 1)], 1, True))
    long = long.append(Segment("action", ACTIONS[1], 1))
    return [long, Row((prompt, Segment("action", (12,), 0)))]


def batch_of(vlm: VLM, made: list[Row], renderer: Renderer) -> Batch:
    return make_batch(made, list(range(len(made))), [0.0] * len(made), renderer.pixels, vlm.processor.merge)


def lit(made: ValueModel) -> ValueModel:
    """With a head that says something, the same each time."""
    torch.nn.init.normal_(made.head.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(made.head.bias, 0.5)
    return made


@pytest.fixture
def batch(vlm: VLM, renderer: Renderer, picture: Picture) -> Batch:
    return batch_of(vlm, rows(renderer, picture), renderer)


@pytest.fixture
def critic(vlm: VLM) -> ValueModel:
    return lit(own_trunk(vlm.model))


def test_a_value_is_the_head_on_the_hidden_state_before_the_token(vlm: VLM, critic: ValueModel, batch: Batch) -> None:
    values, final = critic(batch)
    assert values.dtype == final.dtype == torch.float32
    assert torch.equal(values != 0, batch.action_mask)
    weight, bias = critic.head.weight[0].double(), critic.head.bias[0].double()
    with torch.no_grad():
        hidden = hidden_states(
            vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, [*batch.images]
        ).double()
        for row in range(len(batch)):
            length = int(batch.attention_mask[row].sum())
            for token in range(1, length):
                expected = float(hidden[row, token - 1] @ weight + bias) if batch.action_mask[row, token] else 0.0
                assert float(values[row, token]) == pytest.approx(expected, abs=1e-4)
            assert float(final[row]) == pytest.approx(float(hidden[row, length - 1] @ weight + bias), abs=1e-4)


def test_the_value_before_a_token_does_not_change_with_that_token_or_a_later_one(
    vlm: VLM, critic: ValueModel, batch: Batch
) -> None:
    with torch.no_grad():
        values, final = critic(batch)
        for token in batch.action_mask[0].nonzero()[:, 0].tolist():
            changed = batch.input_ids.clone()
            # That token and every later one that stands for itself and not for a picture.
            picture = batch.input_ids[0] == vlm.processor.image_token_id
            later = (torch.arange(batch.input_ids.shape[1]) >= token) & batch.attention_mask[0] & ~picture
            changed[0, later] = (changed[0, later] + 13) % 200
            other, other_final = critic(replace(batch, input_ids=changed))
            before = batch.action_mask[0] & (torch.arange(batch.input_ids.shape[1]) <= token)
            np.testing.assert_allclose(other[0, before], values[0, before], atol=1e-5)
            after = batch.action_mask[0] & ~before
            assert ((other - values)[0, after].abs() > 1e-3).all()
            assert abs(float(other_final[0] - final[0])) > 1e-3
            np.testing.assert_allclose(other[1], values[1], atol=1e-5)


def test_the_value_changes_with_an_earlier_pixel_and_not_with_a_later_picture(
    vlm: VLM, critic: ValueModel, renderer: Renderer, picture: Picture, batch: Batch
) -> None:
    first = batch_of(vlm, rows(renderer, picture, shade=255), renderer)
    later = replace(batch, images=(batch.images[0], vlm.processor.process(picture(30, 30, 2)), *batch.images[2:]))
    with torch.no_grad():
        values = critic(batch)[0]
        assert ((critic(first)[0] - values)[batch.action_mask].abs() > 1e-6).all()
        moved = (critic(later)[0] - values).abs()[0]
    turn = batch.action_mask[0].nonzero()[:, 0]
    assert (moved[turn[: len(ACTIONS[0])]] < 1e-5).all()
    assert (moved[turn[len(ACTIONS[0]) :]] > 1e-4).all()


def test_before_anything_is_learned_nothing_is_expected(vlm: VLM, batch: Batch) -> None:
    values, final = own_trunk(vlm.model)(batch)
    assert not values.any() and not final.any()


def test_a_trunk_of_its_own_is_a_copy_without_the_language_models_head(one_vlm: VLM) -> None:
    critic = own_trunk(one_vlm.model)
    policy = {weight.data_ptr() for weight in one_vlm.model.parameters()}
    assert not policy & {weight.data_ptr() for weight in critic.parameters()}
    names = {name.removeprefix("own_trunk.") for name, _ in critic.trunk.named_parameters()}
    assert names == {name.removeprefix("model.") for name, _ in one_vlm.model.named_parameters() if "model." in name}


def test_a_trunk_of_its_own_learns_in_every_part_whatever_is_frozen_in_the_policy(vlm: VLM, batch: Batch) -> None:
    policy = copy.deepcopy(vlm.model).requires_grad_(False)
    critic = lit(own_trunk(policy))
    critic(batch)[0].sum().backward()
    without = [name for name, weight in critic.named_parameters() if weight.grad is None or not weight.grad.any()]
    # Adding the same to every key of a softmax changes nothing, so the key's bias has no gradient but rounding.
    assert [name for name in without if "k_proj.bias" not in name] == []


def test_an_adapter_of_the_policy_is_folded_into_the_copy(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = batch_of(one_vlm, rows(one_renderer, picture), one_renderer)
    policy = copy.deepcopy(one_vlm.model)
    attach(policy, rank=2)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            weight += 0.05 if ".lora_B." in name else 0.0
        ours = lit(own_trunk(policy))
        np.testing.assert_allclose(ours(batch)[0], lit(shared_trunk(policy))(batch)[0], atol=1e-4)
    assert not any("lora" in name for name, _ in ours.named_parameters())
    assert all(weight.requires_grad for weight in ours.parameters())


def test_a_shared_trunk_is_the_policys_and_is_not_counted_among_the_critics_weights(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = batch_of(one_vlm, rows(one_renderer, picture), one_renderer)
    critic = lit(shared_trunk(one_vlm.model))
    assert critic.trunk is one_vlm.model
    assert {name for name, _ in critic.named_parameters()} == set(critic.state_dict()) == {"head.weight", "head.bias"}
    with torch.no_grad():
        assert torch.equal(critic(batch)[0], lit(own_trunk(one_vlm.model))(batch)[0])


def test_values_move_a_shared_trunk(one_vlm: VLM, one_renderer: Renderer, picture: Picture) -> None:
    batch = batch_of(one_vlm, rows(one_renderer, picture), one_renderer)
    policy = copy.deepcopy(one_vlm.model)
    critic = lit(shared_trunk(policy))
    critic(batch)[0].sum().backward()
    assert critic.head.weight.grad is not None and critic.head.weight.grad.any()
    assert any(weight.grad is not None and weight.grad.any() for weight in policy.parameters())


def test_micro_batches_have_the_values_of_the_whole(critic: ValueModel, batch: Batch) -> None:
    with torch.no_grad():
        whole, final = critic(batch)
        for index, micro in enumerate(batch.split(1)):
            values, last = critic(micro)
            np.testing.assert_allclose(values[0], whole[index, : values.shape[1]], atol=2e-5)
            assert float(last[0]) == pytest.approx(float(final[index]), abs=2e-5)


def test_a_bfloat16_trunk_has_float32_values(one_vlm: VLM, one_renderer: Renderer, picture: Picture) -> None:
    batch = batch_of(one_vlm, rows(one_renderer, picture), one_renderer)
    critic = lit(own_trunk(copy.deepcopy(one_vlm.model).to(torch.bfloat16)))
    assert critic(batch)[0].dtype == critic.head.weight.dtype == torch.float32
