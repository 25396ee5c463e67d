"""A tracker that fails, hangs or is slow costs the run a warning."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.tracking.background import Background


class Kept:
    """A tracker that remembers. `fail`: raised by every call."""

    def __init__(self, fail: BaseException | None = None) -> None:
        self.calls: list[Any] = []
        self.fail = fail
        self.threads: set[int] = set()

    def _call(self, *what: Any) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append(what)
        if self.fail is not None:
            raise self.fail

    def log(self, step: int, metrics: Any) -> None:
        self._call("log", step, metrics)

    def trajectories(self, step: int, samples: Any) -> None:
        self._call("trajectories", step, samples)

    def report(self, report: Any) -> None:
        self._call("report", report)

    def close(self) -> None:
        self._call("close")


def background(tracker: Kept | Callable[[Any], Any], **options: Any) -> tuple[Background, list[str]]:
    told: list[str] = []
    make = tracker if callable(tracker) else lambda warn: tracker
    return Background("board", make, told.append, **options), told


def test_calls_are_made_in_order_in_another_thread() -> None:
    kept = Kept()
    tracker, told = background(kept)
    metrics = {"reward": 1.0}
    tracker.log(1, metrics)
    metrics["reward"] = 2.0  # what was logged is what was true then
    tracker.trajectories(1, [])
    tracker.report({"rows": []})
    tracker.close()
    assert kept.calls == [("log", 1, {"reward": 1.0}), ("trajectories", 1, []), ("report", {"rows": []}), ("close",)]
    assert threading.get_ident() not in kept.threads
    assert told == []


@pytest.mark.parametrize("error", [OSError("no route to host"), SystemExit(3), KeyboardInterrupt("gone")])
def test_one_that_cannot_be_opened_is_told_once(error: BaseException) -> None:
    def make(warn: Any) -> Any:
        raise error

    tracker, told = background(make)
    for step in range(100):
        tracker.log(step, {})
    tracker.report({})
    tracker.close()
    assert len(told) == 1 and told[0].startswith(f"run.trackers: board: {type(error).__name__}: {error}")


def test_one_that_fails_at_every_call_is_told_once_and_tried_again() -> None:
    kept = Kept(ValueError("bad"))
    tracker, told = background(kept)
    for step in range(3):
        tracker.log(step, {})
    tracker.close()
    assert [call[0] for call in kept.calls] == ["log"] * 3 + ["close"]
    assert len(told) == 1 and "ValueError: bad" in told[0]


def test_a_warning_of_the_tracker_itself_is_told() -> None:
    def make(warn: Callable[[str], None]) -> Any:
        warn("kept here")
        return Kept()

    tracker, told = background(make)
    tracker.close()
    assert told == ["run.trackers: board: kept here. The run goes on, and its folder has everything"]


def test_one_that_hangs_slows_nothing_and_is_waited_for_a_bounded_time() -> None:
    forever = threading.Event()
    tracker, told = background(lambda warn: forever.wait(60) and Kept(), room=5, patience=0.3)
    started = time.monotonic()
    for step in range(1000):
        tracker.log(step, {})
    assert time.monotonic() - started < 1.0
    tracker.close()
    assert time.monotonic() - started < 3.0
    assert len(told) == 1 and "too slow" in told[0]
    forever.set()


def test_one_that_is_not_done_in_time_is_told() -> None:
    forever = threading.Event()
    tracker, told = background(lambda warn: forever.wait(60) and Kept(), patience=0.2)
    tracker.close()
    forever.set()
    assert len(told) == 1 and "not done 0.2 s after the run" in told[0]
