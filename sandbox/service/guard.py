"""Who may ask, and how much at a time: the bearer token, the size of a request, and a bound on callers."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from ..errors import RequestError

MIN_TOKEN = 16  # characters
BODY_SECONDS = 120.0  # for a client to send its whole request


class RefusedError(Exception):
    """A request that gets no further. status: HTTP's. after: seconds until it is worth another try."""

    def __init__(self, status: int, kind: str, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.after = status, kind, after


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str | None, token: str | None) -> str:
    """The address to listen at: everywhere with a token, and without one only where this machine alone comes.

    Raises:
        RequestError: no token and an address that others reach, or a token that can be guessed.
    """
    if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
        raise RequestError(f"a token must have at least {MIN_TOKEN} printable ASCII characters; got {len(token)}")
    if token is None and (host is None or not is_loopback(host)):
        raise RequestError(
            f"without a token the service listens only at this machine's own address, and host is {host!r}: whoever "
            "reaches it may run programs. Name a variable that holds a token (--token-env NAME), or give --host "
            "127.0.0.1"
        )
    return "0.0.0.0" if host is None else host


def check_token(request: Request, token: str | None) -> None:
    """Raises RefusedError (401) unless the request bears the token. Takes the same time however much of it is right."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise RefusedError(401, "Unauthorized", "a valid bearer token is needed")


async def read_body(request: Request, most: int, content_type: str) -> bytes:
    """The whole body of at most `most` bytes.

    A content type is demanded because a browser may not send this one to another site's service without asking it.

    Raises:
        RefusedError: another content type (415), too large (413), too slow (408).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
        raise RefusedError(415, "RequestError", f"the content type must be {content_type}")
    length = request.headers.get("content-length", "")
    too_large = RefusedError(413, "RequestError", f"a request must have at most {most} bytes")
    if length.isdecimal() and int(length) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise RefusedError(408, "RequestError", f"the request did not arrive within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "RequestError", "the client went away") from None
    return bytes(body)


class Doorway:
    """How many requests are inside at a time. One too many is turned away at once, instead of waiting in memory."""

    def __init__(self, most: int) -> None:
        self.most, self.inside = most, 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Be inside. Raises RefusedError (429) when full."""
        if self.inside >= self.most:
            raise RefusedError(429, "QueueTimeout", f"{self.inside} requests are being served or wait", after=1.0)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
