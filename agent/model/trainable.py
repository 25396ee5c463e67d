"""The three parts of a vision-language model: each is trained at its own rate, or not at all.

*vision* sees: patches to features. The *connector* brings features into the language model's space: the merger of the
Qwen families (in Qwen3-VL those of earlier vision layers too), the projector of a composed model. *language* is the
rest: embeddings, layers and the head, which may share its matrix with the embeddings. Names as in RLLaVA
(arXiv 2512.21450), whose models are put together from these three.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from ..errors import ConfigError

Part = Literal["vision", "connector", "language"]
PARTS: tuple[Part, ...] = get_args(Part)

# A name belongs to the part whose pattern it begins with. A trunk without its head lacks the first "model.".
NAMES: dict[Part, re.Pattern[str]] = {
    "vision": re.compile(r"(model\.)?(visual\.(?!merger\.|deepstack_merger_list\.)|vision_tower\.)"),
    "connector": re.compile(r"(model\.)?(visual\.(merger|deepstack_merger_list)\.|multi_modal_projector\.)"),
    "language": re.compile(r"(model\.)?language_model\.|lm_head\."),
}


def part_of(name: str) -> Part:
    """The part that a parameter or module of this name belongs to.

    Raises:
        ConfigError: it belongs to none, or to several.
    """
    found = [part for part, pattern in NAMES.items() if pattern.match(name)]
    if len(found) != 1:
        raise ConfigError(
            f"the weight {name!r} belongs to {' and to '.join(found) or 'none'} of the parts {', '.join(PARTS)}; "
            "the model's family is not known: add its names to agent.model.trainable.NAMES"
        )
    return found[0]


def parts(model: nn.Module) -> dict[Part, dict[str, nn.Parameter]]:
    """Every parameter of a model by part and name; a tensor that two names share stands under the first.

    Raises:
        ConfigError: a parameter belongs to no part, or its names belong to different ones.
    """
    found: dict[Part, dict[str, nn.Parameter]] = {part: {} for part in PARTS}
    seen: dict[nn.Parameter, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        part = part_of(name)
        first = seen.setdefault(parameter, name)
        if part_of(first) != part:
            raise ConfigError(
                f"the weights {first!r} ({part_of(first)}) and {name!r} ({part}) are one tensor; a weight must belong "
                "to exactly one part. Untie them"
            )
        if first == name:
            found[part][name] = parameter
    return found


def freeze(model: nn.Module, which: Collection[str]) -> None:
    """Take these parts out of training; the others stay as they are.

    Raises:
        ConfigError: a name is no part, or the model holds none of it.
    """
    held = parts(model)
    for part in _checked(which):
        if not held[part]:
            raise ConfigError(f"the model has no {part} that could be frozen; leave {part} out")
        for parameter in held[part].values():
            parameter.requires_grad_(False)


def parameter_groups(
    model: nn.Module, rates: Mapping[str, float], weight_decay: float | None = None, decay_vectors: bool = True
) -> list[dict[str, Any]]:
    """An optimizer's parameter groups, one (or two) for each part that is trained, in the order of `PARTS`.

    Args:
        model: Its parameters that require a gradient are taken, each exactly once.
        rates: Learning rate of each part, absolute or relative to another; a part that is left out has 0.
        weight_decay: Of every group; None leaves it to the optimizer.
        decay_vectors: False: biases and gains of norms get a group of their own, without weight decay.

    Returns:
        Groups with `params`, `lr`, `rate` (the same number, which no schedule changes), `part`, and `weight_decay` if
        it is given. A part of which nothing requires a gradient has no group, whatever its rate.

    Raises:
        ConfigError: a name is no part, a rate is negative or no number, a part requires gradients at rate 0, or
            nothing is left to train.
    """
    for part in _checked(rates):
        if not 0 <= rates[part] < float("inf"):
            raise ConfigError(f"the learning rate of {part} must be a number of at least 0, got {rates[part]}")
    groups = []
    for part, held in parts(model).items():
        trained = {name: weight for name, weight in held.items() if weight.requires_grad}
        rate = rates.get(part, 0.0)
        if trained and not rate:
            raise ConfigError(
                f"{part} has {len(trained)} weights that would be trained, among them {next(iter(trained))}, and a "
                "learning rate of 0: freeze it or give it a rate"
            )
        for vectors in (False, True):
            weights = [weight for weight in trained.values() if decay_vectors or (weight.ndim < 2) == vectors]
            if not weights or (decay_vectors and vectors):
                continue
            group: dict[str, Any] = {"params": weights, "lr": rate, "rate": rate, "part": part}
            decay = 0.0 if vectors else weight_decay
            groups.append(group if decay is None else group | {"weight_decay": decay})
    if not groups:
        raise ConfigError(f"nothing is left to train: give one of {', '.join(PARTS)} a learning rate above 0")
    return groups


@torch.no_grad()
def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Length of the gradient that has accumulated in each part that is trained; 0 where none has arrived.

    A part of which nothing requires a gradient is left out: it is meant to have none.
    """
    norms = {}
    for part, held in parts(model).items():
        trained = [weight for weight in held.values() if weight.requires_grad]
        if trained:
            lengths = [_whole(weight.grad.float().norm()) for weight in trained if weight.grad is not None]
            norms[str(part)] = float(torch.stack(lengths).norm()) if lengths else 0.0
    return norms


def _whole(number: torch.Tensor) -> torch.Tensor:
    """A number whose parts are spread over processes, see `engine.fsdp2`."""
    return number.full_tensor() if isinstance(number, DTensor) else number


def _checked(names: Collection[str]) -> Iterator[Part]:
    for name in names:
        part = next((part for part in PARTS if part == name), None)
        if part is None:
            raise ConfigError(f"{name!r} is no part of a model; the parts are {', '.join(PARTS)}")
        yield part
