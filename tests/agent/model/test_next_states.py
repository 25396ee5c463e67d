"""New tokens through the layers alone are what the whole model makes of them, bit for bit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import agent.model.next_states as module
from agent.model.forward import hidden_states
from agent.model.layout import takes_layouts
from agent.model.load import VLM, load_vlm
from agent.model.next_states import next_states
from agent.model.rotations import Rotations
from tests.agent.checkpoints import write_composed

TOKENS, POSITIONS = torch.tensor([5, 9, 7]), torch.tensor([4, 40, 11])


class Alone:
    """A layout in which a token sees itself, and a little of what was asked: so that queries, keys and layers count."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        groups = query.shape[1] // value.shape[1]
        seen = (value + key * (layer + 1)).repeat_interleave(groups, 1)
        return (seen + scale * query).transpose(1, 2)


def both(vlm: VLM) -> tuple[Tensor, Tensor, int]:
    """From the layers, from the model, and how often the first asked the language model as a whole."""
    assert takes_layouts(vlm.model)
    asked: list[int] = []
    hook = vlm.model.base_model.language_model.register_forward_hook(lambda *_: asked.append(1))
    with torch.inference_mode():
        found = next_states(vlm.model, TOKENS, POSITIONS, Alone(), Rotations())
        count = len(asked)
        whole = hidden_states(
            vlm.model, TOKENS[:, None], None, POSITIONS[None, :, None].expand(3, -1, 1), [], layout=Alone()
        )
    hook.remove()
    return found, whole[:, 0], count


def test_the_layers_alone_give_the_models_states(vlm: VLM) -> None:
    found, whole, asked = both(vlm)
    assert torch.equal(found, whole) and asked == 0


def test_so_they_do_where_positions_have_one_axis(tmp_path: Path) -> None:
    found, whole, asked = both(load_vlm(write_composed(tmp_path)))
    assert torch.equal(found, whole) and asked == 0


def test_a_language_model_of_another_kind_is_asked_as_a_whole(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN", set())
    found, whole, asked = both(vlm)
    assert torch.equal(found, whole) and asked == 1


def test_positions_matter(vlm: VLM) -> None:
    takes_layouts(vlm.model)
    with torch.inference_mode():
        one, other = (next_states(vlm.model, TOKENS, POSITIONS + by, Alone(), Rotations()) for by in (0, 1))
    assert not torch.allclose(one, other)
