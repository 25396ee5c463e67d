"""Pixels in vLLM's form. Whether vLLM reads them so is asked of vLLM itself, where it is installed."""

import base64
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

from agent.model.load import VLM
from agent.model.processor import ProcessedImage
from agent.rollout.remote.wire import KEPT, Pictures, encode


def needs_vllm(test: Callable[..., None]) -> Callable[..., None]:
    missing = find_spec("vllm") is None and "RLLAVA_REQUIRE_VLLM" not in os.environ
    return pytest.mark.vllm(pytest.mark.skipif(missing, reason="vLLM is not installed")(test))


def test_the_bytes_are_those_of_the_trainers_pixels(one_vlm: VLM, picture: Callable[..., Any]) -> None:
    image = one_vlm.processor.process(picture(40, 90))
    item = msgpack.unpackb(base64.b64decode(encode(image, patches=True)))
    dtype, shape, data = item["pixel_values"]["data"]
    assert (dtype, tuple(shape), data.code) == ("float32", tuple(image.pixels.shape), 3)
    np.testing.assert_array_equal(np.frombuffer(data.data, np.float32).reshape(shape), image.pixels.numpy())
    assert np.frombuffer(item["image_grid_thw"]["data"][2].data, np.int64).tolist() == list(image.grid)


def test_a_picture_is_encoded_once_and_the_least_recent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.rollout.remote.wire.KEPT", 2)
    made: list[str] = []

    def count(image: ProcessedImage, patches: bool) -> str:
        made.append(image.sha256)
        return image.sha256

    monkeypatch.setattr("agent.rollout.remote.wire.encode", count)
    pictures = Pictures(patches=True)
    images = {n: ProcessedImage(torch.zeros(4, 6), (1, 2, 2), 1, n, np.zeros((1, 1, 3), np.uint8)) for n in "abc"}
    assert [pictures.encoded(images[name]) for name in "ababcab"] == list("ababcab")
    assert made == list("abcab") and KEPT > 2


@needs_vllm
def test_vllm_decodes_what_it_would_have_made_itself(vlm: VLM, picture: Callable[..., Any]) -> None:
    from vllm.entrypoints.scale_out.token_in_token_out.mm_serde import decode_mm_kwargs_item, encode_mm_kwargs_item

    from agent.rollout.vllm_pictures import Pictures as InProcess

    image = vlm.processor.process(picture(40, 90))
    sent, item = encode(image, patches=True), InProcess(patches=True)._item(image)
    ours, theirs = decode_mm_kwargs_item(sent), decode_mm_kwargs_item(encode_mm_kwargs_item(item))
    assert set(ours) == set(item)
    for key in item:
        assert torch.equal(ours[key].data, item[key].data), key
        assert ours[key].field == theirs[key].field, key


@needs_vllm
def test_vllm_decodes_the_squares_of_a_llava() -> None:
    from vllm.entrypoints.scale_out.token_in_token_out.mm_serde import decode_mm_kwargs_item

    from agent.rollout.vllm_pictures import Pictures as InProcess

    pixels = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    image = ProcessedImage(pixels, (4, 1, 1), 4, "a", np.zeros((8, 8, 3), np.uint8))
    ours, theirs = decode_mm_kwargs_item(encode(image, patches=False)), InProcess(patches=False)._item(image)
    assert set(ours) == set(theirs) == {"pixel_values"}
    assert torch.equal(ours["pixel_values"].data, theirs["pixel_values"].data)
    assert ours["pixel_values"].field == theirs["pixel_values"].field
