"""How `UnicodeText` and `Images` travel through the shared memory of `gymnasium.vector.AsyncVectorEnv`.

One buffer per space holds a slot of fixed size per environment: a header of 32-bit integers, then the bytes. Gymnasium
reads the buffer once, at construction, and expects a view that follows it; so reading gives a live view, and the copy
that Gymnasium makes for each step (`deepcopy`) turns the view into plain strings and arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from numpy.typing import NDArray

from .errors import EnvironmentAuthorError
from .spaces import Image, Images, UnicodeText

_INT = 4  # bytes of a header entry


class _Live(Sequence[Any]):
    """The values now in the buffer, one per environment; read afresh at each access."""

    def __init__(self, read: Callable[[int], Any], n: int) -> None:
        self._read, self._n = read, n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self._read(i) for i in range(*index.indices(self._n)))
        if not -self._n <= index < self._n:
            raise IndexError(f"expected an environment from 0 to {self._n - 1}, got {index}")
        return self._read(index % self._n)

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[Any, ...]:
        return tuple(self)


def _slot_size(space: UnicodeText | Images) -> int:
    # UTF-8 takes at most 4 bytes a character. Slots are whole multiples of 4 bytes, so that headers stay aligned.
    if isinstance(space, UnicodeText):
        return _INT * (1 + space.max_length)
    return _INT * (1 + 2 * space.max_images) + -(-3 * space.max_pixels // _INT) * _INT


def _slot(space: UnicodeText | Images, memory: Any, index: int) -> NDArray[np.uint8]:
    size = _slot_size(space)
    return np.frombuffer(memory, dtype=np.uint8, count=size, offset=index * size)


@create_shared_memory.register(UnicodeText)
@create_shared_memory.register(Images)
def _create(space: UnicodeText | Images, n: int = 1, ctx: Any = None) -> Any:
    import multiprocessing

    return (ctx or multiprocessing).RawArray("B", n * _slot_size(space))


@write_to_shared_memory.register(UnicodeText)
def _write_text(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    _refuse_strangers(space, value)
    data = value.encode("utf-8")
    slot = _slot(space, shared_memory, index)
    slot[:_INT].view(np.int32)[0] = len(data)
    slot[_INT : _INT + len(data)] = np.frombuffer(data, dtype=np.uint8)


@write_to_shared_memory.register(Images)
def _write_images(space: Images, index: int, value: tuple[Image, ...], shared_memory: Any) -> None:
    _refuse_strangers(space, value)
    slot = _slot(space, shared_memory, index)
    body = _INT * (1 + 2 * space.max_images)
    header = slot[:body].view(np.int32)
    header[0] = len(value)
    for k, picture in enumerate(value):
        header[1 + 2 * k : 3 + 2 * k] = picture.shape[:2]
        slot[body : body + picture.size] = picture.reshape(-1)
        body += picture.size


@read_from_shared_memory.register(UnicodeText)
def _read_text(space: UnicodeText, shared_memory: Any, n: int = 1) -> Sequence[Any]:
    def read(index: int) -> str:
        slot = _slot(space, shared_memory, index)
        length = int(slot[:_INT].view(np.int32)[0])
        return slot[_INT : _INT + length].tobytes().decode("utf-8")

    return _Live(read, n)


@read_from_shared_memory.register(Images)
def _read_images(space: Images, shared_memory: Any, n: int = 1) -> Sequence[Any]:
    def read(index: int) -> tuple[Image, ...]:
        slot = _slot(space, shared_memory, index)
        body = _INT * (1 + 2 * space.max_images)
        header = slot[:body].view(np.int32)
        pictures: list[Image] = []
        for k in range(int(header[0])):
            height, width = int(header[1 + 2 * k]), int(header[2 + 2 * k])
            pictures.append(slot[body : body + height * width * 3].reshape(height, width, 3).copy())
            body += height * width * 3
        return tuple(pictures)

    return _Live(read, n)


def _refuse_strangers(space: UnicodeText | Images, value: object) -> None:
    # A value outside its space may be larger than its slot and would overwrite a neighbour's observation.
    if not space.contains(value):
        raise EnvironmentAuthorError(
            f"an observation is outside its space {space}; widen the space or shrink the value"
        )
