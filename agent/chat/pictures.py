"""Pictures as PNG data URLs: no pixel is lost on the way to a server."""

from __future__ import annotations

import base64
from collections import OrderedDict
from concurrent.futures import Future
from io import BytesIO
from threading import Lock

import numpy as np
from PIL import Image

from ..model.picture_hash import image_sha256

# Siblings and the turns of an episode show the same picture again and again.
KEPT = 256


class PictureUrls:
    """Encodes pictures. One that was asked for lately is not encoded again, whichever threads bring it."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = Lock()
        self._urls: OrderedDict[str, Future[str]] = OrderedDict()

    def of(self, image: np.ndarray) -> str:
        """image: uint8 (height, width, 3).

        Raises:
            ObservationError: it is not such an array, or empty, or far too large.
        """
        name = image_sha256(image)
        with self._lock:
            known = self._urls.get(name)
            if known is None:
                mine = self._urls[name] = Future[str]()
                if len(self._urls) > self._kept:
                    self._urls.popitem(last=False)
            else:
                self._urls.move_to_end(name)
        if known is not None:
            return known.result()
        try:
            mine.set_result(encoded(image))
        except BaseException as error:
            with self._lock:
                self._urls.pop(name, None)
            mine.set_exception(error)
            raise
        return mine.result()


def encoded(image: np.ndarray) -> str:
    """The data URL of one picture."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
