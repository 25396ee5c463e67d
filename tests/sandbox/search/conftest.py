"""A small HTTP server on this machine that says what a test tells it to say."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Reply:
    """content: bytes as they are, or anything else as JSON. drip: seconds between single bytes of the body. cut: end
    the connection after so many bytes of it."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0
    cut: int | None = None

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    params: dict[str, list[str]]
    headers: dict[str, str]  # names in lower case
    body: bytes
    port: int  # of the client: the same for two requests on one connection

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """Gives its replies in turn and the last one for ever, or what a function makes of a request."""

    def __init__(self, *replies: Reply | Callable[[Seen], Reply], port: int = 0) -> None:
        self.replies, self.seen, self._lock = list(replies), list[Seen](), threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                seen = Seen(self.command, parts.path, parse_qs(parts.query), headers, body, self.client_address[1])
                with outer._lock:
                    outer.seen.append(seen)
                    reply = outer.replies[min(len(outer.seen), len(outer.replies)) - 1]
                if callable(reply):
                    reply = reply(seen)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    if reply.drip:
                        for sign in reply.body:
                            self.wfile.write(bytes([sign]))
                            self.wfile.flush()
                            time.sleep(reply.drip)
                    else:
                        self.wfile.write(reply.body[: reply.cut])
                except OSError:
                    self.close_connection = True
                if reply.cut is not None:
                    self.close_connection = True

            do_GET = do_POST = _answer  # noqa: N815  names that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that hangs up in the middle is what some tests are about."""

        self._server = Quiet(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """`server(reply, ..)` starts one, at a free port or `port`; it stops with the test."""
    started = []

    def start(*replies: Reply | Callable[[Seen], Reply], port: int = 0) -> Server:
        started.append(Server(*replies, port=port))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def closed() -> Iterator[Callable[[Any], Any]]:
    """`closed(x)` is x, which is closed when the test ends."""
    kept = list[Any]()

    def keep(one: Any) -> Any:
        kept.append(one)
        return one

    yield keep
    for one in kept:
        one.close()
