"""Pictures as data URLs."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from agent.chat import pictures
from agent.chat.pictures import PictureUrls


def noise(seed: int, height: int = 9, width: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_no_pixel_is_lost() -> None:
    for image in (noise(0), noise(1)[::-1, ::2], np.asfortranarray(noise(2))):
        head, _, data = PictureUrls().of(image).partition(",")
        assert head == "data:image/png;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as read:
            assert read.mode == "RGB" and np.array_equal(np.asarray(read), image)


def test_equal_pictures_are_encoded_once_whichever_threads_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, real = [], pictures.encoded

    def slowly(image: np.ndarray) -> str:
        encoded.append(image)
        time.sleep(0.02)
        return real(image)

    monkeypatch.setattr(pictures, "encoded", slowly)
    urls = PictureUrls()
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda i: urls.of(noise(i % 4)), range(64)))
    assert len(encoded) == 4 and found[:4] == found[60:] and len(set(found)) == 4


def test_the_cache_keeps_the_latest_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, real = [], pictures.encoded
    monkeypatch.setattr(pictures, "encoded", lambda image: (encoded.append(image), real(image))[1])
    urls = PictureUrls(kept=2)
    for seed in (0, 1, 0, 2, 0, 1):  # 1 has to go for 2, since 0 was asked for later
        urls.of(noise(seed))
    assert len(encoded) == 4 and len(urls._urls) == 2


def test_a_picture_that_cannot_be_encoded_fails_for_everyone_and_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = PictureUrls()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "encoded", lambda image: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            urls.of(noise(0))
    assert urls.of(noise(0)).startswith("data:")
