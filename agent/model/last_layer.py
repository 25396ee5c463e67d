"""The last layer, computed for those tokens alone whose states somebody asks for.

Every layer but the last must run all tokens, since the next one sees them. Of the last one a token that is only looked
at needs to give its key and value: nobody asks for what it becomes there. Those are all tokens of a prompt but its
last, and those of what an environment answered. A layout that says which tokens are asked for (`Narrowing`) spares the
others the last layer's attention and feed-forward part, forwards and backwards. What is left is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from .layout import Layout
from .next_states import PLAIN


@dataclass(frozen=True, eq=False)
class Asked:
    """Tokens of a pass, by their places in it.

    `through`: those whose last states are asked for; the pass returns them in this order. `seen`: those of which the
    last layer makes keys and values besides.
    """

    through: Int[Tensor, " asked"]
    seen: Int[Tensor, " seen"]


class Narrowing(Layout, Protocol):
    """A layout for which the last layer is computed for some tokens. `last`: which; None: all."""

    last: Asked | None

    def attend_last(
        self,
        layer: int,
        query: Float[Tensor, "1 heads asked channels"],
        key: Float[Tensor, "1 key_heads asked channels"],
        value: Float[Tensor, "1 key_heads asked channels"],
        keys: Float[Tensor, "1 key_heads seen channels"],
        values: Float[Tensor, "1 key_heads seen channels"],
        scale: float,
    ) -> Float[Tensor, "1 asked heads channels"]:
        """What each token that is asked for takes from those that it sees. `key`, `value`: their own; `keys`, `values`:
        of `last.seen`."""
        ...


def narrows(model: PreTrainedModel) -> bool:
    """Let a model's last layer do what a `Narrowing` says, if it can. Passes without one stay what they are."""
    language: Any = model.base_model.language_model
    if type(language).__name__ not in PLAIN:
        return False
    # Qwen3-VL adds features of pictures to all tokens after its first layers.
    features = getattr(model.config.vision_config, "deepstack_visual_indexes", None) or ()
    if len(features) >= len(language.layers):
        return False
    layer = language.layers[-1]
    # A token that goes through and is seen too has its key made twice, which must be the same.
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in layer.modules()):
        return False
    if _narrow not in layer._forward_pre_hooks.values():
        layer.register_forward_pre_hook(_narrow, with_kwargs=True)
    return True


def _narrow(
    layer: Any, given: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    layout: Narrowing | None = options.get("layout")
    asked: Asked | None = getattr(layout, "last", None)
    if asked is None:
        return None
    assert layout is not None
    (states,), around = given, options["position_embeddings"]
    keys, values = _keys_and_values(layer, _of(asked.seen, states), options | _around(asked.seen, around))
    last = _Last(layout, keys, values)
    return (_of(asked.through, states),), options | _around(asked.through, around) | {"layout": last}


def _of(places: Tensor, tensor: Tensor) -> Tensor:
    return tensor.index_select(1, places)


def _around(places: Tensor, around: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """The rotations of these tokens."""
    return {"position_embeddings": tuple(_of(places, each) for each in around)}


@dataclass(frozen=True, eq=False)
class _Last:
    """A layout's last layer."""

    layout: Narrowing
    keys: Tensor
    values: Tensor

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        return self.layout.attend_last(layer, query, key, value, self.keys, self.values, scale)


class _Found(Exception):
    """Keys and values: the way out of a layer of which nothing else is wanted."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values


class _KeysAndValues:
    """A layout that leaves as soon as it has them."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        raise _Found(key, value)


def _keys_and_values(layer: Any, states: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    try:
        # Not called as a module: its hooks are for the pass that this one is part of. Queries are made, and dropped.
        layer.forward(states, **{**options, "layout": _KeysAndValues()})
    except _Found as found:
        return found.keys, found.values
    raise RuntimeError(f"{type(layer).__name__} has not asked for its attention by name")
