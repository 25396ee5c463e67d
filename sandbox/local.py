"""Programs as processes of this machine: for machines without a container engine.

It keeps honest mistakes in check: limits, a fresh folder, no inherited environment, everything killed and deleted at
the end, and as root another user, and a cut network and a read-only file system where the kernel or bubblewrap provide
them. It does not hold against hostile code, and says so.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from .contract import ExecResult, Limits, check_request
from .errors import Lost, QueueTimeout, RequestError, Unavailable
from .local_worker import LocalWorker, bubblewrap_works, describe

QUEUE_SECONDS = 120.0
MAX_LANES = 256


class LocalSandbox:
    """A sandbox of worker processes on this machine (Linux only). See `sandbox.contract.Sandbox`.

    Args:
        lanes: programs that run at the same time; by default two per processor. A lane is a worker, which is started
            when it is first needed.
        network: "none" cuts the network off where that is possible, and says so where it is not; "host" leaves it.
        bubblewrap: run the workers in bubblewrap, so that programs see the file system read-only and no other
            process. None: if it is installed and works.
        queue_seconds: the longest time that a call waits for a free lane.

    Raises:
        RequestError: an argument is not allowed.
        Unavailable: not Linux, or the image libraries are not installed.
    """

    def __init__(
        self,
        *,
        lanes: int | None = None,
        network: str = "none",
        bubblewrap: bool | None = None,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        lanes = 2 * (os.cpu_count() or 1) if lanes is None else lanes
        if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= MAX_LANES:
            raise RequestError(f"lanes must be a whole number from 1 to {MAX_LANES}; got {lanes!r}")
        if network not in ("none", "host"):
            raise RequestError(f"network must be 'none' or 'host'; got {network!r}")
        if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
            raise Unavailable('sandbox="local" needs Linux 5.3 or later; on other systems use a container engine')
        missing = [name for name in ("numpy", "PIL", "cv2") if importlib.util.find_spec(name) is None]
        if missing:
            raise Unavailable(
                f"programs expect {', '.join(missing)}, not installed here: pip install 'rllava-gym[sandbox]'"
            )
        self.lanes, self.network, self.queue_seconds = lanes, network, float(queue_seconds)
        self._bubblewrap = bubblewrap
        self._idle: list[LocalWorker] = []
        self._free = lanes
        self._waiting = 0
        self._changed = threading.Condition()
        self._facts: Mapping[str, str] | None = None
        self._pid = os.getpid()
        self.closed = False
        self._counts = {"programs": 0, "lost": 0, "started": 0}

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run a program; see `Sandbox.exec`. A worker that is lost is replaced by the next call."""
        program = check_request(code, files, outputs)
        if not isinstance(limits, Limits):
            raise RequestError(f"limits must be a sandbox.contract.Limits; got {type(limits).__name__}")
        asked = time.monotonic()
        worker = self._take()
        fit = False
        try:
            queued = time.monotonic() - asked
            result, fit = worker.run(program, files, limits, tuple(outputs), queued)
            return result
        except Lost:
            self._counts["lost"] += 1
            fit = worker.alive
            raise
        finally:
            self._give(worker if fit else None)
            if not fit:
                worker.stop()

    def isolation(self) -> Mapping[str, str]:
        """What separates a program from this machine; starts a worker if none is there, and asks it."""
        if self._facts is None:
            self._give(self._take())
        return dict(self._facts or {})

    def stats(self) -> dict[str, int]:
        """lanes; workers (alive now), free (lanes), waiting (callers); programs, lost and started since the opening."""
        with self._changed:
            busy = self.lanes - self._free
            return {
                "lanes": self.lanes,
                "workers": len(self._idle) + busy,
                "free": self._free,
                "waiting": self._waiting,
                **self._counts,
            }

    def close(self) -> None:
        """Stop idle workers now, and busy ones when their programs end."""
        with self._changed:
            self.closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for worker in idle:
            worker.stop()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's workers without touching them."""
        for worker in self._idle:
            worker.let_go()
        self._idle, self.closed = [], True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> LocalWorker:
        """An idle worker, or a new one, as soon as a lane is free."""
        if os.getpid() != self._pid:
            raise Lost("this sandbox was opened by the parent of this process; open one here")
        deadline = time.monotonic() + self.queue_seconds
        with self._changed:
            self._waiting += 1
            try:
                while not self._free and not self.closed:
                    if not self._changed.wait(deadline - time.monotonic()):
                        raise QueueTimeout(
                            f"none of {self.lanes} lanes became free in {self.queue_seconds:g} s, with {self._waiting} "
                            "callers waiting: use more lanes, shorter limits, or fewer episodes at a time"
                        )
            finally:
                self._waiting -= 1
            if self.closed:
                raise Lost("this sandbox is closed; open another")
            self._free -= 1
            self._counts["programs"] += 1
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.stop()
            self._counts["started"] += 1
        try:
            return self._start()
        except BaseException:
            self._give(None)
            raise

    def _start(self) -> LocalWorker:
        wrap = bubblewrap_works() if self._bubblewrap is None else self._bubblewrap
        scratch = tempfile.mkdtemp(prefix="rllava-sandbox-")
        worker = LocalWorker(scratch, cut=self.network == "none", wrap=wrap)
        facts = describe(worker.hello, self.network, wrap)
        with self._changed:
            first, self._facts = self._facts is None, facts
        if first:
            _say_once(facts)
        return worker

    def _give(self, worker: LocalWorker | None) -> None:
        with self._changed:
            self._free += 1
            if worker is not None and not self.closed:
                self._idle.append(worker)
                worker = None
            self._changed.notify()
        if worker is not None:
            worker.stop()


_said: set[int] = set()


def _say_once(facts: Mapping[str, str]) -> None:
    """Tell a person, once in a process, what does not hold."""
    if os.getpid() in _said:
        return
    _said.add(os.getpid())
    weak = [f"  {part}: {words}" for part, words in facts.items() if words.startswith("NOT ")]
    lines = [
        'sandbox="local" runs model-written programs as processes of this machine. It does NOT hold hostile code.',
        *weak,
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)
