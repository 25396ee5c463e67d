"""The one forward pass of sampler and trainer."""

from collections.abc import Callable

import numpy as np
import torch

from agent.engine.batching import make_batch
from agent.model.forward import hidden_states, next_token_logits
from agent.model.load import VLM
from agent.rollout.render import Renderer
from agent.types import Row


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
