"""The token bucket, with a clock that a test moves."""

import threading

from sandbox.search.throttle import TokenBucket


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_takes_are_as_far_apart_as_the_rate_says() -> None:
    clock = Clock()
    bucket = TokenBucket(4.0, clock=clock, sleep=clock.sleep)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.25, 0.25, 0.25]


def test_what_was_saved_can_be_taken_at_once_and_no_more() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, burst=3, clock=clock, sleep=clock.sleep)
    clock.now = 100.0
    assert [bucket.take() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]


def test_a_pause_holds_for_everybody_and_uses_up_what_was_saved() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, burst=3, clock=clock, sleep=clock.sleep)
    clock.now = 100.0
    bucket.hold(10.0)
    assert bucket.take() == 10.0
    assert bucket.take() == 0.5


def test_threads_together_take_no_more_than_one_would() -> None:
    slept = list[float]()
    bucket = TokenBucket(10.0, clock=lambda: 0.0, sleep=slept.append)
    threads = [threading.Thread(target=bucket.take) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(round(seconds, 6) for seconds in slept) == [round(n / 10, 6) for n in range(1, 20)]
