"""One file over HTTP, for this machine alone."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
# A page of another site may know this address by a name of its own; it gets nothing.
NAMES = ("127.0.0.1", "localhost")


def page_server(page: Path, port: int) -> ThreadingHTTPServer:
    """A server that gives `page` at "/" and nothing else, on 127.0.0.1.

    Args:
        port: 0 takes any that is free; the server's `server_port` says which.

    Raises:
        OSError: the port is taken, or not allowed.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
            if host not in NAMES or self.path.partition("?")[0] != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = page.read_bytes()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Requests are nobody's business."""

    return ThreadingHTTPServer((HOST, port), Handler)
