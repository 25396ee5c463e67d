"""Leases of clients elsewhere: a lane kept for one of them by a number, and given back when nothing is heard of it.

HTTP has no connection whose end would tell that a trainer was killed. So a client says every now and then that it is
there, while its model thinks; a lease of which nothing was heard for `seconds` is ended.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..contract import ExecResult, Limits, Sandbox, Session
from ..errors import Lost, QueueTimeout, RequestError

SECONDS = 60.0
MOST = 1024


@dataclass
class _Kept:
    session: Session
    heard: float
    busy: threading.Lock = field(default_factory=threading.Lock)


class Leases:
    """All leases of one service. Its methods block; any number of threads may call them."""

    def __init__(self, sandbox: Sandbox, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._sandbox = sandbox
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, state: str) -> str:
        """A new lease's number, as soon as a lane is free.

        Raises:
            QueueTimeout: no lane became free in time, or too many leases are kept. RequestError, Lost: see
                `Sandbox.lease`.
        """
        if len(self._kept) >= MOST:
            raise QueueTimeout(f"{MOST} leases are kept already; end some, or wait until nothing is heard of some")
        session = self._sandbox.lease(state)
        number = secrets.token_urlsafe(24)
        with self._lock:
            self._kept[number] = _Kept(session, time.monotonic())
        return number

    def alive(self, number: str) -> None:
        """The client is there. Raises Lost if the lease is not."""
        self._find(number).heard = time.monotonic()

    def exec(
        self, number: str, code: str, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str]
    ) -> ExecResult:
        """Run a program within a lease. Raises Lost if the lease is gone, and what `Sandbox.exec` raises."""
        kept = self._find(number)
        if not kept.busy.acquire(blocking=False):
            raise RequestError("a lease runs one program at a time; this one is running another")
        try:
            return kept.session.exec(code, files, limits, outputs=outputs)
        finally:
            kept.heard = time.monotonic()
            kept.busy.release()

    def end(self, number: str) -> None:
        """Give the lane back. Ending twice is allowed."""
        with self._lock:
            kept = self._kept.pop(number, None)
        if kept is not None:
            with kept.busy:  # it is not taken from a program that still runs
                kept.session.close()

    def end_silent(self) -> int:
        """End the leases of which nothing was heard for too long; how many."""
        now = time.monotonic()
        with self._lock:
            silent = [n for n, k in self._kept.items() if not k.busy.locked() and now - k.heard > self.seconds]
        for number in silent:
            self.end(number)
        return len(silent)

    def end_all(self) -> None:
        """End every lease."""
        for number in list(self._kept):
            self.end(number)

    def _find(self, number: str) -> _Kept:
        try:
            return self._kept[number]
        except KeyError:
            raise Lost(
                f"this lease is not there: it was ended, or nothing was heard of it for {self.seconds:g} s"
            ) from None
