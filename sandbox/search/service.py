"""The search service: any backend behind HTTP. Shapes of requests and answers are in `shapes`.

POST /retrieve, POST /v1/chat/completions   a search; with a token, only for who sends `Authorization: Bearer TOKEN`
GET /health                                 200 and what is served; open to everybody, as is
GET /metrics                                for Prometheus

A refusal is `{"field": .., "message": ..}` with a status of 4xx. 503 with `Retry-After` says that too many requests are
waiting; 502 that the backend failed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .contract import SearchBackend
from .errors import ReplayMissError, SearchArgumentError, SearchUnavailableError
from .shapes import MAX_BODY, Asked, Malformed, answer, read_chat, read_retrieve

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class ServiceOptions:
    """token: what callers must send, if anything. threads: searches at a time. waiting: requests that may be under way
    before more are turned away. about: what /health tells besides its status."""

    token: str | None = None
    threads: int = 4
    waiting: int = 256
    about: Mapping[str, Any] | None = None


class Meter:
    """What /metrics shows, in a registry of its own: two services in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "search_requests_total", "Requests for a search", ("path", "status"), registry=self.registry
        )
        self.queries = Counter("search_queries_total", "Queries that were answered", registry=self.registry)
        self.empty = Counter("search_empty_results_total", "Queries with no hits", registry=self.registry)
        self.under_way = Gauge("search_requests_under_way", "Requests not answered yet", registry=self.registry)
        self.seconds = Histogram(
            "search_request_seconds", "From a request to its answer", registry=self.registry, buckets=_SECONDS
        )


def make_service(backend: SearchBackend, options: ServiceOptions) -> Starlette:
    """The service as an ASGI application. Searches run in threads, so that a slow one delays no other request."""
    return _Service(backend, options).application


class _Service:
    def __init__(self, backend: SearchBackend, options: ServiceOptions) -> None:
        self._backend, self._options, self._meter = backend, options, Meter()
        self._under_way = 0
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="search")
        self.application = Starlette(
            routes=[
                Route("/retrieve", self._route(read_retrieve), methods=["POST"]),
                Route("/v1/chat/completions", self._route(read_chat), methods=["POST"]),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={HTTPException: _explain},
        )

    def _route(self, read: Callable[[bytes], Asked]) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            start = time.perf_counter()
            self._meter.under_way.inc()
            self._under_way += 1
            try:
                response = await self._answered(request, read)
            finally:
                self._under_way -= 1
                self._meter.under_way.dec()
            self._meter.requests.labels(request.url.path, str(response.status_code)).inc()
            self._meter.seconds.observe(time.perf_counter() - start)
            return response

        return route

    async def _answered(self, request: Request, read: Callable[[bytes], Asked]) -> Response:
        token = self._options.token
        given = request.headers.get("authorization", "")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            message = "this service wants the header `Authorization: Bearer TOKEN`, and what came was "
            message += "another token" if given else "none"
            return _refused(401, "Authorization", message, {"WWW-Authenticate": "Bearer"})
        if self._under_way > self._options.waiting:
            message = f"{self._options.waiting} requests are under way already; try again later"
            return _refused(503, "", message, {"Retry-After": "1"})
        try:
            asked = read(await _body(request))
            content = await asyncio.get_running_loop().run_in_executor(self._threads, self._search, asked)
        except Malformed as error:
            return _refused(error.status, error.field, str(error))
        except ReplayMissError as error:
            return _refused(404, "queries", str(error), kind="replay_miss")
        except SearchArgumentError as error:
            return _refused(500, "", f"the backend is set up wrongly: {error}")
        except SearchUnavailableError as error:
            return _refused(502, "", str(error))
        except ClientDisconnect:
            return _refused(400, "body", "the connection ended within the body")
        return Response(content, media_type="application/json")

    def _search(self, asked: Asked) -> bytes:
        """Runs in a thread; so does the writing of a long answer."""
        results = self._backend.search(asked.queries, asked.top_k)
        self._meter.queries.inc(len(results))
        self._meter.empty.inc(sum(not hits for hits in results))
        return json.dumps(answer(asked, results), ensure_ascii=False).encode("utf-8", "replace")

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", **(self._options.about or {})})

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._meter.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise Malformed(413, "body", f"the body is longer than {MAX_BODY} bytes; send fewer queries in one request")
    return bytes(body)


def _refused(
    status: int, field: str, message: str, headers: Mapping[str, str] | None = None, kind: str | None = None
) -> Response:
    content = {"message": message}
    content |= {"field": field} if field else {}
    content |= {"kind": kind} if kind else {}
    return JSONResponse(content, status, headers)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = (
        f"{error.detail}: {request.method} {request.url.path}; there are POST /retrieve, POST /v1/chat/completions, "
    )
    return _refused(error.status_code, "", message + "GET /health and GET /metrics", error.headers)
