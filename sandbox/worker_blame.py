"""Whose fault is a time-out: the program's, or that of a machine that did not run it?

It is the program's, unless it can be shown that the program was ready to run and was not run. Sleeping and waiting are
the program's own doing, and so is whatever makes it wait: processes of its own in each other's way, or a priority, a
scheduling class or a set of processors that it chose for itself. Otherwise a program could have its failure forgotten
by arranging to be slow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MANY = 1024  # tasks looked at; more than that are a program's own doing


@dataclass(frozen=True)
class Seen:
    """At the moment of the time-out: the longest time that one of the program's tasks was ready and not run (seconds),
    and whether any of them had its scheduling changed."""

    waited: float
    changed: bool


def blame(wall: float, cpu: float, seen: Seen) -> str:
    """Empty if the program is to blame; otherwise what shows that it is not.

    wall: its limit in seconds. cpu: the processor time that all its processes got, in seconds. It was starved if one of
    its tasks stood ready for at least half of the time, while all together got less than a quarter of it.
    """
    if seen.changed or seen.waited < wall / 2 or cpu >= wall / 4:
        return ""
    return (
        f"the program stood ready for {seen.waited:.2f} of its {wall:g} s and was run for {cpu:.2f} s: the machine has "
        "more to do than it can; use fewer lanes, or longer limits"
    )


class Standing:
    """How things stand with a program's process, compared with how they stood before. parent: whose scheduling it
    inherited."""

    def __init__(self, pid: int, parent: int) -> None:
        self._pid, self._parent = pid, parent
        self._waited: dict[str, float] = {}

    def begin(self) -> None:
        """Count from now on: the process ran other programs before, and its tasks waited for a processor then."""
        for process in _tree(self._pid):
            for task in _list(f"/proc/{process}/task"):
                self._waited[f"{process}/{task}"] = _run_delay(f"/proc/{process}/task/{task}/schedstat")

    def take(self) -> Seen:
        """Look at the program and everything below it, while it is still alive."""
        waited, changed, looked = 0.0, False, 0
        own = _scheduling(self._parent)
        for pid in _tree(self._pid):
            scheduling = _scheduling(pid)
            changed |= scheduling is not None and scheduling != own
            for task in _list(f"/proc/{pid}/task"):
                looked += 1
                before = self._waited.get(f"{pid}/{task}", 0.0)
                waited = max(waited, _run_delay(f"/proc/{pid}/task/{task}/schedstat") - before)
                if looked > MANY:
                    return Seen(0.0, True)
        return Seen(waited, changed)


def _run_delay(path: str) -> float:
    """Seconds that a task was ready and not run. 0 where the kernel does not count it: nothing can be shown then."""
    try:
        with open(path) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _scheduling(pid: int) -> tuple[int, int, tuple[int, ...]] | None:
    """Class, niceness and processors of a process and the niceness of its group; None if it is gone."""
    try:
        return (
            os.sched_getscheduler(pid),
            os.getpriority(os.PRIO_PROCESS, pid) + 100 * _group_niceness(pid),
            tuple(sorted(os.sched_getaffinity(pid))),
        )
    except OSError:
        return None


def _group_niceness(pid: int) -> int:
    # "/autogroup-17 nice 0". Every session is a group to the scheduler, and may lower itself.
    try:
        with open(f"/proc/{pid}/autogroup") as file:
            return int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


def _tree(pid: int) -> list[int]:
    """A process and everything below it, as far as it can be read."""
    found, k = [pid], 0
    while k < len(found) <= MANY:
        for task in _list(f"/proc/{found[k]}/task"):
            try:
                with open(f"/proc/{found[k]}/task/{task}/children") as file:
                    found += [int(word) for word in file.read().split()]
            except (OSError, ValueError):
                continue
        k += 1
    return found


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
