"""Fake chat servers, and clients of theirs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from agent.chat import ChatMessage, ChatOptions, ChatReply, ChatServer, http
from agent.chat.fake import Answer, FakeChatServer, served

Asks = Callable[..., ChatReply]


@pytest.fixture(autouse=True)
def _no_pauses_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeChatServer]]:
    """Serves a script, or one answer, until the test is over."""
    with ExitStack() as stack:

        def make(script: Any = "yes", **options: Any) -> FakeChatServer:
            always = script if callable(script) else lambda messages: script
            return stack.enter_context(served(FakeChatServer(always, **options)))

        yield make


@pytest.fixture
def client() -> Iterator[Callable[..., ChatServer]]:
    """A client of a server, with such options."""
    with ExitStack() as stack:

        def make(server: FakeChatServer, **options: Any) -> ChatServer:
            made = ChatServer(server.url, ChatOptions(**({"timeout": 60.0, "retries": 3} | options)))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def ask(serve: Callable[..., FakeChatServer], client: Callable[..., ChatServer]) -> Callable[..., ChatReply]:
    """The reply of a server with this script or answer."""

    def run(script: Any, *images: Any, owned_by: str = "somebody", **options: Any) -> ChatReply:
        return say(client(serve(script, owned_by=owned_by), **options), "How many?", *images)

    return run


def say(chat: ChatServer, text: str = "How many?", *images: Any, max_tokens: int = 9) -> ChatReply:
    return chat.ask([ChatMessage("user", text, images)], temperature=0.5, max_tokens=max_tokens, seed=3)


@pytest.fixture(name="say")
def _say() -> Callable[..., ChatReply]:
    return say


@pytest.fixture
def in_turn() -> Callable[..., Callable[[Any], Any]]:
    """A script that gives these answers one after the other, and the last one from then on."""

    def make(*answers: Any) -> Callable[[Any], Any]:
        left = list(answers)
        return lambda messages: left.pop(0) if len(left) > 1 else left[0]

    return make


@pytest.fixture
def error() -> Callable[..., Answer]:
    """An error as OpenAI's interface words it."""

    def make(status: int, words: str = "no", headers: dict[str, str] | None = None, **labels: Any) -> Answer:
        return Answer(status=status, body={"error": {"message": words, **labels}}, headers=headers or {})

    return make
