"""Environments in threads: calls go in, what they returned comes out.

Two queues and threads. An executor's futures do the same at ten times the cost, which with environments that answer in
a millisecond is a tenth of the run. A thread is started when there are more calls than threads: slow tools get as many
as they need.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from types import TracebackType
from typing import TypeAlias

from .engine import Completion
from .episode import Episode, Received

# An episode and the finished turn to give its environment; None resets it.
Step: TypeAlias = "tuple[Episode, Completion | None]"


class _Halt:
    """Where threads wait for each other."""

    def __init__(self) -> None:
        self.reached, self.over = Semaphore(0), Event()


class EnvironmentThreads:
    """At most `count` threads that call environments, kept between calls: to start one takes as long as a quick
    environment's answer. A context manager: at its end no thread is in one any more, and none is left."""

    def __init__(self, count: int) -> None:
        self._asked: SimpleQueue[tuple[int, Step] | _Halt | None] = SimpleQueue()
        self._answered: SimpleQueue[tuple[int, Step, Received | BaseException | None]] = SimpleQueue()
        self._last = sys.maxsize  # calls with a greater index are not made any more
        self._count = count
        self._threads: list[Thread] = []
        self._pending = 0  # calls asked for whose answers nobody has taken yet

    def __enter__(self) -> EnvironmentThreads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Settle, and end the threads."""
        self.settle()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def settle(self) -> None:
        """Wait for the calls that are being made; those that wait for a thread are not made any more. Nobody is told
        what they returned."""
        if not self._pending:  # never less than what is asked for, and more only after an interrupt
            return
        self._last = -1
        halt = _Halt()
        for _ in self._threads:
            self._asked.put(halt)
        for _ in self._threads:
            halt.reached.acquire()
        # Every thread has been through all that was asked before, and waits.
        while not self._answered.empty():
            self._answered.get()
        self._pending, self._last = 0, sys.maxsize
        halt.over.set()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """At its end no thread is in an environment any more."""
        try:
            yield
        finally:
            self.settle()

    def start(self, step: Step) -> None:
        """Call an environment as soon as a thread is free."""
        self._ask(0, step)

    def finished(self, wait: bool) -> list[tuple[Step, Received]]:
        """Calls that have ended, in the order in which they did; with `wait` at least one.

        Raises:
            What an environment raised.
        """
        found = []
        try:
            while True:
                _, step, answer = self._answered.get(block=wait and not found)
                self._pending -= 1
                found.append((step, _checked(answer)))
        except Empty:
            return found

    def all(self, steps: Sequence[Step]) -> list[Received]:
        """Call every environment and wait for all; answers in the order of `steps`.

        Raises:
            What an environment raised: the first in the order of `steps`, whichever was faster.
        """
        self.ask(steps)
        return self.answers(len(steps))

    def ask(self, steps: Sequence[Step]) -> None:
        """Begin to call these environments: `answers` waits for all of them, or `finished` for one after the other."""
        for index, step in enumerate(steps):
            self._ask(index, step)

    def answers(self, count: int) -> list[Received]:
        """What the `count` calls that were asked for together returned, in their order; raises as `all` does."""
        answers: list[Received | BaseException | None] = [None] * count
        for _ in range(count):
            index, _, answers[index] = self._answered.get()
            self._pending -= 1
            if isinstance(answers[index], BaseException):
                self._last = min(self._last, index)
        return [_checked(answer) for answer in answers]

    def _ask(self, index: int, step: Step) -> None:
        self._pending += 1
        self._asked.put((index, step))
        if len(self._threads) < min(self._count, self._pending):
            thread = Thread(target=self._work, name=f"env_{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            if isinstance(asked, _Halt):
                asked.reached.release()
                asked.over.wait()
                continue
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
