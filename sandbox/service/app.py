"""The HTTP service: from requests to a sandbox and back.

    POST   /v1/exec             a program           -> its result        (bodies: see `wire`)
    POST   /v1/leases           {"state": "files"}  -> {"lease", "seconds"}
    POST   /v1/leases/ID/exec   a program           -> its result, in the lane that is kept
    POST   /v1/leases/ID/alive                      -> {}
    DELETE /v1/leases/ID                            -> {}
    GET    /v1/isolation                            -> what separates programs from the machine, in words
    POST   /run_code            SandboxFusion's shape, in JSON
    GET    /health              without a token; GET /metrics in Prometheus' form

Errors are {"error": kind, "message"}. 429 and 503 mean that nothing ran and that it may be tried again, after the
seconds in Retry-After; 502 that the sandbox failed and nothing is known of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..contract import MAX_CODE_BYTES, MAX_INPUT_BYTES, STATES, ExecResult, Limits, Sandbox
from ..errors import InfrastructureError, QueueTimeout, RequestError, SandboxError, Unavailable
from . import fusion, wire
from .guard import Doorway, RefusedError, check_token, read_body
from .leases import Leases
from .metrics import CONTENT_TYPE, Metrics

MAX_BODY = MAX_CODE_BYTES + MAX_INPUT_BYTES + (17 << 20)
MAX_WALL_SECONDS = 600.0
INSIDE = 256
RETRY_SECONDS = 2.0

Handler = Callable[[Request], Awaitable[Response]]


def make_app(
    sandbox: Sandbox,
    *,
    token: str | None,
    inside: int = INSIDE,
    max_body: int = MAX_BODY,
    max_wall_seconds: float = MAX_WALL_SECONDS,
    lease_seconds: float | None = None,
) -> Starlette:
    """The service as an ASGI application. It closes the sandbox when it ends.

    token: what clients must bear; None only where this machine alone reaches the service (`guard.check_exposure`).
    inside: requests that are served or wait at a time; one more is turned away with 429.
    max_body: bytes of a request. max_wall_seconds: what a program may ask for at most.
    """
    service = _Service(sandbox, token, inside, max_body, max_wall_seconds, lease_seconds)
    routes = [
        Route("/v1/exec", service.guarded(service.run), methods=["POST"]),
        Route("/v1/leases", service.guarded(service.begin), methods=["POST"]),
        Route("/v1/leases/{lease}/exec", service.guarded(service.run), methods=["POST"]),
        Route("/v1/leases/{lease}/alive", service.guarded(service.alive), methods=["POST"]),
        Route("/v1/leases/{lease}", service.guarded(service.end), methods=["DELETE"]),
        Route("/v1/isolation", service.guarded(service.isolation), methods=["GET"]),
        Route("/run_code", service.guarded(service.run_code), methods=["POST"]),
        Route("/metrics", service.guarded(service.metrics), methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
    ]
    # A page in a browser of this machine must not reach a service without a token under a name of its own making.
    middleware = (
        [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"], www_redirect=False)]
        if token is None
        else []
    )
    return Starlette(routes=routes, middleware=middleware, lifespan=service.lifespan)


class _Service:
    def __init__(
        self,
        sandbox: Sandbox,
        token: str | None,
        inside: int,
        max_body: int,
        max_wall_seconds: float,
        lease_seconds: float | None,
    ) -> None:
        self._sandbox, self._token = sandbox, token
        self._max_body, self._max_wall_seconds = max_body, max_wall_seconds
        self._door, self._inside = Doorway(inside), inside
        self._leases = Leases(sandbox) if lease_seconds is None else Leases(sandbox, lease_seconds)
        self._metrics = Metrics(lambda: self._door.inside, lambda: len(self._leases), sandbox)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Ends silent leases while it runs; at the end, every lease and the sandbox."""
        # Every request that was let in gets a thread at once: it must not wait in a second queue that nobody sees.
        self._threads = CapacityLimiter(self._inside + 8)
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            await self._in_thread(self._leases.end_all)
            await self._in_thread(self._sandbox.close)

    def guarded(self, handler: Handler) -> Handler:
        """A handler behind the token, whose exceptions become answers."""

        async def handle(request: Request) -> Response:
            try:
                check_token(request, self._token)
                return await handler(request)
            except RefusedError as error:
                self._metrics.failed(str(error.status))
                return _refusal(error.status, error.kind, str(error), error.after)
            except wire.WireError as error:
                self._metrics.failed("400")
                return _refusal(400, "RequestError", str(error))
            except SandboxError as error:
                self._metrics.failed(type(error).__name__)
                return _refusal(*_status(error), str(error), RETRY_SECONDS if isinstance(error, QueueTimeout) else None)

        return handle

    async def run(self, request: Request) -> Response:
        async with self._door.enter():
            body = await read_body(request, self._max_body, wire.CONTENT_TYPE)
            code, files, limits, outputs = wire.unpack_program(body)
            lease = request.path_params.get("lease")
            result = await self._exec(code, files, limits, outputs, lease)
            return Response(wire.pack_result(result), media_type=wire.CONTENT_TYPE)

    async def run_code(self, request: Request) -> Response:
        async with self._door.enter():
            given = fusion.parse(await read_body(request, self._max_body, "application/json"))
            try:
                result = await self._exec(given.code, given.files, given.limits, given.outputs, None)
            except QueueTimeout:
                raise
            except InfrastructureError as error:
                self._metrics.failed(type(error).__name__)
                return JSONResponse(fusion.failure(error))
            return JSONResponse(fusion.answer(result))

    async def begin(self, request: Request) -> Response:
        async with self._door.enter():
            body = await read_body(request, 10_000, "application/json")
            try:
                state = json.loads(body)["state"]
            except (ValueError, KeyError, TypeError, RecursionError):
                state = None
            if not isinstance(state, str):
                raise RequestError(f"state must be one of {', '.join(STATES)}; got {state!r:.50}")
            number = await self._in_thread(self._leases.begin, state)
            return JSONResponse({"lease": number, "seconds": self._leases.seconds})

    async def alive(self, request: Request) -> Response:
        self._leases.alive(request.path_params["lease"])
        return JSONResponse({})

    async def end(self, request: Request) -> Response:
        await self._in_thread(self._leases.end, request.path_params["lease"])
        return JSONResponse({})

    async def isolation(self, request: Request) -> Response:
        return JSONResponse(dict(await self._in_thread(self._sandbox.isolation)))

    async def metrics(self, request: Request) -> Response:
        return Response(await self._in_thread(self._metrics.text), headers={"content-type": CONTENT_TYPE})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "inside": self._door.inside, "most": self._door.most})

    async def _exec(self, code: str, files: Any, limits: Limits, outputs: list[str], lease: str | None) -> ExecResult:
        if limits.wall_seconds > self._max_wall_seconds:
            raise RequestError(
                f"wall_seconds must be at most {self._max_wall_seconds:g} at this service; got {limits.wall_seconds:g}"
            )
        result: ExecResult
        if lease is None:
            result = await self._in_thread(lambda: self._sandbox.exec(code, files, limits, outputs=outputs))
        else:
            result = await self._in_thread(self._leases.exec, lease, code, files, limits, outputs)
        self._metrics.ran(result)
        return result

    async def _in_thread(self, action: Callable[..., Any], *arguments: Any) -> Any:
        return await to_thread.run_sync(action, *arguments, limiter=self._threads)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self._leases.seconds / 4))
            with contextlib.suppress(SandboxError):
                await self._in_thread(self._leases.end_silent)


def _status(error: SandboxError) -> tuple[int, str]:
    """HTTP's number for an exception, and its name for the client."""
    kind = type(error).__name__
    if isinstance(error, QueueTimeout):
        return 503, kind
    if isinstance(error, InfrastructureError):
        return 502, kind
    if isinstance(error, Unavailable):
        return 501, kind
    return 400, "RequestError"


def _refusal(status: int, kind: str, message: str, after: float | None = None) -> Response:
    headers = {} if after is None else {"retry-after": str(math.ceil(after))}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": kind, "message": message[:2000]}, status_code=status, headers=headers)
