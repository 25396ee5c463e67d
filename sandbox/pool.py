"""Warm lanes, whatever they are made of: leased, given back, replaced in the background.

Starting a lane takes a second, using one that is warm takes milliseconds. So a thread of the pool's own starts them and
stops them, one at a time; a caller's way never leads there.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from .breaker import Breaker
from .closing import Closing
from .contract import STATES, ExecResult, Limits, check_request
from .errors import InfrastructureError, Lost, QueueTimeout, RequestError
from .lane import BusyError, Lane, Unanswered
from .pool_session import PooledSession

QUEUE_SECONDS = 120.0
QUEUE_LENGTH = 4096
MAX_LANES = 256
MAX_USES = 500
_BUSY_PAUSE = 0.01  # seconds, on average, after which lanes that others had are tried again


class Source(Protocol):
    """Where lanes come from. `start` is called by one thread; `where` says in words where they are looked for."""

    where: str

    def wanted(self) -> int:
        """How many lanes there should be."""
        ...

    def start(self) -> Lane:
        """A new lane. Raises InfrastructureError."""
        ...

    def stop(self, lane: Lane) -> None:
        """End a lane for good. Raises nothing."""
        ...

    def describe(self, hello: Mapping[str, object]) -> dict[str, str]:
        """What separates a program from this machine; see `Sandbox.isolation`."""
        ...

    def close(self) -> None:
        """Called once, when all lanes were stopped."""
        ...


class LanePool(Closing):
    """A `Sandbox` over lanes of any kind.

    Args:
        source: where they come from.
        warm: lanes that are kept though nobody asks; None: as many as the source wants.
        max_uses: leases after which a lane is replaced; None: never.
        queue_seconds: the longest time that a caller waits for a lane.
        queue_length: callers that may wait at one time; more are turned away at once.
        input_bytes: the most that a lane has room for; more files are refused at once.
        recheck_seconds: how often the source is asked how many lanes it wants; None: only when one was lost.
    """

    def __init__(
        self,
        source: Source,
        *,
        warm: int | None = None,
        max_uses: int | None = MAX_USES,
        queue_seconds: float = QUEUE_SECONDS,
        queue_length: int = QUEUE_LENGTH,
        input_bytes: int | None = None,
        recheck_seconds: float | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._source, self._max_uses, self._recheck_seconds = source, max_uses, recheck_seconds
        self.queue_seconds, self._queue_length = float(queue_seconds), queue_length
        self._input_bytes = input_bytes
        self._warm = MAX_LANES if warm is None else warm
        self._breaker = breaker or Breaker()
        self._idle: list[Lane] = []
        self._retired: list[Lane] = []
        self._lanes = 0  # idle, leased or being started
        self._wound_up = False
        self._starting = 0  # 1 while the gardener starts one
        self._waiting = 0
        self._changed = threading.Condition()
        self._facts: dict[str, str] | None = None
        self._broken: str | None = None  # why the gardener ended, if nobody closed the pool
        self._pid = os.getpid()
        self.closed = False
        self._counts = {"leases": 0, "programs": 0, "started": 0, "lost": 0, "retried": 0, "replaced": 0, "refused": 0}
        self._gardener = threading.Thread(target=self._tend, name="sandbox-lanes", daemon=True)
        self._gardener.start()

    # --- what a Sandbox has ------------------------------------------------------------------------------------------

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run one program; see `Sandbox.exec`. A lane that is lost before it answers is replaced by another, once."""
        program = self.check(code, files, limits, outputs)
        with self.lease() as session:
            return session.run(program, files, limits, outputs, last=True)

    def lease(self, state: str = "files") -> PooledSession:
        """A lane for several programs; see `Sandbox.lease`."""
        if state not in STATES:
            raise RequestError(f"state must be one of {', '.join(STATES)}; got {state!r:.100}")
        asked = time.monotonic()
        lane = self.take(state)
        return PooledSession(self, lane, state, time.monotonic() - asked)

    def isolation(self) -> Mapping[str, str]:
        """What separates a program from this machine; waits for a lane if none was there yet."""
        if self._facts is None:
            self.give(self.take(None))
        return dict(self._facts or {})

    def stats(self) -> dict[str, int]:
        """lanes (alive now), free, waiting (callers); and since the opening: leases, programs, lanes started, lost and
        replaced, calls retried on another lane, callers refused by the queue."""
        with self._changed:
            return {"lanes": self._lanes, "free": len(self._idle), "waiting": self._waiting, **self._counts}

    def close(self) -> None:
        """Stop idle lanes now, and busy ones when their leases end."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            if self.closed:
                return
            self.closed = True
            while self._idle:
                self._retire(self._idle.pop())
            self._changed.notify_all()
        self._gardener.join()
        if self._broken is not None:
            self._wind_up()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's lanes without touching them."""
        for lane in self._idle:
            lane.let_go()
        self._idle, self.closed = [], True

    def check(self, code: str, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str]) -> bytes:
        """The program as bytes, if the request may be sent. Raises RequestError."""
        program = check_request(code, files, outputs)
        if not isinstance(limits, Limits):
            raise RequestError(f"limits must be a sandbox.contract.Limits; got {type(limits).__name__}")
        total = sum(len(content) for content in files.values())
        if self._input_bytes is not None and total > self._input_bytes:
            raise RequestError(f"files must have at most {self._input_bytes} bytes in all on these lanes; got {total}")
        return program

    # --- lanes -------------------------------------------------------------------------------------------------------

    def take(self, state: str | None) -> Lane:
        """A lane, with a lease of this state begun on it (None: without one). `give` it back.

        Raises:
            Lost: there is no lane, and starting one fails again and again; or this pool is closed.
            QueueTimeout: no lane became free in time, or too many callers wait.
        """
        if os.getpid() != self._pid:
            raise Lost("this sandbox was opened by the parent of this process; open one here")
        deadline = time.monotonic() + self.queue_seconds
        busy: list[Lane] = []
        try:
            while True:
                lane = self._next(deadline, busy)
                try:
                    if state is not None:
                        lane.lease(state)
                        self.count("leases")
                    return lane
                except BusyError:
                    busy.append(lane)
                except Unanswered:
                    self.give(lane)
        finally:
            for lane in busy:
                self.give(lane)

    def _next(self, deadline: float, busy: list[Lane]) -> Lane:
        """An idle lane that is alive. Lanes in `busy` are somebody else's just now; they are given back for another
        try when there is no other."""
        with self._changed:
            if not self._idle and self._waiting >= self._queue_length:
                self._counts["refused"] += 1
                raise QueueTimeout(f"{self._waiting} callers wait for a lane already: use more lanes or fewer episodes")
            self._waiting += 1
            self._changed.notify_all()  # the gardener may have to start one
            try:
                while True:
                    if self.closed:
                        raise Lost("this sandbox is closed; open another")
                    if self._broken is not None:
                        raise Lost(f"the thread that starts lanes has ended: {self._broken}; open another sandbox")
                    while self._idle:
                        lane = self._idle.pop()
                        if lane.alive:
                            return lane
                        self._retire(lane)
                    if not self._lanes and self._breaker.open:
                        raise Lost(
                            f"no lane can be started (next trial in {self._breaker.wait:.0f} s): {self._breaker.why}"
                        )
                    # The first lane is waited for however long it takes: it comes, or the breaker opens.
                    wanted = self._source.wanted()
                    left = deadline - time.monotonic() if self._counts["started"] or not wanted else 1.0
                    if left <= 0 and not wanted:
                        raise Lost(f"there is no lane: {self._source.where}")
                    if left <= 0:
                        self._counts["refused"] += 1
                        raise QueueTimeout(
                            f"none of {self._lanes} lanes became free in {self.queue_seconds:g} s, with "
                            f"{self._waiting} callers waiting: use more lanes, shorter limits, or fewer episodes"
                        )
                    pause = random.uniform(0.5, 1.5) * _BUSY_PAUSE if busy else left
                    self._changed.wait(min(left, pause))
                    self._idle += busy
                    busy.clear()
            finally:
                self._waiting -= 1

    def give(self, lane: Lane) -> None:
        """Take a lane back after its lease."""
        with self._changed:
            ended = not self._gardener.is_alive()  # the pool was closed while this lane was leased
            if self.closed or not lane.fit or (self._max_uses is not None and lane.uses >= self._max_uses):
                self._retire(lane)
            else:
                self._idle.append(lane)
            self._changed.notify_all()
        if ended:
            self._wind_up()

    def _retire(self, lane: Lane) -> None:
        self._lanes -= 1
        self._counts["replaced"] += 1
        self._retired.append(lane)
        self._changed.notify_all()

    def count(self, what: str) -> None:
        """Add one to a figure of `stats`."""
        with self._changed:
            self._counts[what] += 1

    # --- the thread that starts and stops them -----------------------------------------------------------------------

    def _tend(self) -> None:
        try:
            self._tend_until_closed()
        except BaseException as error:  # or callers would wait for ever for lanes that nobody starts
            with self._changed:
                self._broken = _told(error)
                self._changed.notify_all()
            raise

    def _tend_until_closed(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                while not self._retired and not self.closed and not self._may_start():
                    self._changed.wait(self._pause())
                closing = self.closed
                starts = self._may_start()
                self._lanes += starts
                self._starting = int(starts)
            self._stop_retired()
            if starts:
                self._start_one()
        self._wind_up()

    def _wind_up(self) -> None:
        """After the closing: stop what came back, and with the last lane the source."""
        self._stop_retired()
        with self._changed:
            last = self._lanes == 0 and not self._wound_up
            self._wound_up = self._wound_up or last
        if last:
            self._source.close()

    def _stop_retired(self) -> None:
        while True:
            with self._changed:
                if not self._retired:
                    return
                lane = self._retired.pop()
            # Whatever a lane's end breaks, others are started and stopped all the same.
            with suppress(Exception):
                lane.close()
            with suppress(Exception):
                self._source.stop(lane)

    def _missing(self) -> bool:
        """Whether there are fewer lanes than wanted, be it by those who wait now."""
        leased = self._lanes - len(self._idle) - self._starting
        return self._lanes < min(self._source.wanted(), max(self._warm, leased + self._waiting))

    def _may_start(self) -> bool:
        return not self.closed and not self._breaker.wait and self._missing()

    def _pause(self) -> float | None:
        """Seconds until something may have to be done unasked."""
        return max(self._breaker.wait, 0.01) if self._missing() else self._recheck_seconds

    def _start_one(self) -> None:
        try:
            lane = self._source.start()
        except Exception as error:  # also what a client of the engine raises that nobody has seen before
            with self._changed:
                self._lanes -= 1
                self._starting = 0
                self._breaker.failed(_told(error))
                self._changed.notify_all()
            return
        with self._changed:
            self._starting = 0
            self._breaker.worked()
            self._counts["started"] += 1
            if self._facts is None:
                self._facts = self._source.describe(lane.hello)
        self.give(lane)


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, InfrastructureError) else f"{type(error).__name__}: {error}"


def check_lanes(lanes: object, default: int) -> int:
    """A number of lanes; `default` for None.

    Raises:
        RequestError: not a whole number from 1 to MAX_LANES.
    """
    if lanes is None:
        return default
    if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= MAX_LANES:
        raise RequestError(f"lanes must be a whole number from 1 to {MAX_LANES}; got {lanes!r}")
    return lanes
