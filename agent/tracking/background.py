"""A tracker in a thread of its own: what it does wrong, or does not do in time, is told once and costs no time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .samples import Sample
from .tracker import Tracker

ROOM = 10_000  # calls that may wait
PATIENCE = 75.0  # seconds that a run waits for it at its end


class Background:
    """Calls are put in a queue and made in order by a thread, which opens the tracker first. No method raises or waits,
    but for `close`, which waits a bounded time.

    Args:
        make: Opens the tracker; called with a function that takes a warning.
        warn: Told of the first thing that goes wrong, by the thread that uses this object.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Callable[[str], None]], Tracker],
        warn: Callable[[str], None],
        room: int = ROOM,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self._make, self._warn, self._patience = make, warn, patience
        self._calls: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(room)
        self._wrong: str | None = None
        self._told = False
        self._dead = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        kept = dict(metrics)
        self._put(lambda tracker: tracker.log(step, kept))

    def trajectories(self, step: int, samples: Sequence[Sample]) -> None:
        """See `Tracker`."""
        self._put(lambda tracker: tracker.trajectories(step, samples))

    def report(self, report: Mapping[str, Any]) -> None:
        """See `Tracker`."""
        self._put(lambda tracker: tracker.report(report))

    def close(self) -> None:
        """Wait until everything is written, or for `patience` seconds."""
        with suppress(queue.Full):
            self._calls.put(None, timeout=self._patience)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._note(f"it was not done {self._patience:g} s after the run was, which does not wait any longer")
        self._tell()

    def _put(self, call: Callable[[Tracker], None]) -> None:
        self._tell()
        if self._dead.is_set():
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._note("it is too slow for what it is given, and some of that is left out")

    def _work(self) -> None:
        tracker = None
        try:
            tracker = self._make(self._note)
            while (call := self._calls.get()) is not None:
                self._tried(lambda call=call: call(tracker))
        except BaseException as error:  # SystemExit too: a library's way of giving up is not the run's
            self._note(f"{type(error).__name__}: {error}")
        finally:
            self._dead.set()
            if tracker is not None:
                self._tried(tracker.close)

    def _tried(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._note(f"{type(error).__name__}: {error}")

    def _note(self, what: str) -> None:
        self._wrong = self._wrong or what

    def _tell(self) -> None:
        if self._wrong is not None and not self._told:
            self._told = True
            self._warn(f"run.trackers: {self.name}: {self._wrong:.500}. The run goes on, and its folder has everything")
