"""Messages over a socket: what goes in comes out, and what is no message is refused."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sandbox import frames

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_header_and_blobs_arrive_as_sent(pair: Pair) -> None:
    blobs = [b"", bytes(range(256)) * 4000, b"\0"]
    sender = threading.Thread(target=frames.send, args=(pair[0], {"a": [1, "\u00e9"]}, blobs))
    sender.start()
    assert frames.receive(pair[1]) == ({"a": [1, "\u00e9"]}, blobs)
    sender.join()


def test_messages_keep_their_order(pair: Pair) -> None:
    for k in range(3):
        frames.send(pair[0], {"k": k}, [bytes([k])])
    assert [frames.receive(pair[1]) for _ in range(3)] == [({"k": k}, [bytes([k])]) for k in range(3)]


def test_an_end_between_messages_is_told_from_one_within(pair: Pair) -> None:
    frames.send(pair[0], {}, [])
    pair[0].sendall(b"RLG1\0")
    pair[0].close()
    assert frames.receive(pair[1]) == ({}, [])
    with pytest.raises(frames.BrokenFrameError, match="after 5 of 8 bytes"):
        frames.receive(pair[1])
    with pytest.raises(frames.ClosedError):
        frames.receive(pair[1])


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1",
        b"RLG1\xff\xff\xff\xff",
        b"RLG1\0\0\0\2[]",
        b"RLG1\0\0\0\2{}",
        b'RLG1\0\0\0\x0d{"blobs": -1}',
        b'RLG1\0\0\0\x0f{"blobs": [-1]}',
        b'RLG1\0\0\0\x1c{"blobs": [99999999999999]}  ',
        b"RLG1\0\0\0\1\xff",
        b"RLG1\0\0\x10\0" + b"[" * 4096,
    ],
)
def test_what_is_no_message_is_refused(pair: Pair, raw: bytes) -> None:
    pair[0].sendall(raw)
    with pytest.raises(frames.BrokenFrameError):
        frames.receive(pair[1], time.monotonic() + 5)


def test_a_deadline_ends_the_waiting(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], time.monotonic() + 0.05)
