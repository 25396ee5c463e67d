"""Environments in threads: calls go in, what they returned comes out.

Two queues and a few threads. An executor's futures do the same at ten times the cost, which with environments that
answer in a millisecond is a tenth of the run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TypeAlias

from .engine import Completion
from .episode import Episode, Received

# An episode and the finished turn to give its environment; None resets it.
Step: TypeAlias = "tuple[Episode, Completion | None]"


class EnvironmentThreads:
    """Threads that call environments. A context manager: at its end no thread is in an environment any more."""

    def __init__(self, count: int) -> None:
        self._asked: SimpleQueue[tuple[int, Step] | None] = SimpleQueue()
        self._answered: SimpleQueue[tuple[int, Step, Received | BaseException | None]] = SimpleQueue()
        self._last = sys.maxsize  # calls with a greater index are not made any more
        self._threads = [Thread(target=self._work, name=f"env_{k}", daemon=True) for k in range(count)]

    def __enter__(self) -> EnvironmentThreads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._last = -1
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def start(self, step: Step) -> None:
        """Call an environment as soon as a thread is free."""
        self._asked.put((0, step))

    def finished(self, wait: bool) -> list[tuple[Step, Received]]:
        """Calls that have ended, in the order in which they did; with `wait` at least one.

        Raises:
            What an environment raised.
        """
        found = []
        try:
            while True:
                _, step, answer = self._answered.get(block=wait and not found)
                found.append((step, _checked(answer)))
        except Empty:
            return found

    def all(self, steps: Sequence[Step]) -> list[Received]:
        """Call every environment and wait for all; answers in the order of `steps`.

        Raises:
            What an environment raised: the first in the order of `steps`, whichever was faster.
        """
        for index, step in enumerate(steps):
            self._asked.put((index, step))
        answers: list[Received | BaseException | None] = [None] * len(steps)
        for _ in steps:
            index, _, answers[index] = self._answered.get()
            if isinstance(answers[index], BaseException):
                self._last = min(self._last, index)
        return [_checked(answer) for answer in answers]

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            index, (episode, completion) = asked
            answer: Received | BaseException | None = None
            try:
                if index <= self._last:
                    answer = episode.reset() if completion is None else episode.step(completion)
            except BaseException as error:
                answer = error
            self._answered.put((index, (episode, completion), answer))


def _checked(answer: Received | BaseException | None) -> Received:
    if isinstance(answer, BaseException):
        raise answer
    assert answer is not None, "only calls behind a failed one are left out"
    return answer
