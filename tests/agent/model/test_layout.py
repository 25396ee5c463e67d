"""A layout decides what tokens see; without one, nothing has changed."""

from typing import Any

import pytest
import torch

from agent.model.forward import hidden_states
from agent.model.layout import NAME, takes_layouts, why_not
from agent.model.load import VLM

IDS = torch.arange(10, 22)[None]
POSITIONS = torch.arange(12)[None, None].expand(3, 1, 12)


class Causal:
    """Every token sees those before it, as without a layout."""

    def __init__(self, future: bool = False) -> None:
        self.layers: list[int] = []
        self.future = future

    def attend(self, layer: int, query: Any, key: Any, value: Any, scale: float) -> torch.Tensor:
        self.layers.append(layer)
        groups = query.shape[1] // key.shape[1]
        key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=not self.future, scale=scale
        )
        return found.transpose(1, 2)


def plain(vlm: VLM) -> torch.Tensor:
    return hidden_states(vlm.model, IDS, torch.ones_like(IDS), POSITIONS, [])


def test_a_model_that_takes_layouts_computes_what_it_computed_before(vlm: VLM) -> None:
    text = vlm.model.config.get_text_config()
    before = text._attn_implementation
    text._attn_implementation = "sdpa"
    plainly = plain(vlm)
    assert takes_layouts(vlm.model) and text._attn_implementation == NAME
    torch.testing.assert_close(plain(vlm), plainly, rtol=0, atol=0)
    text._attn_implementation = before


def test_a_layout_is_asked_once_a_layer_and_decides(vlm: VLM) -> None:
    assert takes_layouts(vlm.model)
    causal, seeing = Causal(), Causal(future=True)
    torch.testing.assert_close(hidden_states(vlm.model, IDS, None, POSITIONS, [], layout=causal), plain(vlm))
    other = hidden_states(vlm.model, IDS, None, POSITIONS, [], layout=seeing)
    assert causal.layers == list(range(vlm.model.config.get_text_config().num_hidden_layers))
    assert (other - plain(vlm)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("layer_types", ["full_attention", "sliding_attention"], "sliding_attention"),
        ("layer_types", ["linear_attention", "full_attention"], "linear_attention"),
        ("attention_dropout", 0.1, "10%"),
        ("_attn_implementation", "eager", "eager"),
    ],
)
def test_what_cannot_be_given_a_layout_is_told(
    one_vlm: VLM, monkeypatch: pytest.MonkeyPatch, setting: str, value: object, reason: str
) -> None:
    monkeypatch.setattr(one_vlm.model.config.get_text_config(), setting, value)
    assert reason in why_not(one_vlm.model)
    assert not takes_layouts(one_vlm.model)
