"""Adapters: what is trained, what stays bit for bit, and what other tools are given."""

import copy
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText

from agent.engine.batching import Batch, make_batch
from agent.errors import CheckpointError, ConfigError
from agent.model.load import VLM, load_vlm
from agent.model.lora import (
    adapter_off,
    attach,
    base_is_frozen,
    fold,
    has_adapter,
    load_adapter,
    merged_tensors,
    save_adapter,
    save_merged,
)
from agent.model.states import share
from agent.model.trainable import gradient_norms, parts
from agent.roles.actor import Actor
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.types import Row

Picture = Callable[..., np.ndarray]
TARGETS = ["language", "all-linear", "q_proj|v_proj"]


def copied(vlm: VLM) -> VLM:
    """The session's model, to be changed."""
    return replace(vlm, model=copy.deepcopy(vlm.model))


def learned(vlm: VLM, **options: object) -> VLM:
    """A copy with an adapter that has left its beginning, at which its product is zero."""
    made = copied(vlm)
    attach(made.model, **{"rank": 4, "alpha": 8.0, **options})  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if ".lora_B." in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return made


@pytest.fixture
def batch(one_vlm: VLM, picture: Picture) -> Batch:
    return batch_of(one_vlm, picture)


def batch_of(vlm: VLM, picture: Picture) -> Batch:
    """Two rows that share their prompt and one of its own."""
    renderer = Renderer(vlm.processor)
    first, second = renderer.prompt("How many?", [picture(60, 90)]), renderer.prompt("And now?", [picture(50, 40, 1)])
    rows = [
        Row((first,)).append(renderer.demonstration("three circles", 0)),
        Row((first,)).append(renderer.demonstration("two", 0)),
        Row((second,)).append(renderer.demonstration("none at all", 0)),
    ]
    return make_batch(rows, [0, 1, 2], [1.0] * 3, renderer.pixels, vlm.processor.merge)


def logprobs(vlm: VLM, batch: Batch) -> torch.Tensor:
    return Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)[0]


def test_training_begins_at_the_model_itself(vlm: VLM, picture: Picture) -> None:
    batch = batch_of(vlm, picture)
    made = copied(vlm)
    attach(made.model, rank=4, target="all-linear")
    assert torch.equal(logprobs(made, batch), logprobs(vlm, batch))


def test_a_layer_with_an_adapter_adds_the_scaled_product(one_vlm: VLM) -> None:
    # LoRA, equation 3, with alpha / rank = 8 / 4: h = W x + b + 2 B A x, by hand in float64.
    layer = learned(one_vlm).model.base_model.language_model.layers[1].self_attn.q_proj
    x = torch.linspace(-1, 1, 64)
    a, b = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    w, bias = layer.base_layer.weight.double(), layer.base_layer.bias.double()
    expected = w @ x.double() + bias + 2.0 * (b @ (a @ x.double()))
    np.testing.assert_allclose(layer(x).detach(), expected.detach(), atol=1e-5)


def test_without_its_adapter_the_model_is_the_base_bit_for_bit(vlm: VLM, picture: Picture) -> None:
    batch = batch_of(vlm, picture)
    made = learned(vlm, target="all-linear")
    with torch.no_grad():
        base, on = logprobs(vlm, batch), logprobs(made, batch)
        with adapter_off(made.model):
            off = logprobs(made, batch)
        again = logprobs(made, batch)
    assert torch.equal(off, base)
    assert (on - base).abs().max() > 1e-3
    assert torch.equal(again, on)


def test_the_reference_pass_between_forward_and_backward_leaves_the_gradient_alone(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm)

    def gradients(reference_between: bool) -> dict[str, torch.Tensor]:
        made.model.zero_grad()
        chosen = logprobs(made, batch)
        if reference_between:
            with torch.no_grad(), adapter_off(made.model):
                logprobs(made, batch)
        chosen.sum().backward()
        return {name: w.grad.clone() for name, w in made.model.named_parameters() if w.grad is not None}

    alone, between = gradients(False), gradients(True)
    assert alone.keys() == between.keys() and alone
    assert all(torch.equal(alone[name], between[name]) for name in alone)


def test_the_adapter_comes_back_after_an_exception_and_as_frozen_as_it_was(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm)
    made.model.requires_grad_(False)
    expected = logprobs(made, batch)
    with pytest.raises(KeyError), adapter_off(made.model), adapter_off(made.model):
        raise KeyError
    assert torch.equal(logprobs(made, batch), expected)
    assert not any(weight.requires_grad for weight in made.model.parameters())


def test_one_reference_pass_within_another_leaves_the_adapter_off(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm)
    with torch.no_grad(), adapter_off(made.model):
        with adapter_off(made.model):
            pass
        assert torch.equal(logprobs(made, batch), logprobs(one_vlm, batch))


def test_a_model_without_adapter_or_with_a_moving_base_has_nothing_to_switch_off(one_vlm: VLM) -> None:
    with pytest.raises(ConfigError, match="no adapter to switch off"), adapter_off(one_vlm.model):
        pass
    made = copied(one_vlm)
    attach(made.model, rank=2, also_train=["connector"])
    assert not base_is_frozen(made.model)
    with pytest.raises(ConfigError, match="must be a frozen copy"), adapter_off(made.model):
        pass


@pytest.mark.parametrize("target", TARGETS)
def test_the_gradient_flows_to_the_adapter_and_to_nothing_else(
    vlm: VLM, picture: Picture, target: str, family: str
) -> None:
    made = learned(vlm, target=target)
    logprobs(made, batch_of(vlm, picture)).sum().backward()
    reached = {name for name, weight in made.model.named_parameters() if weight.grad is not None and weight.grad.any()}
    adapter = {name for name, _ in made.model.named_parameters() if ".lora_" in name}
    # Adding the same to every key of a softmax changes nothing, but a product does not add the same to every key.
    assert reached == adapter
    expected = {"language": {"language"}, "all-linear": {"vision", "connector", "language"}}
    norms = gradient_norms(made.model)
    assert set(norms) == expected.get(target, {"language"}) and min(norms.values()) > 0


def test_gradients_with_a_shared_prompt_are_those_of_whole_rows(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm, target="all-linear")

    def gradients() -> dict[str, torch.Tensor]:
        made.model.zero_grad()
        logprobs(made, batch).sum().backward()
        return {name: w.grad.clone() for name, w in made.model.named_parameters() if w.grad is not None}

    shared = gradients()
    share(made.model, "none")
    for name, whole in gradients().items():
        assert (shared[name] - whole).abs().max() <= 1e-5 * max(1.0, float(whole.abs().max())), name


def test_a_part_can_be_trained_in_full_beside_an_adapter(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm, also_train=["connector"])
    logprobs(made, batch).sum().backward()
    trained = {name for name, weight in made.model.named_parameters() if weight.requires_grad}
    assert {n for n in trained if ".lora_" not in n} == set(parts(made.model)["connector"])
    assert gradient_norms(made.model)["connector"] > 0


# Which layers.


def layers(vlm: VLM, **options: object) -> set[str]:
    made = copied(vlm)
    attach(made.model, rank=2, **options)  # type: ignore[arg-type]
    return {name.partition(".lora_A")[0] for name, _ in made.model.named_parameters() if ".lora_A" in name}


def test_language_means_every_linear_layer_of_the_language_model_but_its_head(vlm: VLM) -> None:
    expected = {
        name
        for name, module in vlm.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("model.language_model.")
    }
    assert len(expected) == 2 * 7  # two layers of q, k, v, o, gate, up, down
    assert layers(vlm, target="language") == expected


def test_all_linear_means_every_linear_layer_but_the_head(vlm: VLM) -> None:
    every = {name for name, module in vlm.model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert layers(vlm, target="all-linear") == every - {"lm_head"}


def test_a_name_is_the_end_of_a_modules_name_or_an_expression(one_vlm: VLM) -> None:
    found = layers(one_vlm, target=["layers.0.mlp.up_proj", r"layers\.\d+\.self_attn\.(q|k)_proj"])
    assert found == {"model.language_model.layers.0.mlp.up_proj"} | {
        f"model.language_model.layers.{i}.self_attn.{x}_proj" for i in range(2) for x in "qk"
    }
    # "proj" is not the end of "q_proj": a name ends at a dot.
    assert all(name.endswith(".attn.proj") for name in layers(one_vlm, target="proj"))


def test_adapters_stand_only_on_the_parts_that_may_carry_them(one_vlm: VLM) -> None:
    assert all(".merger." in name for name in layers(one_vlm, target="all-linear", on=["connector"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 0}, "rank must be at least 1"),
        ({"alpha": 0.0}, "alpha above 0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"target": "wq"}, r"'wq' matches no linear layer of vision, connector, language; they are called as model\."),
        ({"target": "("}, r"'\(' is no regular expression"),
        ({"target": []}, "leaves no linear layer"),
        ({"target": "language", "on": ["vision"]}, "leaves no linear layer"),
        ({"also_train": ["language"]}, "language would carry an adapter and be trained in full"),
        ({"also_train": ["tower"]}, "'tower' is no part of a model"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(one_vlm: VLM, options: dict[str, object], words: str) -> None:
    made = copied(one_vlm)
    with pytest.raises(ConfigError, match=words):
        attach(made.model, **{"rank": 4, **options})  # type: ignore[arg-type]
    assert not has_adapter(made.model)


def test_a_second_adapter_is_refused(one_vlm: VLM) -> None:
    made = learned(one_vlm)
    with pytest.raises(ConfigError, match="already has an adapter"):
        attach(made.model, rank=4)


def test_the_seed_decides_where_an_adapter_begins_and_torchs_generator_is_left_alone(one_vlm: VLM) -> None:
    def first(seed: int) -> torch.Tensor:
        made = copied(one_vlm)
        attach(made.model, rank=2, seed=seed)
        return next(weight for name, weight in made.model.named_parameters() if ".lora_A." in name)

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))
    assert torch.equal(torch.rand(3), expected)


# For a rollout engine and for other tools.


@pytest.mark.parametrize("target", TARGETS)
def test_folded_weights_have_the_names_of_the_base_and_give_the_adapters_outputs(
    vlm: VLM, picture: Picture, target: str
) -> None:
    made, batch = learned(vlm, target=target), batch_of(vlm, picture)
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    plain = copied(vlm)
    assert [name for name, _ in merged_tensors(made.model)] == list(vlm.model.state_dict())
    engine = TransformersEngine(plain.model, vlm.processor.image_token_id, vlm.processor.merge)
    engine.load_weights(merged_tensors(made.model), 1)  # which refuses names and shapes that are not its own
    with torch.no_grad():
        np.testing.assert_allclose(logprobs(plain, batch), logprobs(made, batch), atol=2e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.model.state_dict().items())


def test_a_model_without_adapter_streams_its_own_tensors(one_vlm: VLM) -> None:
    own = one_vlm.model.state_dict(keep_vars=True)
    assert all(tensor is own[name] for name, tensor in merged_tensors(one_vlm.model))


def test_only_the_weights_under_an_adapter_are_folded_anew(one_vlm: VLM) -> None:
    made = learned(one_vlm, target="q_proj")
    own = {t.data_ptr() for t in made.model.state_dict(keep_vars=True).values()}
    anew = [name for name, tensor in merged_tensors(made.model) if tensor.data_ptr() not in own]
    assert anew == [f"model.language_model.layers.{i}.self_attn.q_proj.weight" for i in range(2)]


def test_bfloat16_weights_are_folded_in_float32_and_rounded_once(one_vlm: VLM) -> None:
    made = learned(one_vlm, target="q_proj")
    made.model.to(torch.bfloat16)
    layer = made.model.base_model.language_model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    expected = (layer.base_layer.weight.double() + 2.0 * b @ a).bfloat16()
    folded = dict(merged_tensors(made.model))["model.language_model.layers.0.self_attn.q_proj.weight"]
    assert folded.dtype == torch.bfloat16
    # float32 rounds before bfloat16 does, which shows only at a tie.
    assert (folded != expected).float().mean() < 1e-3


def test_a_folded_model_is_an_ordinary_one(one_vlm: VLM, batch: Batch) -> None:
    made = learned(one_vlm)
    expected = logprobs(made, batch)
    fold(made.model)
    assert not has_adapter(made.model)
    assert list(made.model.state_dict()) == list(one_vlm.model.state_dict())
    np.testing.assert_allclose(logprobs(made, batch).detach(), expected.detach(), atol=2e-4)
    attach(made.model, rank=2)  # and can be given another adapter
    with adapter_off(made.model), torch.no_grad():
        np.testing.assert_allclose(logprobs(made, batch), expected.detach(), atol=2e-4)


@pytest.fixture
def saved(vlm: VLM, tmp_path: Path) -> tuple[VLM, Path]:
    made = learned(vlm, target="all-linear")
    (tmp_path / "saved").mkdir()
    made.processor.save(tmp_path / "saved")
    save_merged(made.model, tmp_path / "saved")
    return made, tmp_path / "saved"


def test_the_saved_folder_is_a_plain_one_with_the_adapter_folded_in(saved: tuple[VLM, Path], picture: Picture) -> None:
    made, folder = saved
    batch = batch_of(made, picture)
    ours = load_vlm(folder)
    theirs, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        np.testing.assert_allclose(logprobs(ours, batch), logprobs(made, batch), atol=2e-4)
        # Ours embeds patches by a product, which rounds otherwise than a convolution.
        np.testing.assert_allclose(logprobs(replace(ours, model=theirs), batch), logprobs(ours, batch), atol=2e-5)


def test_the_saved_adapter_is_pefts_own_format(saved: tuple[VLM, Path], vlm: VLM, picture: Picture) -> None:
    made, folder = saved
    batch = batch_of(made, picture)
    theirs = PeftModel.from_pretrained(copy.deepcopy(vlm.model), folder / "adapter").model
    with torch.no_grad():
        assert torch.equal(logprobs(replace(vlm, model=theirs), batch), logprobs(made, batch))


def test_a_run_continues_from_the_base_and_the_adapter_exactly(
    saved: tuple[VLM, Path], vlm: VLM, picture: Picture
) -> None:
    made, folder = saved
    again = copied(vlm)
    attach(again.model, rank=4, alpha=8.0, target="all-linear", seed=99)
    load_adapter(again.model, folder / "adapter")
    ours, theirs = again.model.state_dict(), made.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_parts_trained_in_full_are_continued_too(one_vlm: VLM, tmp_path: Path) -> None:
    made = learned(one_vlm, also_train=["connector"])
    with torch.no_grad():
        made.model.base_model.visual.merger.mlp[0].weight += 1.0
    save_adapter(made.model, tmp_path)
    again = copied(one_vlm)
    attach(again.model, rank=4, alpha=8.0, also_train=["connector"])
    load_adapter(again.model, tmp_path)
    assert all(torch.equal(t, made.model.state_dict()[name]) for name, t in again.model.state_dict().items())
    other = copied(one_vlm)
    attach(other.model, rank=4, alpha=8.0)
    with pytest.raises(CheckpointError, match=r"merger.* is in the folder and not in the model; the parts"):
        load_adapter(other.model, tmp_path)


def test_an_adapter_on_top_of_the_checkpoint_that_contains_it_is_refused(one_vlm: VLM, tmp_path: Path) -> None:
    made = learned(one_vlm)
    save_adapter(made.model, tmp_path)
    fold(made.model)
    attach(made.model, rank=4, alpha=8.0)
    with pytest.raises(CheckpointError, match=r"trained on other weights .* already contains it"):
        load_adapter(made.model, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 2}, "saved with r=4, the model's has 2"),
        ({"alpha": 9.0}, "saved with lora_alpha=8.0, the model's has 9.0"),
        ({"target": "q_proj"}, "is in the folder and not in the model; the lora options"),
        ({"target": "all-linear"}, "is in the model and not in the folder; the lora options"),
    ],
)
def test_another_adapters_values_are_refused(
    one_vlm: VLM, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    save_adapter(learned(one_vlm).model, tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_adapter(learned(one_vlm, **options).model, tmp_path)


def test_a_folder_without_or_with_a_damaged_adapter_is_named(one_vlm: VLM, tmp_path: Path) -> None:
    made = learned(one_vlm)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "none"))):
        load_adapter(made.model, tmp_path / "none")
    save_adapter(made.model, tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_adapter(made.model, tmp_path / "a")
    shutil.rmtree(tmp_path / "a")


def test_a_model_without_adapter_is_saved_as_it_is(one_vlm: VLM, tmp_path: Path) -> None:
    save_merged(one_vlm.model, tmp_path)
    assert not (tmp_path / "adapter").exists()
    with pytest.raises(CheckpointError, match="no adapter that could be saved"):
        save_adapter(one_vlm.model, tmp_path)
