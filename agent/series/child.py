"""A run as a process of its own, which hears of an interruption once and never outlives the series."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from ..interrupt import Interrupt

LOOK_EVERY = 0.2  # seconds between two looks at whether the series was interrupted
LAST_WORDS = 10.0  # seconds between asking a process to end and killing it
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_child(command: Sequence[str], stop: Interrupt) -> int:
    """Run a command to its end, with this process's output; returns its exit status, below 0 if a signal ended it.

    Once `stop.requested`, it is sent one SIGTERM and waited for. It has a process group of its own: Ctrl-C in a
    terminal would reach it a second time, which means to stop at once. Whatever is raised here, such as the
    KeyboardInterrupt of a second Ctrl-C, ends it.
    """
    child = subprocess.Popen(command, process_group=0, preexec_fn=_bound_to(os.getpid()))
    told = False
    try:
        while True:
            try:
                return child.wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if stop.requested and not told:
                    child.terminate()
                    told = True
    finally:
        if child.returncode is None:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    try:
        child.terminate()
        child.wait(LAST_WORDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _bound_to(parent: int) -> Callable[[], None] | None:
    """What a child does first, so that it is asked to end when its parent is killed; Linux alone has it."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: little is allowed between fork and exec

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it was killed before the kernel knew
            os._exit(1)

    return bind
