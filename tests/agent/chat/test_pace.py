"""Requests and tokens a minute, by a clock of our own."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent.chat import server as chat_server
from agent.chat.pace import Pace


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(clock: Clock, pace: Pace, amounts: list[float]) -> list[float]:
    """When each of them was let through."""
    times = []
    for amount in amounts:
        pace.take(amount)
        times.append(clock())
    return times


def busiest(times: list[float], amounts: list[float]) -> float:
    """The most that was begun in any minute."""
    return max(
        sum(amount for then, amount in zip(times, amounts, strict=True) if start <= then < start + 60 - 1e-6)
        for start in times
    )


def test_no_minute_has_more_requests_than_may_be_and_none_is_left_unused(clock: Clock) -> None:
    times = begun(clock, Pace(30, clock, clock.sleep), [1.0] * 100)
    assert busiest(times, [1.0] * 100) == 30
    assert times[-1] == pytest.approx(99 * 2.0, rel=1e-3)


def test_no_minute_has_more_tokens_than_may_be_but_for_its_last_request(clock: Clock) -> None:
    amounts = [float(1 + 37 * i % 400) for i in range(200)]
    times = begun(clock, Pace(3000, clock, clock.sleep), amounts)
    assert 2500 < busiest(times, amounts) <= 3000 + 400
    assert times[-1] == pytest.approx(sum(amounts[:-1]) / 3000 * 60, rel=1e-3)


def test_a_request_that_needed_less_lets_the_next_one_come_sooner(clock: Clock) -> None:
    pace = Pace(600, clock, clock.sleep)
    pace.take(1000)
    pace.correct(1000, 50)
    pace.take(1)
    assert clock() == pytest.approx(5.0, abs=1e-3)
    pace.correct(1, 101)
    pace.take(1)
    assert clock() == pytest.approx(5.0 + 10.1, abs=1e-3)


def test_a_correction_reaches_who_is_waiting_already(clock: Clock) -> None:
    pace = Pace(60, clock, lambda seconds: (clock.sleep(seconds), clock() > 3 and pace.correct(1000, 0)))
    pace.take(1000)
    pace.take(1)
    assert 3 < clock() < 5


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    assert begun(clock, Pace(0, clock, clock.sleep), [1e9] * 5) == [0.0] * 5


def test_time_that_nobody_used_is_not_saved_up(clock: Clock) -> None:
    pace = Pace(60, clock, clock.sleep)
    clock.sleep(1000)
    assert begun(clock, pace, [1.0] * 3) == pytest.approx([1000, 1001, 1002], abs=1e-3)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Clock:
    """Servers that live by this clock."""
    made: Callable[..., Pace] = Pace
    monkeypatch.setattr(chat_server, "Pace", lambda per_minute, sleep: made(per_minute, clock, clock.sleep))
    return clock


def test_every_request_of_a_server_is_paced_those_that_failed_too(
    paced: Clock, serve: Any, client: Any, say: Any, in_turn: Any, error: Any
) -> None:
    server = serve(in_turn(error(500), "a"))
    chat = client(server, requests_per_minute=6)
    for _ in range(3):
        say(chat)
    assert len(server.bodies) == 4 and paced() == pytest.approx(30, abs=1e-3)


def test_tokens_of_a_server_are_counted_as_it_reports_them(paced: Clock, serve: Any, client: Any, say: Any) -> None:
    chat = client(serve("x" * 50), tokens_per_minute=60)
    used = [reply.prompt_tokens + reply.completion_tokens for reply in [say(chat, max_tokens=5000) for _ in range(3)]]
    assert paced() == pytest.approx(sum(used[:-1]), abs=1e-3)


def test_where_a_server_does_not_count_the_estimate_stands(paced: Clock, serve: Any, client: Any, say: Any) -> None:
    from agent.chat.fake import Answer

    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    chat = client(serve(Answer(body={"choices": [choice]})), tokens_per_minute=60)
    for _ in range(2):
        say(chat, "x" * 300, max_tokens=50)
    assert 150 <= paced() <= 170
