"""Messages between a client and a worker: a small JSON header and raw bytes, both with their length in front.

    "RLG1"   4 bytes
    header   4-byte length (big endian), then JSON; its "blobs" lists the length of every blob
    blobs    one after the other

Raw bytes, as pictures in base64 within JSON cost five times as much.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

PROTOCOL = 2  # of what the messages say; a worker tells it in its first one
_MAGIC = b"RLG1"
_PREFIX = struct.Struct(">4sI")
MAX_HEADER = 16 << 20
MAX_BLOBS = 2048
MAX_BODY = 2 << 30

Message = tuple[dict[str, Any], list[bytes]]


class ClosedError(Exception):
    """The other side closed the connection before a message began."""


class BrokenFrameError(Exception):
    """What came is no message, or ended in the middle of one."""


def send(connection: socket.socket, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message. Raises OSError (a timeout is one) when the other side is gone or does not read."""
    text = json.dumps(header | {"blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(_PREFIX.pack(_MAGIC, len(text)) + text)
    for blob in filter(None, blobs):
        connection.sendall(blob)


def nudge(connection: socket.socket) -> None:
    """Tell the other side that we are alive, unless it does not read: nobody waits for anybody here."""
    text = b'{"alive": 1, "blobs": []}'
    with contextlib.suppress(BlockingIOError, InterruptedError):  # small enough to go out whole or not at all
        connection.send(_PREFIX.pack(_MAGIC, len(text)) + text, socket.MSG_DONTWAIT)


def receive(connection: socket.socket, deadline: float | None = None) -> Message:
    """Read one message. `deadline` is a time of the monotonic clock.

    Raises:
        ClosedError: the connection was closed between two messages.
        BrokenFrameError: it was closed within one, or what came is no message.
        TimeoutError: the deadline passed.
    """
    prefix = _exactly(connection, _PREFIX.size, deadline, may_end=True)
    magic, length = _PREFIX.unpack(prefix)
    if magic != _MAGIC or length > MAX_HEADER:
        raise BrokenFrameError(f"a message must begin with {_MAGIC!r}; got {bytes(prefix)!r}")
    try:
        header = json.loads(_exactly(connection, length, deadline))
        lengths = header.pop("blobs")
        sizes = [int(size) for size in lengths]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenFrameError(f"a message's header is unreadable: {type(error).__name__}: {error}") from None
    if len(sizes) > MAX_BLOBS or any(size < 0 for size in sizes) or sum(sizes) > MAX_BODY:
        raise BrokenFrameError(f"a message announces {len(sizes)} blobs of {sum(sizes)} bytes: too much")
    return header, [bytes(_exactly(connection, size, deadline)) for size in sizes]


def _exactly(connection: socket.socket, size: int, deadline: float | None, may_end: bool = False) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline passed while waiting for a message")
            connection.settimeout(left)
        try:
            got = connection.recv_into(view[filled:])
        except ConnectionError as error:
            raise (ClosedError if may_end and not filled else BrokenFrameError)(str(error)) from None
        if not got:
            if may_end and not filled:
                raise ClosedError("the connection was closed")
            raise BrokenFrameError(f"the connection was closed after {filled} of {size} bytes")
        filled += got
    return buffer
