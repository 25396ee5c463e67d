"""Every weight belongs to one part, and each part is trained at its own rate or not at all."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from agent.engine.batching import make_batch
from agent.errors import ConfigError
from agent.model.load import VLM
from agent.model.trainable import freeze, gradient_norms, parameter_groups, part_of, parts
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row

RATES = {"vision": 1e-6, "connector": 1e-4, "language": 1e-5}
Picture = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def _as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """The session's models are trainable in every part, before and after each test."""
    models = [request.getfixturevalue(name).model for name in {"vlm", "one_vlm"} & set(request.fixturenames)]
    for model in models:
        model.requires_grad_(True).zero_grad(set_to_none=True)
    yield
    for model in models:
        model.requires_grad_(True).zero_grad(set_to_none=True)


def backward(vlm: VLM, pictures: list[np.ndarray]) -> None:
    renderer = Renderer(vlm.processor)
    row = Row((renderer.prompt("How many?", pictures),)).append(renderer.demonstration("three", 0))
    batch = make_batch([row], [0], [1.0], renderer.pixels, vlm.processor.merge)
    Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)[0].sum().backward()


def test_every_weight_of_a_family_is_in_exactly_one_part(vlm: VLM) -> None:
    held = parts(vlm.model)
    ids = [id(weight) for weights in held.values() for weight in weights.values()]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(weight) for weight in vlm.model.parameters()}
    assert all(held.values())


def test_the_parts_are_the_modules_of_the_family(vlm: VLM, family: str) -> None:
    trunk = vlm.model.base_model
    connectors = [trunk.visual.merger, *getattr(trunk.visual, "deepstack_merger_list", [])]
    assert len(connectors) == (2 if family == "qwen3_vl" else 1)
    connector = {id(weight) for module in connectors for weight in module.parameters()}
    vision = {id(weight) for weight in trunk.visual.parameters()} - connector
    language = {id(w) for module in (trunk.language_model, vlm.model.lm_head) for w in module.parameters()}
    for part, expected in (("connector", connector), ("vision", vision), ("language", language)):
        assert {id(weight) for weight in parts(vlm.model)[part].values()} == expected  # type: ignore[index]


def test_a_head_that_shares_the_embeddings_is_counted_once_and_with_the_language_model(one_vlm: VLM) -> None:
    assert one_vlm.model.lm_head.weight is one_vlm.model.base_model.language_model.embed_tokens.weight
    names = [name for name in parts(one_vlm.model)["language"] if "embed" in name or "lm_head" in name]
    assert names == ["model.language_model.embed_tokens.weight"]


def test_a_trunk_without_its_head_has_the_same_parts(one_vlm: VLM) -> None:
    whole, trunk = parts(one_vlm.model), parts(one_vlm.model.base_model)
    for part, weights in trunk.items():
        assert {f"model.{name}" for name in weights} == set(whole[part])


def test_a_weight_of_no_part_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'audio_tower.conv.weight' belongs to none of the parts vision, connector"):
        part_of("audio_tower.conv.weight")


def test_a_tensor_shared_between_two_parts_is_named() -> None:
    model = nn.Module()
    model.vision_tower = nn.Linear(2, 2)
    model.lm_head = nn.Linear(2, 2)
    model.lm_head.weight = model.vision_tower.weight
    with pytest.raises(ConfigError, match=r"'vision_tower.weight' \(vision\) and 'lm_head.weight' \(language\)"):
        parts(model)


def test_each_part_has_its_own_rate_in_the_optimizer(vlm: VLM) -> None:
    groups = parameter_groups(vlm.model, RATES, weight_decay=0.1)
    assert [(g["part"], g["lr"], g["rate"], g["weight_decay"]) for g in groups] == [
        (part, rate, rate, 0.1) for part, rate in RATES.items()
    ]
    for group in groups:
        assert {id(w) for w in group["params"]} == {id(w) for w in parts(vlm.model)[group["part"]].values()}


def test_a_step_moves_each_part_by_its_own_rate_and_a_frozen_one_not_at_all(vlm: VLM, picture: Picture) -> None:
    original = {name: weight.clone() for name, weight in vlm.model.state_dict().items()}
    freeze(vlm.model, ["vision"])
    rates = {"connector": 1e-3, "language": 1e-5}
    # The first step of Adam is rate x gradient / (|gradient| + 1e-8): the rate, wherever a gradient arrived.
    optimizer = torch.optim.Adam(parameter_groups(vlm.model, rates))
    backward(vlm, [picture(60, 60)])
    optimizer.step()
    try:
        for part, weights in parts(vlm.model).items():
            moved = max(float((weight.detach() - original[name]).abs().max()) for name, weight in weights.items())
            assert moved == pytest.approx(rates.get(part, 0.0), rel=0.05), part
    finally:
        vlm.model.load_state_dict(original)


def test_biases_and_gains_can_be_spared_the_weight_decay(one_vlm: VLM) -> None:
    groups = parameter_groups(one_vlm.model, RATES, weight_decay=0.1, decay_vectors=False)
    assert {g["weight_decay"] for g in groups if all(w.ndim >= 2 for w in g["params"])} == {0.1}
    assert {g["weight_decay"] for g in groups if all(w.ndim < 2 for w in g["params"])} == {0.0}
    assert sum(len(g["params"]) for g in groups) == len(list(one_vlm.model.parameters()))
    assert len(groups) == 6


def test_a_frozen_part_has_no_group(one_vlm: VLM) -> None:
    freeze(one_vlm.model, ["vision", "connector"])
    assert [group["part"] for group in parameter_groups(one_vlm.model, RATES)] == ["language"]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"vision": 1e-6, "language": 1e-5}, "connector has .* weights that would be trained, among them model.visual"),
        (RATES | {"vision": 0.0}, "vision has .* a learning rate of 0: freeze it or give it a rate"),
        (RATES | {"vision": -1.0}, "rate of vision must be a number of at least 0, got -1.0"),
        (RATES | {"vision": float("nan")}, "rate of vision must be a number of at least 0, got nan"),
        (RATES | {"visual": 1e-6}, "'visual' is no part of a model; the parts are vision, connector, language"),
    ],
)
def test_rates_that_cannot_be_meant_are_refused(one_vlm: VLM, rates: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parameter_groups(one_vlm.model, rates)


def test_a_model_of_which_nothing_is_trained_is_refused(one_vlm: VLM) -> None:
    freeze(one_vlm.model, ["vision", "connector", "language"])
    with pytest.raises(ConfigError, match="nothing is left to train"):
        parameter_groups(one_vlm.model, RATES)


def test_a_part_that_does_not_exist_cannot_be_frozen(one_vlm: VLM) -> None:
    with pytest.raises(ConfigError, match="'tower' is no part of a model"):
        freeze(one_vlm.model, ["tower"])
    with pytest.raises(ConfigError, match="the model has no vision"):
        freeze(nn.Module(), ["vision"])


def test_gradient_norms_are_the_lengths_over_each_part(one_vlm: VLM, picture: Picture) -> None:
    backward(one_vlm, [picture(60, 60)])
    norms = gradient_norms(one_vlm.model)
    for part, weights in parts(one_vlm.model).items():
        squares = sum(float((w.grad.double() ** 2).sum()) for w in weights.values() if w.grad is not None)
        assert norms[part] == pytest.approx(squares**0.5, rel=1e-5) and norms[part] > 0


def test_a_trained_part_that_no_gradient_reaches_shows_a_norm_of_zero(one_vlm: VLM) -> None:
    backward(one_vlm, [])  # no picture: nothing flows through what sees
    norms = gradient_norms(one_vlm.model)
    assert norms["vision"] == norms["connector"] == 0.0 < norms["language"]


def test_a_frozen_part_has_no_gradient_norm(one_vlm: VLM, picture: Picture) -> None:
    freeze(one_vlm.model, ["vision"])
    backward(one_vlm, [picture(60, 60)])
    assert set(gradient_norms(one_vlm.model)) == {"connector", "language"}
