"""Low-rank adapters: the weights stay, and what is learned is a small product beside each of them.

A linear layer x W^T becomes x W^T + (alpha / rank) x A^T B^T with A (rank, in) random and B (out, rank) zero, so that
training begins at the model itself (LoRA, arXiv 2106.09685, equation 3). The layers are peft's, put into the model in
place: it keeps its class, and the forward pass of sampler and trainer runs as before. With the adapter switched off it
is the model that training began with, bit for bit, which serves as the reference policy for free.

On disk there are two things: the weights with the adapter folded in, in an ordinary Hugging Face folder, and beside
them `adapter/`, in peft's format, which holds what is trained, exactly. A run is continued from the model that it began
with and the adapter; the folded weights have been rounded and cannot be taken apart again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from ..errors import CheckpointError, ConfigError
from .four_bit import base_weight, unquantized
from .trainable import PARTS, part_of, parts

FOLDER, ADAPTER, FULL = "adapter", "adapter_model.safetensors", "trained_in_full.safetensors"
NAME = "default"
PROBED = 1024  # values of each adapted weight that tell one base from another
LORA_WEIGHTS = re.compile(rf"\.lora_[AB]\.{NAME}\.weight$")


def attach(
    model: PreTrainedModel,
    rank: int,
    alpha: float = 16.0,
    dropout: float = 0.0,
    target: str | Sequence[str] = "language",
    seed: int = 0,
    on: Collection[str] = PARTS,
    also_train: Collection[str] = (),
) -> None:
    """Put an adapter into a model, in place. Everything else in the model is frozen.

    Args:
        model: A vision-language model without an adapter.
        rank: Rank of each product, at least 1.
        alpha: The product is scaled by alpha / rank.
        dropout: In [0, 1), of what goes into the adapter while `model.train()` is on. In reinforcement learning leave
            it at 0: with it the trainer's distribution is another than the one that was sampled from.
        target: "language": every linear layer of the language model but its head. "all-linear": those of vision tower
            and connector too. Otherwise a regular expression, or several, of which one matches the module's whole name
            or its end (as "q_proj" or "layers.1.mlp.up_proj").
        seed: Of the random A.
        on: Parts (see `trainable`) that may carry adapters.
        also_train: Parts whose own weights are trained in full beside it; none of them may carry an adapter.

    Raises:
        ConfigError: a number out of range, a target that matches nothing, or a part that would be trained both ways.
    """
    if has_adapter(model):
        raise ConfigError("the model already has an adapter; fold it in first (agent.model.lora.fold)")
    if rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise ConfigError(
            f"lora: rank must be at least 1, alpha above 0 and dropout in [0, 1), got {rank}, {alpha} and {dropout}"
        )
    names = _targets(model, target, on)
    twice = sorted({part_of(name) for name in names} & set(also_train))
    if twice:
        raise ConfigError(f"{', '.join(twice)} would carry an adapter and be trained in full; choose one of the two")
    held = parts(model)
    unknown = [part for part in (*on, *also_train) if part not in held]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no part of a model; the parts are {', '.join(PARTS)}")
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)
    with torch.random.fork_rng(devices=_cuda(model)):
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, model, NAME)
    made = {name for name, _ in _layers(model)}
    if made != set(names):
        raise ConfigError(f"peft put adapters at {len(made)} layers and not at the {len(names)} that were asked for")
    for part in also_train:
        for parameter in held[part].values():  # type: ignore[index]
            parameter.requires_grad_(True)


def has_adapter(model: nn.Module) -> bool:
    return any(True for _ in _layers(model))


def base_is_frozen(model: nn.Module) -> bool:
    """Whether nothing but the adapter is trained: then the model without it stays what it was."""
    return not any(p.requires_grad and not LORA_WEIGHTS.search(name) for name, p in model.named_parameters())


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the one that the adapter was put into, bit for bit.

    Raises:
        ConfigError: it has no adapter, or a part of it is trained in full and has moved: keep a frozen copy instead.
    """
    layers = [layer for _, layer in _layers(model)]
    if not layers:
        raise ConfigError("the model has no adapter to switch off; the reference policy must be a frozen copy")
    if not base_is_frozen(model):
        raise ConfigError(
            "a part of the model is trained in full beside the adapter, so that switching the adapter off does not "
            "give the model that training began with; the reference policy must be a frozen copy"
        )
    # peft takes the gradient from an adapter that it switches off, and gives it to every one that it switches on.
    before = [(layer, layer.disable_adapters, [p.requires_grad for p in layer.parameters()]) for layer in layers]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer, disabled, flags in before:
            layer.enable_adapters(not disabled)
            for parameter, flag in zip(layer.parameters(), flags, strict=True):
                parameter.requires_grad_(flag)


@torch.no_grad()
def merged_tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights with the adapter folded in, under the names that they have without one, tensor by tensor.

    W + (alpha / rank) B A is computed in float32 and rounded to the weight's type once. The model is not altered, and
    no more than one folded weight exists at a time. A weight without adapter is the model's own tensor. A model
    without any adapter yields what its `state_dict` holds.
    """
    layers = dict(_layers(model))
    for name, tensor in model.state_dict(keep_vars=True).items():
        if LORA_WEIGHTS.search(name):
            continue
        plain = name.replace(".base_layer.", ".")
        layer = layers.get(plain.removesuffix(".weight")) if name != plain and name.endswith(".weight") else None
        yield plain, tensor if layer is None else _folded(layer)


@torch.no_grad()
def fold(model: nn.Module) -> None:
    """Put the adapter into the weights for good and remove it; which weights require a gradient is not changed."""
    for name, layer in list(_layers(model)):
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, unquantized(layer, _folded(layer)))
    if hasattr(model, "peft_config"):
        del model.peft_config


def save_merged(model: PreTrainedModel, folder: Path) -> None:
    """Write weights and config as an ordinary Hugging Face folder, the adapter folded in, and `adapter/` beside them.

    A model without adapter is written as it is.
    """
    if not has_adapter(model):
        model.save_pretrained(folder)
        return
    # On the CPU: the folded weights need room beside the model while they are written.
    folded = {name: tensor.detach().to("cpu") for name, tensor in merged_tensors(model)}
    # Copied from another device, tensors that were one are two, and would both be written.
    for name in getattr(model, "all_tied_weights_keys", None) or {}:
        folded.pop(name, None)
    model.save_pretrained(folder, state_dict=folded)
    save_adapter(model, folder / FOLDER)


def save_adapter(model: nn.Module, folder: Path) -> None:
    """Write the adapter in peft's format, and whatever is trained in full in a file beside it.

    The adapter's file says which weights it was trained on (`fingerprint`).
    """
    if not has_adapter(model):
        raise CheckpointError(f"{folder}: the model has no adapter that could be saved")
    folder.mkdir(parents=True, exist_ok=True)
    settings: LoraConfig = copy.deepcopy(model.peft_config[NAME])  # type: ignore[union-attr, index]
    settings.inference_mode = True
    settings.save_pretrained(folder)
    _write(_adapter(model), folder / ADAPTER, {"format": "pt", "base": fingerprint(model)})
    full = _trained_in_full(model)
    if full:
        _write(full, folder / FULL, {"format": "pt"})


def load_adapter(model: nn.Module, folder: Path) -> None:
    """Put saved values into a model: the one that training began with, after the same `attach` as then.

    Raises:
        CheckpointError: a file is missing or damaged, it is another adapter's, or the model is not the one that it was
            trained on (the folded checkpoint beside it, for instance, which already contains it).
    """
    try:
        settings = json.loads((folder / "adapter_config.json").read_text())
        with safe_open(folder / ADAPTER, "pt") as file:
            base = (file.metadata() or {}).get("base")
        saved = load_file(folder / ADAPTER)
        full = load_file(folder / FULL) if (folder / FULL).exists() else {}
    except Exception as error:  # safetensors reports a damaged file as an exception of its own
        raise CheckpointError(f"{folder}: the adapter cannot be read: {error}") from error
    first = next((layer for _, layer in _layers(model)), None)
    for name, ours in (("r", first and first.r[NAME]), ("lora_alpha", first and first.lora_alpha[NAME])):
        if settings.get(name) != ours:
            raise CheckpointError(
                f"{folder}: the adapter was saved with {name}={settings.get(name)}, the model's has {ours}; give the "
                "lora options that it was trained with"
            )
    for theirs, held, what in (
        (saved, _adapter(model), "the lora options (target)"),
        (full, _trained_in_full(model), "the parts that are trained in full"),
    ):
        different = sorted(set(theirs) ^ set(held))
        if different:
            where = "the folder and not in the model" if different[0] in theirs else "the model and not in the folder"
            raise CheckpointError(f"{folder}: {different[0]} is in {where}; {what} must be those of the training run")
    if base != fingerprint(model):
        raise CheckpointError(
            f"{folder}: the adapter was trained on other weights than the model's. Load the model that training began "
            "with; the checkpoint beside the adapter already contains it"
        )
    with torch.no_grad():
        for held, theirs in ((_adapter(model), saved), (_trained_in_full(model), full)):
            for name, tensor in held.items():
                tensor.copy_(theirs[name])


def fingerprint(model: nn.Module) -> str:
    """sha256 of some values of every weight under the adapter: equal for the same base, whatever has been learned."""
    digest = hashlib.sha256()
    for name, layer in _layers(model):
        values = base_weight(layer).detach().flatten()
        some = values[:: max(1, len(values) // PROBED)].float().cpu().contiguous()
        digest.update(name.encode() + some.numpy().tobytes())
    return digest.hexdigest()


def _layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLinear))


def _folded(layer: LoraLinear) -> torch.Tensor:
    weight = base_weight(layer)
    product = layer.lora_B[NAME].weight.float() @ layer.lora_A[NAME].weight.float()
    return (weight.float() + layer.scaling[NAME] * product).to(weight.dtype)


def _adapter(model: nn.Module) -> dict[str, torch.Tensor]:
    """The adapter's weights as peft calls them on disk."""
    return {
        "base_model.model." + name.replace(f".{NAME}.weight", ".weight"): parameter
        for name, parameter in model.named_parameters()
        if LORA_WEIGHTS.search(name)
    }


def _trained_in_full(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p for n, p in model.named_parameters() if p.requires_grad and not LORA_WEIGHTS.search(n)}


def _write(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file, metadata)


def _targets(model: PreTrainedModel, target: str | Sequence[str], on: Collection[str]) -> list[str]:
    head = model.get_output_embeddings()
    # The exact class: a subclass may never be called as a layer (attention reads the weight of its own projection).
    linear = [name for name, module in model.named_modules() if type(module) is nn.Linear and module is not head]
    linear = [name for name in linear if part_of(name) in on]
    if target == "all-linear":
        wanted, patterns = linear, []
    elif target == "language":
        wanted, patterns = [name for name in linear if part_of(name) == "language"], []
    else:
        patterns = [target] if isinstance(target, str) else list(target)
        wanted = []
    for pattern in patterns:
        try:
            found = [name for name in linear if re.fullmatch(rf"(.*\.)?({pattern})", name)]
        except re.error as error:
            raise ConfigError(f"lora.target: {pattern!r} is no regular expression: {error}") from error
        if not found:
            raise ConfigError(
                f"lora.target: {pattern!r} matches no linear layer of {', '.join(on)}; they are called as "
                f"{', '.join(linear[:1] + linear[-2:])}. Or write 'language' or 'all-linear'"
            )
        wanted += found
    if not wanted:
        raise ConfigError(
            f"lora.target: {target!r} with parts {', '.join(on) or 'none'} leaves no linear layer for an adapter"
        )
    return [name for name in linear if name in set(wanted)]


def _cuda(model: PreTrainedModel) -> list[int]:
    return [model.device.index or 0] if model.device.type == "cuda" else []
