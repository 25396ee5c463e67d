"""Pages over HTTP, for those who know this machine by one of the names that it answers to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
# A page of another site may know this address by a name of its own; it gets nothing.
NAMES = ("127.0.0.1", "localhost")
HEALTH = "/health"
WAIT = 30.0  # seconds for a request that has begun


@dataclass(frozen=True)
class Answer:
    """What a path stands for. `location`: where it is to be looked for instead."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    location: str = ""
    kind: str = "text/html; charset=utf-8"


def moved(address: str) -> Answer:
    return Answer(b"", HTTPStatus.FOUND, address)


def file_at_root(page: Path) -> Callable[[str], Answer | None]:
    """Answers for a server that gives one file at "/" and nothing else."""
    return lambda path: Answer(page.read_bytes()) if path == "/" else None


def page_server(
    answer: Callable[[str], Answer | None], port: int, host: str = HOST, names: Collection[str] = NAMES
) -> ThreadingHTTPServer:
    """A server of what `answer` says of each path, and of "ok" at /health, whoever asks.

    Args:
        answer: From a path without its query to what stands there, None if nothing does; called from many threads.
        port: 0 takes any that is free; the server's `server_port` says which.
        host: The IPv4 address to listen on.
        names: The names of this machine, as browsers say them, that it answers to.

    Raises:
        OSError: the port is taken, or not allowed; there is no such address here.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = WAIT

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            if path == HEALTH:
                self._send(Answer(b"ok", kind="text/plain; charset=utf-8"), with_body)
                return
            host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host") or ""
            if host.lower() not in names:
                self.send_error(HTTPStatus.NOT_FOUND, explain=f"This server answers to {', '.join(names)} alone.")
                return
            found = answer(path)
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._send(found, with_body)

        def _send(self, found: Answer, with_body: bool) -> None:
            self.send_response(found.status)
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(len(found.body)))
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if with_body:
                self.wfile.write(found.body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Requests are nobody's business."""

    return _Server((host, port), Handler)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A reader who has left is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)
