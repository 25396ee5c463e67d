"""A chat server whose model is a function, for tests and demonstrations: real HTTP, and faults on demand.

def parrot(messages): return messages[-1]["content"]

with served(FakeChatServer(parrot, faults=Faults(error=0.1))) as server:
    ChatServer(server.url, ChatOptions()).ask(...)
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from ..seeds import generator

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Faults:
    """Which requests fail. All but the last two are shares from 0 to 1; what fails depends on the seed and on how many
    requests came before.

    Args:
        error: Answered with 500.
        busy: Answered with 429 and `Retry-After`.
        cut: The connection ends in the middle of the answer.
        slow: The answer comes `delay` seconds late.
        broken: The answer is half of its JSON.
        delay: Of slow answers, in seconds.
        seed: Of the draws.
    """

    error: float = 0.0
    busy: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    broken: float = 0.0
    delay: float = 1.0
    seed: int = 0

    def of(self, number: int) -> str:
        """The fault of this request, or ""."""
        drawn = float(generator("fake chat server", self.seed, number).random())
        for name in ("error", "busy", "cut", "slow", "broken"):
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return ""


@dataclass(frozen=True)
class Answer:
    """What the server answers, more exactly than by a text. status: of the answer; `body` then stands for all of it.
    message: further fields of the message, or other ones."""

    text: str | None = ""
    finish_reason: str | None = "stop"
    message: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[list[dict[str, Any]]], "str | Answer"]


class FakeChatServer:
    """An ASGI application.

    Args:
        script: What the model says to these messages, which are as the interface has them.
        models: Names that are listed.
        owned_by: What the list says of them: "vllm" and "sglang" are asked more than hosted servers.
        faults: Which requests fail.
        delay: Seconds that every answer takes.
        refuses: Shown every request's body; gives the answer to one that is refused, and else None.
        key: What must stand in the header, if not "".

    Attributes:
        url: Where it is, while it is served.
        bodies: Of all requests for an answer, in their order.
        answered: Requests whose answer was given whole.
        in_flight: Requests that are being answered.
        most_in_flight: The largest number of them.
    """

    def __init__(
        self,
        script: Script,
        *,
        models: Sequence[str] = ("fake",),
        owned_by: str = "somebody",
        faults: Faults | None = None,
        delay: float = 0.0,
        refuses: Callable[[dict[str, Any]], Answer | None] = lambda body: None,
        key: str = "",
    ) -> None:
        self.script, self.models, self.owned_by, self.faults = script, tuple(models), owned_by, faults or Faults()
        self.delay, self.refuses, self.key = delay, refuses, key
        self.more_of_models: dict[str, Any] = {}
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.answered = self.in_flight = self.most_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = b""
        while (event := await receive())["type"] == "http.request":
            raw += event.get("body", b"")
            if not event.get("more_body"):
                break
        if self.key and dict(scope["headers"]).get(b"authorization") != f"Bearer {self.key}".encode():
            await _give(send, Answer(status=401, body=_error("Incorrect API key provided")))
        elif (scope["method"], scope["path"]) == ("GET", "/v1/models"):
            listed = [{"id": name, "object": "model", "owned_by": self.owned_by} for name in self.models]
            data = [entry | self.more_of_models for entry in listed]
            await _give(send, Answer(body={"object": "list", "data": data}))
        elif (scope["method"], scope["path"]) == ("POST", "/v1/chat/completions"):
            await self._chat(json.loads(raw), receive, send)
        else:
            await _give(send, Answer(status=404, body={"detail": "Not Found"}))

    async def _chat(self, body: dict[str, Any], receive: Receive, send: Send) -> None:
        fault = self.faults.of(len(self.bodies))
        self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            there = await _stays(receive, self.delay + (self.faults.delay if fault == "slow" else 0.0))
            answer = self._answer(body, fault)
        finally:
            self.in_flight -= 1  # before its last byte: whoever has that may come with the next request
        if there:
            self.answered += answer.status == 200 and fault not in ("cut", "broken")
            await _give(send, answer, cut=fault == "cut", broken=fault == "broken")

    def _answer(self, body: dict[str, Any], fault: str) -> Answer:
        if fault == "error":
            return Answer(status=500, body=_error("something is broken"))
        if fault == "busy":
            return Answer(status=429, body=_error("too many requests"), headers={"retry-after": "0.01"})
        if (refusal := self.refuses(body)) is not None:
            return refusal
        if body.get("model") not in self.models:
            return Answer(status=404, body=_error(f"The model {body.get('model')!r} does not exist."))
        said = self.script(body["messages"])
        said = Answer(said) if isinstance(said, str) else said
        if said.body is not None:
            return said
        message = {"role": "assistant", "content": said.text} | said.message
        choice = {"index": 0, "message": message, "finish_reason": said.finish_reason}
        counts = {"prompt_tokens": len(json.dumps(body["messages"])) // 4, "completion_tokens": len(said.text or "")}
        usage = counts | {"total_tokens": sum(counts.values())}
        whole = {"id": "fake", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        return Answer(status=said.status, body=whole, headers=said.headers)


def _error(words: str) -> dict[str, Any]:
    return {"error": {"message": words, "type": "fake", "param": None, "code": None}}


async def _stays(receive: Receive, seconds: float) -> bool:
    """Whether the client is still there after so long."""
    if not seconds:
        return True
    gone = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait([gone], timeout=seconds)
    if not done:
        gone.cancel()
    return not done


async def _give(send: Send, answer: Answer, cut: bool = False, broken: bool = False) -> None:
    content = answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
    half = content[: len(content) // 2]
    content = half if broken else content
    headers = {"content-type": "application/json", "content-length": f"{len(content)}"} | answer.headers
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    # A server ends the connection of an application that does not send what it announced.
    await send({"type": "http.response.body", "body": half if cut else content, "more_body": cut})


@contextmanager
def served(application: FakeChatServer, port: int = 0) -> Iterator[FakeChatServer]:
    """The server, answering at `application.url` meanwhile. port: 0 for one that is free.

    Raises:
        ConfigError: uvicorn, which serves it, is not installed.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ConfigError("a fake chat server needs uvicorn: pip install 'rllava-gym[sandbox]'") from error
    config = uvicorn.Config(
        application, log_level="critical", lifespan="off", timeout_keep_alive=600, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", port), backlog=256) as listening:
        application.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield application
        finally:
            server.should_exit = True
            thread.join()
