"""Many requests at once, of which some fail."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.chat import ChatMessage, ChatReply, ChatServer
from agent.chat.fake import Faults
from agent.errors import OutageError

AT_ONCE = 64


def ask(chat: ChatServer, number: int) -> ChatReply:
    return chat.ask([ChatMessage("user", f"question {number}")], temperature=0.0, max_tokens=8, seed=number)


def test_a_thousand_requests_of_which_a_tenth_fails_are_answered_once_each(serve: Any, client: Any) -> None:
    faults = Faults(error=0.02, busy=0.02, cut=0.02, broken=0.02, slow=0.02, delay=0.2)
    server = serve(lambda messages: f"answer to {messages[0]['content']}", faults=faults, delay=0.005)
    chat = client(server, concurrency=AT_ONCE, retries=12)
    with ThreadPoolExecutor(2 * AT_ONCE) as threads:
        replies = list(threads.map(lambda number: ask(chat, number), range(1000)))
    assert [reply.text for reply in replies] == [f"answer to question {number}" for number in range(1000)]
    assert server.answered == 1000
    assert 1 < server.most_in_flight <= AT_ONCE and server.in_flight == 0
    # Each failure cost one request more.
    drawn = [faults.of(number) for number in range(len(server.bodies))]
    failed = [fault for fault in drawn if fault not in ("", "slow")]
    assert len(server.bodies) == sum(reply.tries for reply in replies) == 1000 + len(failed)
    assert len(failed) > 60 and set(drawn) == {"error", "busy", "cut", "broken", "slow", ""}


def test_as_many_are_in_flight_as_may_be_and_not_one_more(serve: Any, client: Any) -> None:
    count = 5
    server = serve(lambda messages: "yes", delay=0.3)
    chat = client(server, concurrency=count)
    with ThreadPoolExecutor(4 * count) as threads:
        assert len(list(threads.map(lambda number: ask(chat, number), range(4 * count)))) == 4 * count
    assert server.most_in_flight == count


def test_a_pause_of_one_takes_no_place_from_another(serve: Any, client: Any, error: Any) -> None:
    def script(messages: Any) -> Any:
        bad = messages[0]["content"] == "question 0"
        return error(503, headers={"retry-after": "300"}) if bad else "yes"

    chat = client(serve(script), concurrency=1)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(ask, chat, 0)
        assert [ask(chat, number).text for number in (1, 2, 3)] == ["yes"] * 3
        chat.close()
        with pytest.raises(OutageError):
            waiting.result(20)
