"""The process that asks math-verify whether two expressions agree, and can be killed.

math-verify and SymPy may run for ever (9^{9^{9^9}}), take all memory, and stop themselves by signals, which only a main
thread can receive. So they run in a child: one per interpreter, started when first needed, shared by all threads under
a lock, replaced after it died. It is a fresh interpreter, not a fork, and talks through two pipes. Its end of file is
its end: when this process dies, however that happens, so does the child.

Two limits hold for a question. The child gives itself CPU_SECONDS of processor time and dies of them: a slow machine
does not make a right answer wrong. WALL_SECONDS is for a child that was stopped or starved from outside; it is asked
again in a new one, and then it is an error and no verdict.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .errors import ComputerAlgebraError

CPU_SECONDS = 2.0
WALL_SECONDS = 120.0
START_SECONDS = 300.0
MEMORY_BYTES = 1 << 30
MAX_FRAME = 1 << 16

_WORKER = Path(__file__).with_name("computer_algebra_worker.py")


class _GoneError(Exception):
    """The child ended before it answered."""


class _Child:
    def __init__(self) -> None:
        # -P: the folder of the worker's file must not come first on its path; modules there have common names.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(CPU_SECONDS), str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.into, self.out = self.process.stdin.fileno(), self.process.stdout.fileno()
        try:
            hello = self.receive(START_SECONDS)
        except (_GoneError, TimeoutError) as error:
            self.kill()
            raise ComputerAlgebraError(
                f"the process that compares answers did not start within {START_SECONDS:g} s ({error}); "
                "is there memory for another interpreter, and does `import math_verify` work?"
            ) from None
        if "error" in hello:
            self.kill()
            raise ComputerAlgebraError(f"the process that compares answers could not start: {hello['error']}")

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(question).encode()
        try:
            os.write(self.into, struct.pack(">I", len(payload)) + payload)  # far less than a pipe holds
        except OSError:
            raise _GoneError("it no longer listens") from None
        return self.receive(WALL_SECONDS)

    def receive(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        (length,) = struct.unpack(">I", self._read(4, deadline))
        if length > MAX_FRAME:
            raise _GoneError(f"it announced {length} bytes")
        answer = json.loads(self._read(length, deadline))
        assert isinstance(answer, dict)
        return answer

    def _read(self, count: int, deadline: float) -> bytes:
        data = b""
        poll = select.poll()
        poll.register(self.out, select.POLLIN)
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError("no answer in time")
            got = os.read(self.out, count - len(data))
            if not got:
                raise _GoneError("it ended")
            data += got
        return data

    def kill(self) -> int:
        # Killing what already died changes nothing; so wait first, briefly, for what is just dying.
        try:
            ended = self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            ended = self.process.wait()
        self.forget()
        return ended

    def forget(self) -> None:
        """Close our ends. A child whose last writer is gone ends by itself."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


_lock = threading.Lock()
_child: _Child | None = None


def agree(said: str, gold: str, places: int | None) -> bool:
    """Whether math-verify finds the two LaTeX expressions equal, or `said` rounds to `gold`, a decimal of `places`.

    False when it cannot tell, or not within the limits of processor time and memory.

    Raises:
        ComputerAlgebraError: the child cannot be started, or was stopped twice before it had used up its time.
    """
    question = {"said": said, "gold": gold, "places": places}
    for _ in range(2):
        with _lock:
            child = _ready()
            try:
                return bool(child.ask(question)["same"])
            except _GoneError:
                if _stop() not in (-signal.SIGKILL, -signal.SIGTERM):
                    return False  # it died of its limits: too slow, too large, too deep
            except TimeoutError:
                _stop()
            except BaseException:  # an interrupt between question and answer: the next answer would be this one's
                _stop()
                raise
    raise ComputerAlgebraError(
        f"the process that compares answers was stopped or starved for {WALL_SECONDS:g} s, twice, although it may only "
        f"compute for {CPU_SECONDS:g} s: is the machine overloaded?"
    )


def _ready() -> _Child:
    global _child
    if _child is not None and _child.process.poll() is not None:
        # It died between two questions: killed from outside, and no question is to blame.
        _stop()
    if _child is None:
        _child = _Child()
    return _child


def _stop() -> int:
    """End the child, if there is one; how it ended, as `Popen.returncode`."""
    global _child
    ended = 0
    if _child is not None:
        ended = _child.kill()
        _child = None
    return ended


def _after_fork() -> None:
    """In a forked copy of this process: the lock may be held by a thread that is not here, the child is not ours."""
    global _child, _lock
    _lock = threading.Lock()
    if _child is not None:
        _child.forget()
        _child.process.returncode = 0  # nothing to wait for: it is our parent's
        _child = None


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_stop)
