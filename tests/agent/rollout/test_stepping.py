"""Environments in threads."""

import threading
import time
from typing import Any

import pytest

from agent.rollout.stepping import EnvironmentThreads


class FakeEpisode:
    """Answers its reset after a while, with its number or an exception."""

    def __init__(self, number: int, seconds: float = 0.0, fault: BaseException | None = None) -> None:
        self.number, self.seconds, self.fault = number, seconds, fault
        self.called = False

    def reset(self) -> Any:
        self.called = True
        time.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        return (self.number, {})

    def step(self, completion: Any) -> Any:
        return (self.number, completion)


def steps(*episodes: FakeEpisode) -> list[Any]:
    return [(episode, None) for episode in episodes]


def test_answers_come_in_the_order_of_the_calls_whatever_was_faster() -> None:
    with EnvironmentThreads(4) as threads:
        answers = threads.all(steps(*(FakeEpisode(k, 0.004 * (5 - k % 5)) for k in range(12))))
    assert [answer[0] for answer in answers] == list(range(12))


def test_a_finished_turn_steps_and_no_turn_resets() -> None:
    with EnvironmentThreads(1) as threads:
        assert threads.all([(FakeEpisode(1), "turn"), (FakeEpisode(2), None)]) == [(1, "turn"), (2, {})]  # type: ignore[list-item]


def test_the_first_fault_in_the_order_of_the_calls_is_raised_whichever_came_first() -> None:
    for _ in range(5):
        slow, quick = FakeEpisode(0, 0.03, ValueError("slow")), FakeEpisode(1, 0.0, ValueError("quick"))
        with EnvironmentThreads(2) as threads, pytest.raises(ValueError, match="slow"):
            threads.all(steps(slow, quick))


def test_calls_behind_a_fault_that_have_not_begun_are_left_out() -> None:
    behind = [FakeEpisode(k, 0.01) for k in range(50)]
    with EnvironmentThreads(1) as threads, pytest.raises(ValueError, match="mine"):
        threads.all(steps(FakeEpisode(0, 0.0, ValueError("mine")), *behind))
    assert sum(episode.called for episode in behind) <= 2


def test_calls_started_one_by_one_are_reported_as_they_end() -> None:
    slow, quick = FakeEpisode(0, 0.2), FakeEpisode(1)
    with EnvironmentThreads(2) as threads:
        for step in steps(slow, quick):
            threads.start(step)
        (first,) = threads.finished(wait=True)
        assert first == ((quick, None), (1, {}))
        assert threads.finished(wait=False) == []
        (second,) = threads.finished(wait=True)
        assert second[1] == (0, {})


def test_there_are_no_more_threads_than_calls_that_overlapped() -> None:
    before = threading.active_count()
    with EnvironmentThreads(9) as threads:
        for k in range(5):
            threads.start((FakeEpisode(k), None))  # type: ignore[arg-type]
            threads.finished(wait=True)
            threads.all(steps(FakeEpisode(k)))
        assert threading.active_count() == before + 1
        threads.all(steps(*(FakeEpisode(k) for k in range(3))))
        assert threading.active_count() == before + 3
        threads.all(steps(*(FakeEpisode(k) for k in range(20))))
        assert threading.active_count() == before + 9


def test_the_end_waits_for_calls_that_run_and_drops_those_that_wait() -> None:
    episodes = [FakeEpisode(k, 0.02) for k in range(20)]
    before = threading.active_count()
    with EnvironmentThreads(2) as threads:
        for step in steps(*episodes):
            threads.start(step)
        time.sleep(0.01)
    assert threading.active_count() == before
    assert 1 <= sum(episode.called for episode in episodes) < 20


def test_threads_outlive_a_settled_use_and_serve_the_next() -> None:
    before = threading.active_count()
    with EnvironmentThreads(3) as threads:
        for _ in range(3):
            with threads.settled():
                threads.all(steps(*(FakeEpisode(k) for k in range(3))))
            assert threading.active_count() == before + 3
    assert threading.active_count() == before


@pytest.mark.parametrize("miscounted", [0, 2])
def test_when_it_is_settled_no_call_is_being_made_and_none_is_answered_later(miscounted: int) -> None:
    episodes = [FakeEpisode(k, 0.02) for k in range(20)]
    with EnvironmentThreads(2) as threads:
        with threads.settled():
            threads.ask(steps(*episodes))
            threads._pending += miscounted  # an interrupt may come between an answer and its being counted
        called = sum(episode.called for episode in episodes)
        time.sleep(0.1)
        assert called <= 4 and sum(episode.called for episode in episodes) == called
        assert threads.all(steps(FakeEpisode(7))) == [(7, {})]
