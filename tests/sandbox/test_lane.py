"""Our end of a connection: what the other side says is not trusted."""

import socket
import threading
from typing import Any

import pytest

from sandbox import frames
from sandbox.conformance import LIMITS
from sandbox.errors import Lost, Stalled
from sandbox.lane import BusyError, Lane, Unanswered

ANSWER: dict[str, Any] = {
    "status": "ok",
    "reason": "",
    "exit_code": 0,
    "signal": None,
    "wall_ms": 1.0,
    "cpu_ms": 1.0,
    "peak_memory": 1,
    "stdout_dropped": 0,
    "stderr_dropped": 0,
    "names": [],
    "files_left_out": [],
    "variables_lost": False,
    "spent": False,
}


def lane_to(*answers: Any, exclusive: bool = True, hello: Any = None) -> Lane:
    """A lane to a worker that gives these answers one after the other: (header, blobs), or raw bytes; then it goes."""
    ours, theirs = socket.socketpair()

    def work() -> None:
        with theirs:
            frames.send(theirs, hello or {"hello": frames.PROTOCOL})
            for answer in answers:
                frames.receive(theirs)
                if isinstance(answer, bytes):
                    theirs.sendall(answer)
                else:
                    frames.send(theirs, *answer)

    threading.Thread(target=work, daemon=True).start()
    return Lane(ours, exclusive=exclusive, silence=5.0)


LEASED = ({"leased": 1},)


def run(lane: Lane) -> Any:
    lane.lease("files")
    return lane.run(b"", {}, LIMITS, ["*"], last=True)


def test_a_worker_of_another_protocol_is_refused_with_what_to_do() -> None:
    with pytest.raises(Lost, match="build-image"):
        lane_to(hello={"hello": 1})


def test_what_says_no_hello_is_lost() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(Lost, match="hello"):
        Lane(ours, exclusive=True)


def test_an_answer_is_a_result() -> None:
    result = run(lane_to(LEASED, (ANSWER | {"names": ["a"]}, [b"o", b"e", b"f"])))
    assert (result.stdout, result.stderr, result.files) == ("o", "e", {"a": b"f"})


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"status": ["ok"]},
        {"exit_code": "x"},
        {"names": ["a", "b"]},
        {"files_left_out": [1]},
        {"wall_ms": None},
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_a_lost_lane(change: dict[str, Any]) -> None:
    lane = lane_to(LEASED, (ANSWER | change, [b"", b""]))
    with pytest.raises(Lost, match="an answer that is none"):
        run(lane)
    assert not lane.fit


def test_bytes_that_are_no_message_are_a_lost_lane() -> None:
    lane = lane_to(LEASED, b"HTTP/1.1 200 OK")
    with pytest.raises(Lost, match="while it answered"):
        run(lane)
    assert not lane.fit


def test_a_session_that_ran_out_of_memory_is_the_programs_doing() -> None:
    lane = lane_to(LEASED, ({"session": "oom", "why": "x"},))
    assert run(lane).status == "oom" and not lane.fit


def test_a_session_that_died_otherwise_is_not() -> None:
    with pytest.raises(Unanswered):
        run(lane_to(LEASED, ({"session": "died", "why": "x"},)))


def test_a_starved_program_is_stalled_and_the_lane_goes_on() -> None:
    lane = lane_to(LEASED, ({"failure": "stalled", "why": "x", "spent": False},))
    with pytest.raises(Stalled):
        run(lane)
    assert lane.fit


def test_a_shared_lane_may_be_somebody_elses() -> None:
    lane = lane_to(({"busy": 1},), exclusive=False)
    with pytest.raises(BusyError):
        lane.lease("files")
    assert lane.fit and lane.uses == 0


def test_a_lane_that_says_something_unasked_is_not_alive() -> None:
    ours, theirs = socket.socketpair()
    frames.send(theirs, {"hello": frames.PROTOCOL})
    lane = Lane(ours, exclusive=True)
    assert lane.alive
    theirs.sendall(b"x")
    assert not lane.alive
    theirs.close()
