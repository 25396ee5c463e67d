"""A picture's pixels as vLLM's token-level interface takes them, written without vLLM.

The interface wants, in base64, the msgpack form of one `MultiModalKwargsItem`: for each argument of the model's vision
tower its tensor, as (dtype, shape, bytes), and how several pictures are laid side by side. What is sent is what the
trainer has: float32 pixels, processed already. Tested against vLLM's own decoder.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import Any

import msgpack
import torch

from ...model.processor import ProcessedImage

# vLLM's extension type for the bytes of a tensor.
RAW = 3
# A picture of 448 pixels a side is about 6 MB in this form, and siblings ask about the same ones.
KEPT = 256


class Pictures:
    """Encodes pictures. One that was asked about lately is not encoded again."""

    def __init__(self, patches: bool) -> None:
        """patches: pictures are runs of patches with a grid (the Qwen families) and not squares (LLaVA's)."""
        self._patches = patches
        self._encoded: OrderedDict[str, str] = OrderedDict()

    def encoded(self, image: ProcessedImage) -> str:
        """ASCII text."""
        if image.sha256 not in self._encoded:
            self._encoded[image.sha256] = encode(image, self._patches)
            if len(self._encoded) > KEPT:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(image.sha256)
        return self._encoded[image.sha256]


def encode(image: ProcessedImage, patches: bool) -> str:
    """Base64 of the msgpack form of one picture."""
    if patches:
        whole = [[[0, len(image.pixels), None]]]  # the slice of this picture among its own patches
        item = {
            "pixel_values": _element(image.pixels, "flat", slices=whole, dim=0, keep_on_cpu=False),
            "image_grid_thw": _element(torch.tensor(image.grid), "batched", keep_on_cpu=True),
        }
    else:
        item = {"pixel_values": _element(image.pixels[0], "batched", keep_on_cpu=False)}
    return base64.b64encode(msgpack.packb(item)).decode("ascii")


def _element(tensor: torch.Tensor, layout: str, **options: Any) -> dict[str, Any]:
    data = tensor.detach().cpu().contiguous()
    dtype = str(data.dtype).removeprefix("torch.")
    return {
        "data": [dtype, list(data.shape), msgpack.ExtType(RAW, data.numpy().tobytes())],
        "field": [layout, options],
    }
