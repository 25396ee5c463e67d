"""The pool of lanes, over workers that are threads of the test and do what a script says."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from sandbox import frames
from sandbox.breaker import Breaker
from sandbox.conformance import LIMITS
from sandbox.errors import Lost, QueueTimeout, RequestError, Stalled
from sandbox.lane import Lane
from sandbox.pool import LanePool

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

# What a worker does with a program: an answer, or None to die without a word.
Deed = Callable[[bytes, socket.socket], Mapping[str, Any] | None]


class Workshop:
    """Makes lanes. `deed` is what all its workers do, by the program's text; `broken` makes starting fail."""

    def __init__(self, deed: Deed | None = None, lanes: int = 1, exclusive: bool = True) -> None:
        self.deed, self.lanes, self.exclusive = deed or (lambda code, client: ANSWER), lanes, exclusive
        self.broken = False
        self.where = "here"
        self.trials = 0
        self.alive: set[int] = set()
        self.busy: set[int] = set()  # workers whose lease somebody else has
        self.closed = False
        self._threads: list[threading.Thread] = []

    def wanted(self) -> int:
        return self.lanes

    def start(self) -> Lane:
        self.trials += 1
        if self.broken:
            raise Lost("the engine is down")
        ours, theirs = socket.socketpair()
        number = self.trials
        thread = threading.Thread(target=self._work, args=(number, theirs))
        thread.start()
        self._threads.append(thread)
        self.alive.add(number)
        return Lane(ours, exclusive=self.exclusive, silence=5.0)

    def stop(self, lane: Lane) -> None: ...

    def describe(self, hello: Mapping[str, object]) -> dict[str, str]:
        return {"backend": "fake"}

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        self.closed = True

    def _work(self, number: int, client: socket.socket) -> None:
        with client, suppress(frames.ClosedError, frames.BrokenFrameError, OSError):
            frames.send(client, {"hello": frames.PROTOCOL, "modules": {}, "isolation": {}})
            while True:
                request, blobs = frames.receive(client)
                answer: Mapping[str, Any] | None = {"ended": 1, "spent": False}
                if request["do"] == "lease":
                    answer = {"busy": 1} if number in self.busy else {"leased": 1}
                elif request["do"] == "run":
                    answer = self.deed(blobs[0], client)
                if answer is None:
                    break
                frames.send(client, dict(answer), [b"out", b""] if "status" in answer else [])
        self.alive.discard(number)


@contextmanager
def pool_of(workshop: Workshop, **options: Any) -> Iterator[LanePool]:
    with LanePool(workshop, **options) as pool:
        yield pool
    assert workshop.closed


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come to that")


def test_a_program_is_run_and_its_lane_used_again() -> None:
    with pool_of(Workshop()) as pool:
        assert [pool.exec("", {}, LIMITS).stdout for _ in range(5)] == ["out"] * 5
        assert pool.stats()["started"] == 1 and pool.stats()["leases"] == 5


def test_warm_lanes_are_there_before_anybody_asks() -> None:
    with pool_of(Workshop(lanes=3)) as pool:
        until(lambda: pool.stats()["free"] == 3)


def test_lanes_that_nobody_needs_are_not_started() -> None:
    with pool_of(Workshop(lanes=3), warm=0) as pool:
        assert pool.stats()["lanes"] == 0
        pool.exec("", {}, LIMITS)
        assert pool.stats()["started"] == 1


def test_waiting_for_a_lane_is_told_in_the_first_result_of_the_lease() -> None:
    with pool_of(Workshop()) as pool:
        pool.exec("", {}, LIMITS)
        first = pool.lease()
        timer = threading.Timer(0.3, first.close)
        timer.start()
        with pool.lease() as second:
            assert second.exec("", {}, LIMITS).queue_ms > 200
            assert second.exec("", {}, LIMITS).queue_ms == 0
        timer.join()


def test_nobody_waits_longer_than_allowed() -> None:
    with pool_of(Workshop(), queue_seconds=0.1) as pool:
        pool.exec("", {}, LIMITS)
        with pool.lease(), pytest.raises(QueueTimeout, match="none of 1 lanes became free"):
            pool.exec("", {}, LIMITS)


def test_a_full_queue_turns_away_at_once() -> None:
    with pool_of(Workshop(), queue_length=0) as pool:
        until(lambda: pool.stats()["free"] == 1)
        with pool.lease(), pytest.raises(QueueTimeout, match="callers wait for a lane already"):
            pool.exec("", {}, LIMITS)


def test_a_lane_is_replaced_after_its_uses() -> None:
    workshop = Workshop()
    with pool_of(workshop, max_uses=3) as pool:
        for _ in range(7):
            pool.exec("", {}, LIMITS)
        until(lambda: pool.stats()["started"] == 3)
        assert workshop.alive <= {2, 3}


def test_a_lane_with_leftovers_is_replaced() -> None:
    workshop = Workshop(lambda code, client: ANSWER | {"spent": code == b"mess"})
    with pool_of(workshop) as pool:
        assert pool.exec("mess", {}, LIMITS).status == "ok"
        pool.exec("", {}, LIMITS)
        assert pool.stats()["started"] == 2


def test_within_a_lease_a_lane_that_a_program_made_unusable_is_replaced_and_told() -> None:
    workshop = Workshop(lambda code, client: ANSWER | {"spent": code == b"mess"})
    with pool_of(workshop) as pool, pool.lease("variables") as session:
        assert not session.exec("mess", {}, LIMITS).files_lost
        result = session.exec("", {}, LIMITS)
        assert result.files_lost and result.variables_lost
        assert not session.exec("", {}, LIMITS).files_lost


def dying(times: int) -> tuple[Deed, list[bytes]]:
    """Workers that die at the first programs that they are given, and what those were."""
    given: list[bytes] = []

    def deed(code: bytes, client: socket.socket) -> Mapping[str, Any] | None:
        given.append(code)
        return None if len(given) <= times else ANSWER

    return deed, given


def test_a_lost_lane_costs_one_more_try_on_another() -> None:
    deed, given = dying(1)
    with pool_of(Workshop(deed)) as pool:
        assert pool.exec("x", {}, LIMITS).ok
        assert given == [b"x", b"x"]
        assert pool.stats()["retried"] == 1 and pool.stats()["lost"] == 0


def test_two_lost_lanes_are_lost() -> None:
    deed, given = dying(2)
    with pool_of(Workshop(deed)) as pool:
        with pytest.raises(Lost):
            pool.exec("x", {}, LIMITS)
        assert given == [b"x", b"x"] and pool.stats()["lost"] == 1
        assert pool.exec("y", {}, LIMITS).ok


def test_a_lease_that_had_a_program_is_not_tried_elsewhere() -> None:
    def deed(code: bytes, client: socket.socket) -> Mapping[str, Any] | None:
        return None if code == b"die" else ANSWER

    with pool_of(Workshop(deed)) as pool, pool.lease() as session:
        session.exec("", {}, LIMITS)
        with pytest.raises(Lost):
            session.exec("die", {}, LIMITS)
        assert pool.stats()["retried"] == 0
        with pytest.raises(Lost, match="over"):
            session.exec("", {}, LIMITS)


def test_a_result_that_had_begun_is_not_asked_for_again() -> None:
    def deed(code: bytes, client: socket.socket) -> None:
        client.sendall(b"RLG1\0\0")

    with pool_of(Workshop(deed)) as pool:
        with pytest.raises(Lost, match="while it answered"):
            pool.exec("", {}, LIMITS)
        assert pool.stats()["retried"] == 0


def test_a_program_that_was_starved_is_not_tried_again() -> None:
    with pool_of(Workshop(lambda code, client: {"failure": "stalled", "why": "x", "spent": False})) as pool:
        with pytest.raises(Stalled):
            pool.exec("", {}, LIMITS)
        assert pool.stats()["retried"] == 0 and pool.stats()["started"] == 1


def test_a_worker_that_falls_silent_is_given_up() -> None:
    def deed(code: bytes, client: socket.socket) -> Mapping[str, Any]:
        time.sleep(1.0)
        return ANSWER

    workshop = Workshop(deed)
    with pool_of(workshop) as pool:
        lane = pool.take(None)
        lane._silence = 0.1
        pool.give(lane)
        assert pool.exec("", {}, LIMITS).ok
        assert pool.stats()["retried"] == 1


def test_a_worker_that_says_that_it_lives_is_waited_for() -> None:
    def deed(code: bytes, client: socket.socket) -> Mapping[str, Any]:
        for _ in range(6):
            time.sleep(0.1)
            frames.nudge(client)
        return ANSWER

    with pool_of(Workshop(deed)) as pool:
        lane = pool.take(None)
        lane._silence = 0.4
        pool.give(lane)
        assert pool.exec("", {}, LIMITS).ok
        assert pool.stats()["retried"] == 0


def test_an_idle_lane_that_died_is_replaced_without_a_word() -> None:
    workshop = Workshop()
    with pool_of(workshop) as pool:
        lane = pool.take(None)
        pool.give(lane)
        lane._socket.shutdown(socket.SHUT_RDWR)
        assert pool.exec("", {}, LIMITS).ok
        assert pool.stats()["started"] == 2 and pool.stats()["retried"] == 0


def test_when_no_lane_can_be_started_callers_hear_so_at_once() -> None:
    workshop = Workshop()
    workshop.broken = True
    with pool_of(workshop, breaker=Breaker(failures=2, first=0.04, most=600.0)) as pool:
        with pytest.raises(Lost, match=r"no lane can be started .* the engine is down"):
            pool.exec("", {}, LIMITS)
        until(lambda: pool._breaker.wait > 1)
        trials = workshop.trials
        for _ in range(50):
            with pytest.raises(Lost):
                pool.exec("", {}, LIMITS)
        assert workshop.trials == trials


def test_a_trial_that_succeeds_ends_it() -> None:
    workshop = Workshop()
    workshop.broken = True
    with pool_of(workshop, breaker=Breaker(failures=2, first=0.04, most=0.1)) as pool:
        with pytest.raises(Lost):
            pool.exec("", {}, LIMITS)
        workshop.broken = False
        until(lambda: pool.stats()["free"] == 1)
        assert pool.exec("", {}, LIMITS).ok


def test_while_lanes_live_an_engine_that_is_down_is_not_noticed() -> None:
    workshop = Workshop()
    with pool_of(workshop, breaker=Breaker(failures=1, first=0.01)) as pool:
        pool.exec("", {}, LIMITS)
        workshop.broken, workshop.lanes = True, 2
        until(lambda: pool._breaker.open or workshop.trials > 1 or bool(pool.exec("", {}, LIMITS).status != "ok"))
        assert pool.exec("", {}, LIMITS).ok


def test_a_lane_that_somebody_else_has_is_passed_over() -> None:
    workshop = Workshop(lanes=2, exclusive=False)
    with pool_of(workshop) as pool:
        until(lambda: pool.stats()["free"] == 2)
        workshop.busy = {2}
        assert pool.exec("", {}, LIMITS).ok
        workshop.busy = {1, 2}
        threading.Timer(0.2, workshop.busy.clear).start()
        assert pool.exec("", {}, LIMITS).queue_ms > 100
        assert pool.stats()["started"] == 2


def test_limits_of_a_process_may_not_change_while_it_keeps_variables() -> None:
    from dataclasses import replace

    with pool_of(Workshop()) as pool:
        with pool.lease("variables") as session:
            session.exec("", {}, LIMITS)
            session.exec("", {}, replace(LIMITS, wall_seconds=1.0, output_bytes=1))
            for name in ("memory_bytes", "processes", "file_bytes"):
                with pytest.raises(RequestError, match="must stay the same"):
                    session.exec("", {}, replace(LIMITS, **{name: getattr(LIMITS, name) + 1}))
        with pool.lease("files") as session:
            session.exec("", {}, LIMITS)
            session.exec("", {}, replace(LIMITS, memory_bytes=LIMITS.memory_bytes + 1))


def test_more_than_a_lane_has_room_for_is_refused_by_the_caller() -> None:
    with pool_of(Workshop(), input_bytes=10) as pool:
        assert pool.exec("", {"a": bytes(10)}, LIMITS).ok
        with pytest.raises(RequestError, match="at most 10 bytes"):
            pool.exec("", {"a": bytes(11)}, LIMITS)


def test_every_caller_gets_a_lane_in_the_end() -> None:
    with pool_of(Workshop(lanes=2), max_uses=5) as pool:
        results: list[str] = []
        threads = [threading.Thread(target=lambda: results.append(pool.exec("", {}, LIMITS).status)) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == ["ok"] * 60
        assert pool.stats()["waiting"] == 0 and pool.stats()["lanes"] <= 2


def test_a_lease_outlives_the_closing_of_its_pool_and_its_lane_does_not() -> None:
    workshop = Workshop()
    pool = LanePool(workshop)
    session = pool.lease()
    pool.close()
    assert session.exec("", {}, LIMITS).ok and not workshop.closed
    session.close()
    assert workshop.closed and not workshop.alive
    with pytest.raises(Lost, match="closed"):
        pool.lease()


def test_a_forked_child_must_open_its_own() -> None:
    with pool_of(Workshop()) as pool:
        pool.exec("", {}, LIMITS)
        pid = os.fork()
        if pid == 0:
            try:
                pool.exec("", {}, LIMITS)
            except Lost:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_an_unknown_state_is_refused() -> None:
    with pool_of(Workshop()) as pool, pytest.raises(RequestError, match="files, variables"):
        pool.lease("all")


class Odd(Workshop):
    """What no source should raise, from one of its methods; `wanted` only in the thread that starts lanes."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.odd = where

    def _maybe(self, where: str) -> None:
        if self.odd == where:
            raise ValueError("nobody has seen this before")

    def start(self) -> Lane:
        self._maybe("start")
        return super().start()

    def stop(self, lane: Lane) -> None:
        self._maybe("stop")

    def wanted(self) -> int:
        if threading.current_thread().name == "sandbox-lanes":
            self._maybe("wanted")
        return super().wanted()


def test_an_odd_error_of_the_source_is_a_lane_that_cannot_be_started() -> None:
    workshop = Odd("start")
    with pool_of(workshop, breaker=Breaker(failures=2, first=0.04, most=0.1)) as pool:
        with pytest.raises(Lost, match="ValueError: nobody has seen this before"):
            pool.exec("", {}, LIMITS)
        workshop.odd = ""
        until(lambda: pool.stats()["free"] == 1)
        assert pool.exec("", {}, LIMITS).ok


def test_a_lane_that_cannot_be_stopped_does_not_keep_others_from_starting() -> None:
    with pool_of(Odd("stop"), max_uses=1) as pool:
        assert [pool.exec("", {}, LIMITS).stdout for _ in range(3)] == ["out"] * 3
        until(lambda: pool.stats()["replaced"] == 3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_callers_never_wait_for_lanes_that_nobody_starts() -> None:
    with pool_of(Odd("wanted")) as pool, pytest.raises(Lost, match=r"has ended: ValueError: .* open another sandbox"):
        pool.exec("", {}, LIMITS)
