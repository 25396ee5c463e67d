"""What is tried again, how often, and what never is."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from agent.chat import http
from agent.chat.fake import Answer, Faults
from agent.chat.http import asked_pause
from agent.errors import ConfigError, OutageError, is_outage


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_status_that_means_later_is_tried_again(
    status: int, serve: Any, client: Any, say: Any, in_turn: Any, error: Any
) -> None:
    server = serve(in_turn(error(status), error(status), "yes"))
    reply = say(client(server))
    assert (reply.text, reply.tries, len(server.bodies)) == ("yes", 3, 3)
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]


@pytest.mark.parametrize("fault", ["error", "busy", "cut", "broken"])
def test_without_an_answer_it_is_an_outage_that_says_how_often_it_was_tried(
    fault: str, serve: Any, client: Any, say: Any
) -> None:
    server = serve("yes", faults=Faults(**{fault: 1.0}))
    with pytest.raises(OutageError, match=r"gave no answer at POST .* tries: 4\. --server\.retries") as caught:
        say(client(server))
    assert is_outage(caught.value) and len(server.bodies) == 4 and server.answered == 0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body="<html>Bad gateway</html>"),
        Answer(body="[1, 2]"),
        Answer(body={"choices": []}),
        Answer(body={"choices": [{"finish_reason": "stop"}]}),
        Answer("half", finish_reason=None),
        Answer("half", finish_reason="abort"),
        Answer("half", finish_reason="error"),
        Answer(body={"error": {"message": "upstream is busy", "code": 503}}),
        Answer(body={"error": "upstream is busy"}),
    ],
)
def test_what_is_no_answer_is_asked_for_again(answer: Answer, serve: Any, client: Any, say: Any, in_turn: Any) -> None:
    reply = say(client(serve(in_turn(answer, "yes"))))
    assert (reply.text, reply.tries) == ("yes", 2)


def test_an_error_inside_of_a_success_means_what_its_code_means(serve: Any, client: Any, say: Any, error: Any) -> None:
    server = serve(Answer(body={"error": {"message": "no such parameter", "code": 400}}))
    with pytest.raises(ConfigError, match="400: no such parameter"):
        say(client(server))
    assert len(server.bodies) == 1


def test_a_slow_answer_is_given_up_after_the_timeout(serve: Any, client: Any, say: Any) -> None:
    server = serve("yes", faults=Faults(slow=1.0, delay=30.0))
    with pytest.raises(OutageError, match=r"ReadTimeout \(--server\.timeout is 0\.1 s\)\), tries: 2"):
        say(client(server, timeout=0.1, retries=1))
    assert len(server.bodies) == 2


def test_an_answer_that_drips_is_given_up_after_the_timeout(serve: Any, client: Any, say: Any) -> None:
    server = serve("yes")
    chat = client(server, timeout=1.0, retries=0)

    async def drip(self: Any, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"{}"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(server), "__call__", drip)
        with pytest.raises(OutageError, match=r"its answer took longer than 1 s \(--server\.timeout\)"):
            say(chat)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 501])
def test_a_refusal_is_not_tried_again(status: int, serve: Any, client: Any, say: Any, error: Any) -> None:
    server = serve(error(status, "no such thing"))
    with pytest.raises(ConfigError, match=f"{status}: no such thing"):
        say(client(server))
    assert len(server.bodies) == 1


def test_an_account_without_credit_is_not_tried_again_and_a_limit_by_the_minute_is(
    serve: Any, client: Any, say: Any, in_turn: Any, error: Any
) -> None:
    words = "You exceeded your current quota, please check your plan and billing details."
    broke = serve(error(429, words, type="insufficient_quota", code="insufficient_quota"))
    with pytest.raises(ConfigError, match=r"has no credit left \(429: You exceeded.*--server\.api_key_env"):
        say(client(broke))
    assert len(broke.bodies) == 1
    assert say(client(serve(in_turn(error(429, words, code=429), "yes")))).tries == 2


def test_what_was_answered_is_never_asked_for_again(serve: Any, client: Any, say: Any, in_turn: Any) -> None:
    server = serve(in_turn(Answer("", finish_reason="length"), "never"))
    assert say(client(server)).text == "" and len(server.bodies) == 1


class Pauses:
    """Stands for the event that ends pauses; does not wait, and remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.seconds += [seconds] if seconds else []
        return False


def failing(*pauses: float | None) -> Any:
    left = list(pauses)

    def once() -> str:
        if left:
            raise http.Passing("busy", left.pop(0))
        return "yes"

    return once


def test_pauses_double_up_to_half_a_minute_and_are_never_quite_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.5)
    rounds = []
    for _ in range(2):
        pauses = Pauses()
        assert http.Patience("url", 9, pauses).ask(failing(*[None] * 9), "POST") == "yes"  # type: ignore[arg-type]
        rounds.append(pauses.seconds)
        for pause, longest in zip(pauses.seconds, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=True):
            assert longest / 2 <= pause <= longest
    assert rounds[0] != rounds[1]


def test_a_pause_that_the_server_asks_for_is_kept_and_one_without_end_is_not_waited_for() -> None:
    pauses = Pauses()
    patience = http.Patience("url", 3, pauses)  # type: ignore[arg-type]
    assert patience.ask(failing(7.0, 0.0), "POST") == "yes"
    assert pauses.seconds[0] == 7.0 and 0 < pauses.seconds[1] < 1
    with pytest.raises(OutageError, match="asks for a pause of 86400 s"):
        patience.ask(failing(86_400.0), "POST")
    assert len(pauses.seconds) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "12", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Sun, 29 Nov 2026 03:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 29 Nov 2026 02:00:00 -0000"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "٣"}, None),
    ],
)
def test_the_pause_asked_for_is_read_from_every_form(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 29, 3, 0, 0, tzinfo=UTC).timestamp()
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert asked_pause(httpx.Headers(raw), now) == seconds


def test_a_pause_is_kept_between_two_real_requests(serve: Any, client: Any, say: Any, in_turn: Any, error: Any) -> None:
    server = serve(in_turn(error(429, headers={"retry-after": "0.3"}), "yes"))
    chat, begun = client(server), time.monotonic()
    assert say(chat).tries == 2
    assert time.monotonic() - begun >= 0.3


def test_closing_ends_every_pause(serve: Any, client: Any, say: Any, error: Any) -> None:
    chat = client(serve(error(503, headers={"retry-after": "500"})))
    ended: list[BaseException] = []

    def asking() -> None:
        try:
            say(chat)
        except OutageError as outage:
            ended.append(outage)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    time.sleep(0.2)
    chat.close()
    thread.join(20)
    assert "is not asked any more" in str(ended[0])
