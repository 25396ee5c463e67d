"""A circuit breaker."""

from sandbox.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_a_success_closes_it() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    breaker.failed("a")
    breaker.worked()
    breaker.failed("b")
    assert not breaker.open
    breaker.failed("c")
    assert breaker.open and breaker.why == "c"
    breaker.worked()
    assert not breaker.open and breaker.wait == 0 and breaker.why == ""


def test_trials_become_rarer_up_to_a_bound() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, first=2.0, most=10.0, clock=clock)
    waits = []
    for _ in range(6):
        breaker.failed("x")
        waits.append(breaker.wait)
    assert waits == [0.5, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_half_open_means_that_a_trial_is_due_while_callers_are_still_turned_away() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, first=2.0, clock=clock)
    breaker.failed("x")
    clock.now += 2.0
    assert breaker.wait == 0 and breaker.open
