"""Requests as vLLM takes them: the trainer's own tokens and the trainer's own pixels, which nobody processes again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from ..model.processor import ProcessedImage
from ..types import ImageSpan

KEPT = 4096


class Pictures:
    """Builds vLLM's inputs. A picture is brought into vLLM's form once, however often it is asked about."""

    def __init__(self, patches: bool) -> None:
        """patches: pictures are runs of patches with a grid (the Qwen families) and not squares (LLaVA's)."""
        self._patches = patches
        self._items: OrderedDict[str, Any] = OrderedDict()

    def prompt(
        self, token_ids: Sequence[int], images: Sequence[ProcessedImage], spans: Sequence[ImageSpan]
    ) -> dict[str, Any]:
        """token_ids: expanded. spans: where each image stands among them."""
        from vllm.inputs import mm_input, tokens_input
        from vllm.multimodal.inputs import MultiModalKwargsItems, PlaceholderRange

        if not images:
            return tokens_input(list(token_ids))
        return mm_input(
            prompt_token_ids=list(token_ids),
            mm_kwargs=MultiModalKwargsItems({"image": [self._item(image) for image in images]}),
            # The hash is the key of vLLM's encoder cache: equal pictures are encoded once.
            mm_hashes={"image": [image.sha256 for image in images]},
            mm_placeholders={"image": [PlaceholderRange(offset=s.start, length=s.length) for s in spans]},
        )

    def _item(self, image: ProcessedImage) -> Any:
        if image.sha256 not in self._items:
            self._items[image.sha256] = self._made(image)
            if len(self._items) > KEPT:
                self._items.popitem(last=False)
        self._items.move_to_end(image.sha256)
        return self._items[image.sha256]

    def _made(self, image: ProcessedImage) -> Any:
        from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems

        given = {"pixel_values": image.pixels}
        form = {"pixel_values": MultiModalFieldConfig.batched("image")}
        if self._patches:
            grid = torch.tensor([image.grid])
            given["image_grid_thw"] = grid
            form = {
                "pixel_values": MultiModalFieldConfig.flat_from_sizes("image", grid.prod(-1)),
                "image_grid_thw": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
            }
        return MultiModalKwargsItems.from_hf_inputs(given, form)["image"][0]
