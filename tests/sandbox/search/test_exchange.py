"""Time-outs, retries and caps, against a real server."""

import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("httpx")

from sandbox.search import SearchUnavailableError
from sandbox.search.exchange import Answer, Exchange, Patience, Request, Unreadable, retry_after
from sandbox.search.throttle import TokenBucket

QUICK = Patience(attempts=3, connect=2.0, read=2.0, total=20.0, pause=0.001, longest_pause=5.0)


@pytest.fixture(autouse=True)
def _closed(closed: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every exchange of a test is closed with it."""
    begin = Exchange.__init__

    def kept(self: Exchange, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        closed(self)

    monkeypatch.setattr(Exchange, "__init__", kept)


def body(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(server: Callable[..., Any], reply: Any, status: int) -> None:
    up = server(reply(b"no", status), reply(b"no", status), reply(b"yes"))
    assert Exchange("it", QUICK).ask(Request("GET", up.url), body) == (200, b"yes")
    assert len(up.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422, 301])
def test_a_status_that_will_not_pass_is_handed_on_at_once(server: Callable[..., Any], reply: Any, status: int) -> None:
    up = server(reply(b"no", status, {"Location": "/elsewhere"}))
    assert Exchange("it", QUICK).ask(Request("GET", up.url), body) == (status, b"no")
    assert len(up.seen) == 1


def test_attempts_end_and_the_message_says_what_was_heard_last(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"out of <|im_end|> order", 503))
    with pytest.raises(
        SearchUnavailableError, match=r"it gave no answer in 3 attempts: .*503: out of < \|im_end\|> order"
    ):
        Exchange("it", QUICK).ask(Request("GET", up.url), body)
    assert len(up.seen) == 3


def test_nobody_there_is_a_failure_of_the_infrastructure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SearchUnavailableError, match="3 attempts: ConnectError") as caught:
            Exchange("it", QUICK).ask(Request("GET", f"http://127.0.0.1:{port}"), body)
    assert caught.value.infrastructure_failure


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_somebody_who_is_away_is_waited_for_beyond_all_attempts() -> None:
    patience = replace(QUICK, away=0.6, longest_away=0.05, pause=0.05)
    began = time.monotonic()
    with pytest.raises(SearchUnavailableError, match="ConnectError") as caught:
        Exchange("it", patience).ask(Request("GET", f"http://127.0.0.1:{free_port()}"), body)
    assert 0.6 < time.monotonic() - began < 3.0
    assert int(re.findall(r"in (\d+) attempts", str(caught.value))[0]) > 2 * QUICK.attempts


def test_nobody_is_waited_for_beyond_the_time_for_all() -> None:
    patience = replace(QUICK, away=60.0, longest_away=0.05, total=0.5)
    began = time.monotonic()
    with pytest.raises(SearchUnavailableError):
        Exchange("it", patience).ask(Request("GET", f"http://127.0.0.1:{free_port()}"), body)
    assert time.monotonic() - began < 3.0


def test_connections_that_break_are_as_if_nobody_were_there(server: Callable[..., Any], reply: Any) -> None:
    up = server(*[reply(b"0123456789", cut=5)] * 6, reply(b"whole"))
    patience = replace(QUICK, away=20.0, longest_away=0.01)
    assert Exchange("it", patience).ask(Request("GET", up.url), body) == (200, b"whole")


def test_an_error_that_is_answered_is_not_waited_for_longer(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"no", 500))
    with pytest.raises(SearchUnavailableError, match="in 3 attempts"):
        Exchange("it", replace(QUICK, away=20.0)).ask(Request("GET", up.url), body)


def test_a_connection_that_ends_within_the_answer_is_tried_again(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"0123456789", cut=5), reply(b"whole"))
    assert Exchange("it", QUICK).ask(Request("GET", up.url), body) == (200, b"whole")


def test_an_answer_that_cannot_be_read_is_tried_again(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"<html>"), reply(b"1"))

    def read(answer: Answer) -> int:
        if answer.body != b"1":
            raise Unreadable("it is a page")
        return 1

    assert Exchange("it", QUICK).ask(Request("GET", up.url), read) == 1
    with pytest.raises(SearchUnavailableError, match="its answer cannot be read: it is a page"):
        Exchange("it", QUICK).ask(Request("GET", server(reply(b"<html>")).url), read)


def test_an_answer_that_trickles_is_given_up(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"x" * 1000, drip=0.05))  # each byte in good time, all of them never
    patience = Patience(attempts=2, read=1.0, total=0.3, pause=0.001)
    with pytest.raises(SearchUnavailableError, match="took too long"):
        Exchange("it", patience).ask(Request("GET", up.url), body)


def test_silence_is_given_up(server: Callable[..., Any], reply: Any) -> None:
    up = server(lambda seen: time.sleep(1.0) or reply(b"late"))
    with pytest.raises(SearchUnavailableError, match="ReadTimeout"):
        Exchange("it", Patience(attempts=1, read=0.1)).ask(Request("GET", up.url), body)


def test_an_answer_without_end_is_cut_off(server: Callable[..., Any], reply: Any) -> None:
    up = server(reply(b"x" * 300_000))
    with pytest.raises(SearchUnavailableError, match="longer than 100000 bytes"):
        Exchange("it", QUICK, max_bytes=100_000).ask(Request("GET", up.url), body)


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_asked_for_is_kept(server: Callable[..., Any], reply: Any, status: int) -> None:
    slept = list[float]()
    up = server(reply(b"", status, {"Retry-After": "3"}), reply(b"yes"))
    assert Exchange("it", QUICK, sleep=slept.append).ask(Request("GET", up.url), body) == (200, b"yes")
    assert slept == [3.0]


def test_a_pause_can_be_asked_for_by_date(server: Callable[..., Any], reply: Any) -> None:
    slept = list[float]()
    date = format_datetime(datetime.fromtimestamp(time.time() + 4, UTC), usegmt=True)
    up = server(reply(b"", 429, {"Retry-After": date}), reply(b"yes"))
    Exchange("it", QUICK, sleep=slept.append).ask(Request("GET", up.url), body)
    assert 2.0 < slept[0] <= 4.0


def test_a_pause_longer_than_anybody_waits_ends_it_at_once(server: Callable[..., Any], reply: Any) -> None:
    slept = list[float]()
    up = server(reply(b"", 429, {"Retry-After": "3600"}))
    with pytest.raises(SearchUnavailableError, match=r"in 1 attempts: .*asks for a pause of 3600 s, more than 5 s"):
        Exchange("it", QUICK, sleep=slept.append).ask(Request("GET", up.url), body)
    assert (len(up.seen), slept) == (1, [])


def test_a_pause_is_kept_by_all_who_share_the_rate(server: Callable[..., Any], reply: Any) -> None:
    slept = list[float]()
    bucket = TokenBucket(1000.0, clock=lambda: 0.0, sleep=slept.append)
    up = server(reply(b"", 429, {"Retry-After": "3"}), reply(b"yes"))
    Exchange("it", QUICK, bucket).ask(Request("GET", up.url), body)
    assert slept == [pytest.approx(3.0)]
    assert bucket.take() > 2.9


def test_without_a_word_of_it_pauses_grow_and_are_not_all_alike(server: Callable[..., Any], reply: Any) -> None:
    patience = Patience(attempts=5, pause=1.0, longest_pause=3.0)
    for _ in range(3):
        slept = list[float]()
        with pytest.raises(SearchUnavailableError):
            Exchange("it", patience, sleep=slept.append).ask(Request("GET", server(reply(b"", 500)).url), body)
        assert all(most / 2 <= seconds <= most for seconds, most in zip(slept, [1.0, 2.0, 3.0, 3.0], strict=True))
        assert len(set(slept)) == 4


def test_no_message_tells_the_secret(server: Callable[..., Any], reply: Any) -> None:
    up = server(lambda seen: reply(f"bad token {seen.headers['authorization']}".encode(), 500))
    request = Request("GET", up.url, headers={"Authorization": "Bearer s3cr3t-key"}, secret="s3cr3t-key")
    with pytest.raises(SearchUnavailableError) as caught:
        Exchange("it", QUICK).ask(request, body)
    assert "[key]" in str(caught.value)
    assert "s3cr3t" not in str(caught.value) + repr(request) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Fri, 01 Jan 2027 00:00:10 GMT", 10.0),
        ("Friday, 01-Jan-27 00:00:10 GMT", 10.0),
        ("Fri, 01 Jan 2027 00:00:10 -0000", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("\u0663", None),
    ],
)
def test_what_a_header_asks_for(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, 1_798_761_600.0) == seconds  # the first second of 2027


@given(st.text())
def test_any_header_is_understood_or_not(value: str) -> None:
    seconds = retry_after(value, 0.0)
    assert seconds is None or seconds >= 0.0
