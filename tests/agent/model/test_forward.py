"""The one forward pass of sampler and trainer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agent.model.forward
from agent.engine.batching import make_batch
from agent.model.forward import Placement, hidden_states, next_token_logits
from agent.model.load import VLM, load_vlm
from agent.rollout.render import Renderer
from agent.types import Row
from tests.agent.checkpoints import write_composed


def test_equal_pictures_are_encoded_once_and_each_place_gets_its_own(
    vlm: VLM, renderer: Renderer, picture: Callable[..., np.ndarray]
) -> None:
    first, second = picture(60, 90, 1), picture(90, 50, 2)
    rows = [Row((renderer.prompt("How many?", images),)) for images in ([first, second], [second], [second, first])]
    batch = make_batch(rows, [0, 1, 2], [0.0] * 3, renderer.pixels, vlm.processor.merge)
    encoded = []
    hook = vlm.model.base_model.visual.register_forward_pre_hook(
        lambda module, arguments, named: encoded.append(len(arguments[0] if arguments else named["hidden_states"])),
        with_kwargs=True,
    )
    with torch.no_grad():
        hidden = hidden_states(
            vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, [*batch.images], None
        )
    hook.remove()
    assert encoded == [sum(len(vlm.processor.process(image).pixels) for image in (first, second))]

    for index, row in enumerate(rows):
        pictures = renderer.pictures(row)
        ids = torch.tensor([row.token_ids])
        with torch.no_grad():
            theirs = vlm.model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.cat([image.pixels for image in pictures]),
                image_grid_thw=torch.tensor([image.grid for image in pictures]),
                mm_token_type_ids=(ids == vlm.processor.image_token_id).int(),
            ).logits[0]
            ours = next_token_logits(vlm.model, hidden[index, : len(row)])
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("alone", [True, False])
def test_pictures_are_encoded_in_lots_that_a_cpu_holds_and_nothing_else_changes(
    vlm: VLM, renderer: Renderer, picture: Callable[..., np.ndarray], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [picture(60, 90, 1), picture(90, 50, 2), picture(40, 40, 3), picture(60, 90, 1), picture(30, 60, 4)]
    row = Row((renderer.prompt("How many?", pictures),))
    batch = make_batch([row], [0], [0.0], renderer.pixels, vlm.processor.merge)
    inputs = (vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.images)
    counts = [len(image.pixels) for image in batch.images]
    with torch.no_grad():
        whole = hidden_states(*inputs)
    encoded = []
    hook = vlm.model.base_model.visual.register_forward_pre_hook(
        lambda module, arguments, named: encoded.append(len(arguments[0] if arguments else named["hidden_states"])),
        with_kwargs=True,
    )
    monkeypatch.setattr(agent.model.forward, "LOT", counts[0] + counts[1])
    if not alone:  # then all processes encode as often
        placed = Placement(torch.device("cpu"), batch.images[0], torch.float32)
        monkeypatch.setattr(vlm.model, "rllava_placement", placed, raising=False)
    with torch.no_grad():
        found = hidden_states(*inputs)
    hook.remove()
    torch.testing.assert_close(found, whole, rtol=0, atol=2e-5)
    distinct = [counts[0], counts[1], counts[2], counts[4]]
    assert sum(encoded) == sum(distinct)
    if alone:
        assert encoded[0] == counts[0] + counts[1] and max(encoded[1:]) <= encoded[0]
    else:
        assert len(encoded) == 1


def test_so_they_are_by_a_tower_that_is_told_no_sizes(
    tmp_path: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = load_vlm(write_composed(tmp_path))
    renderer = Renderer(vlm.processor)
    row = Row((renderer.prompt("How many?", [picture(60, 90, number) for number in range(3)]),))
    batch = make_batch([row], [0], [0.0], renderer.pixels, vlm.processor.merge)
    found, calls = [], []
    original = vlm.model.base_model.get_image_features

    def features(pixels: torch.Tensor, **options: Any) -> Any:
        calls.append(len(pixels))
        return original(pixels, **options)

    monkeypatch.setattr(vlm.model.base_model, "get_image_features", features)
    for lot in (agent.model.forward.LOT, 1):
        monkeypatch.setattr(agent.model.forward, "LOT", lot)
        with torch.no_grad():
            found.append(
                hidden_states(vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.images)
            )
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=2e-5)
    assert calls == [3, 1, 1, 1]
