"""Weights of four bits under an adapter: what is computed, learned, saved and refused."""

import copy
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from agent.config_model import LoraConfig
from agent.errors import CheckpointError, ConfigError
from agent.model.four_bit import FourBitLinear, quantize
from agent.model.load import VLM, load_vlm
from agent.model.lora import adapter_off, attach, fold, load_adapter, merged_tensors, save_merged
from agent.parts import build
from agent.run import run
from tests.agent.qlora import needs_bitsandbytes
from tests.agent.run_fixtures import Hooks, quiet, small_config, weights

pytestmark = needs_bitsandbytes
# The sixteen values of NF4 (QLoRA, arXiv 2305.14314, appendix E), to the digits of float32.
NF4 = (-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0)
NF4 += (0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0)


def adapted(vlm: VLM) -> VLM:
    """A copy with an adapter that has learned something."""
    made = replace(vlm, model=copy.deepcopy(vlm.model))
    attach(made.model, rank=4, alpha=8.0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if ".lora_B." in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return made


@pytest.fixture
def four_bit(one_vlm: VLM) -> VLM:
    made = adapted(one_vlm)
    quantize(made.model, "cpu")
    return made


def spelled_out(vlm: VLM) -> VLM:
    """The same model with ordinary layers that hold what four bits hold."""
    made = replace(vlm, model=copy.deepcopy(vlm.model))
    for module in list(made.model.modules()):
        base = getattr(module, "base_layer", None)
        if isinstance(base, FourBitLinear):
            plain = nn.Linear(base.in_features, base.out_features, base.bias is not None)
            plain.weight, plain.bias = nn.Parameter(base.plain_weight(), requires_grad=False), base.bias
            module.base_layer = plain
    return made


def logits(vlm: VLM) -> torch.Tensor:
    return vlm.model(input_ids=torch.arange(40).view(2, 20)).logits


def test_every_weight_under_an_adapter_is_kept_in_four_bits_and_no_other(one_vlm: VLM, four_bit: VLM) -> None:
    kept = {name for name, module in four_bit.model.named_modules() if isinstance(module, FourBitLinear)}
    assert kept == {f"{name}.base_layer" for name, module in adapted_layers(four_bit)}
    assert len(kept) > 5
    plain = dict(one_vlm.model.named_parameters())
    for name, weight in four_bit.model.named_parameters():
        if name.removesuffix(".weight").removesuffix(".bias") not in kept and "lora_" not in name:
            assert torch.equal(weight, plain[name])


def adapted_layers(vlm: VLM) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in vlm.model.named_modules() if hasattr(module, "lora_A")]


def test_a_weight_becomes_the_nearest_of_sixteen_values_of_its_block() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(128, 8, bias=False)
    blocks = plain.weight.detach().reshape(-1, 64)
    scales = blocks.abs().amax(1, keepdim=True)
    nearest = (blocks / scales)[..., None].sub(torch.tensor(NF4)).abs().argmin(-1)
    expected = torch.tensor(NF4)[nearest] * scales
    # The scales themselves are kept in eight bits: within 1% of the largest.
    torch.testing.assert_close(
        FourBitLinear(plain, "cpu").plain_weight().reshape(-1, 64), expected, atol=0.01 * float(scales.max()), rtol=0
    )


def test_it_takes_a_quarter_of_sixteen_bits() -> None:
    made = FourBitLinear(nn.Linear(512, 512, dtype=torch.bfloat16), "cpu")
    assert made.weight.nbytes == 512 * 512 // 2
    assert made.state.absmax.nbytes == 512 * 512 // 64
    assert made.plain_weight().dtype == torch.bfloat16


def test_outputs_are_those_of_the_spelled_out_weights(four_bit: VLM) -> None:
    torch.testing.assert_close(logits(four_bit), logits(spelled_out(four_bit)), atol=1e-5, rtol=0)


def test_the_adapters_gradients_are_those_over_the_spelled_out_weights(four_bit: VLM) -> None:
    found = []
    for vlm in (four_bit, spelled_out(four_bit)):
        cross_entropy(logits(vlm).flatten(0, 1), torch.arange(40)).backward()
        found.append({n: p.grad for n, p in vlm.model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() and all("lora_" in name for name in found[0])
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-6, rtol=0)


def test_with_the_adapter_off_it_is_the_rounded_model(one_vlm: VLM, four_bit: VLM) -> None:
    fresh = replace(one_vlm, model=copy.deepcopy(one_vlm.model))
    attach(fresh.model, rank=4, alpha=8.0)
    quantize(fresh.model, "cpu")
    with adapter_off(four_bit.model):
        assert torch.equal(logits(four_bit), logits(fresh))


def test_samplers_checkpoints_and_copies_hold_ordinary_weights_with_the_adapter_in_them(
    four_bit: VLM, tmp_path: Path
) -> None:
    expected = logits(four_bit).detach()
    merged = dict(merged_tensors(four_bit.model))
    assert merged.keys() == four_bit_names(four_bit)
    assert all(tensor.dtype == torch.float32 for tensor in merged.values())
    save_merged(four_bit.model, tmp_path)
    four_bit.processor.save(tmp_path)
    torch.testing.assert_close(logits(load_vlm(tmp_path)), expected, atol=1e-4, rtol=0)
    folded = replace(four_bit, model=copy.deepcopy(four_bit.model))
    fold(folded.model)
    assert not any(isinstance(module, FourBitLinear) for module in folded.model.modules())
    torch.testing.assert_close(logits(folded), expected, atol=1e-4, rtol=0)


def four_bit_names(vlm: VLM) -> set[str]:
    return {name.replace(".base_layer.", ".") for name in vlm.model.state_dict() if ".lora_" not in name}


def test_an_adapter_is_loaded_over_the_same_four_bits_and_over_nothing_else(one_vlm: VLM, tmp_path: Path) -> None:
    saved = adapted(one_vlm)
    quantize(saved.model, "cpu")
    save_merged(saved.model, tmp_path)
    again = replace(one_vlm, model=copy.deepcopy(one_vlm.model))
    attach(again.model, rank=4, alpha=8.0)
    with pytest.raises(CheckpointError, match="trained on other weights"):
        load_adapter(again.model, tmp_path / "adapter")
    quantize(again.model, "cpu")
    load_adapter(again.model, tmp_path / "adapter")
    assert torch.equal(logits(again), logits(saved))


def test_a_run_over_four_bits_learns_and_is_continued_bit_for_bit(tmp_path: Path) -> None:
    lora = {"lora": LoraConfig(2, quantize="nf4")}
    whole = small_config(tmp_path / "whole", model=lora)
    assert run(whole, quiet()[0]).finished
    cut = small_config(tmp_path / "cut", model=lora, run={"save_every": 100})
    Hooks.set(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == 8 + 12 + 2 else None)  # in step 2
    assert not run(cut, quiet()[0]).finished
    Hooks.set(None)
    assert run(cut, quiet()[0]).finished
    assert weights(tmp_path / "whole/run", 3) == weights(tmp_path / "cut/run", 3) != weights(tmp_path / "cut/run", 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": {"lora": LoraConfig(quantize="nf4")}}, "model.lora.rank is 0"),
        ({"model": {"lora": LoraConfig(2, quantize="nf4")}, "engine": {"train": "fsdp2"}}, "engine.train: local"),
    ],
)
def test_four_bits_without_an_adapter_or_in_shards_are_refused(options: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        build(small_config(tmp_path, **options), tmp_path, None)


def test_without_bitsandbytes_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    config = small_config(tmp_path, model={"lora": LoraConfig(2, quantize="nf4")})
    with pytest.raises(ConfigError, match=r"pip install 'rllava-gym\[qlora\]'"):
        build(config, tmp_path, None)
