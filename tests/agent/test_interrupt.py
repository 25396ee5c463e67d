"""Ctrl-C: first a request, then an order."""

import os
import signal
import threading

import pytest

from agent.interrupt import Interrupt

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_request(number: int) -> None:
    with Interrupt() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_stops_at_once(first: int, second: int) -> None:
    with Interrupt() as stop:
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)
        assert stop.requested


def changed_and_raising(before: list[object]) -> None:
    with Interrupt():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise ValueError("inside")


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="inside"):
        changed_and_raising(before)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_in_another_thread_it_changes_no_handler_and_does_not_fail() -> None:
    seen: list[object] = []

    def work() -> None:
        with Interrupt() as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, signal.getsignal(signal.SIGINT))]
