"""Asking an HTTP service and having an answer, or knowing that there is none: time-outs, retries, caps."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import SearchUnavailableError
from .throttle import TokenBucket
from .untrusted import clean

Value = TypeVar("Value")

AGAIN = frozenset({429, 500, 502, 503, 504})  # a later attempt may succeed
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Patience:
    """How long to go on. connect, read: seconds until connected, and without a byte. total: seconds for one attempt
    after the other, pauses included. pause, longest_pause: seconds before the second attempt, doubled from one to the
    next, and the most that is ever waited, whoever asks for it. away: for so many seconds attempts do not count in
    which nobody was reached, or the connection broke, and `longest_away` is the longest pause between them: a service
    that is restarted is away for some seconds, and one that answers with an error is not."""

    attempts: int = 5
    connect: float = 3.0
    read: float = 15.0
    total: float = 60.0
    pause: float = 0.25
    longest_pause: float = 20.0
    away: float = 0.0
    longest_away: float = 2.0


@dataclass(frozen=True)
class Request:
    """What is sent. The secret stands in `headers` too; no message shows either, even if an answer repeats it."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Answer:
    """What came: a status that no other attempt would change, and the body, at most `max_bytes`."""

    status: int
    body: bytes


class Unreadable(Exception):
    """An answer that is not what was asked for, and may be another time. Raised by whoever reads it."""


class Exchange:
    """Asks one service. Safe to use from several threads, and in a forked child: it opens its own connections."""

    def __init__(
        self,
        name: str,
        patience: Patience,
        bucket: TokenBucket | None = None,
        max_bytes: int = 8 << 20,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.patience, self._bucket, self._max_bytes, self._sleep = name, patience, bucket, max_bytes, sleep
        self._clients: dict[tuple[int, bool], Any] = {}

    def ask(self, request: Request, read: Callable[[Answer], Value]) -> Value:
        """What `read` makes of the answer. It is tried again, up to `patience.attempts` times, when no connection can
        be had or it breaks, when it is slow or too long, for a status in `AGAIN`, and when `read` raises Unreadable.
        A `Retry-After` is waited for; one of more than `patience.longest_pause` ends it at once.

        Raises:
            SearchUnavailableError: all of it failed, or httpx is not installed.
            what `read` raises, but for Unreadable
        """
        end = time.monotonic() + self.patience.total
        reason, tried, attempt, away_until = "", 0, 0, 0.0
        while True:
            tried, attempt = tried + 1, attempt + 1
            if self._bucket is not None:
                end += self._bucket.take()  # a wait that we impose ourselves is no fault of the service's
            status, asked_pause, away = 0, None, False
            try:
                status, asked_pause, body = self._attempt(request, end)
                if status not in AGAIN:
                    return read(Answer(status, body))
                reason = f"it answered with status {status}: {excerpt(body, request.secret)}"
            except _Broken as error:
                reason, away = str(error), error.away
            except Unreadable as error:
                reason = f"its answer cannot be read: {error}"
            away_until = (away_until or time.monotonic() + self.patience.away) if away else 0.0
            if time.monotonic() < min(away_until, end):
                attempt -= 1  # it does not count
                self._sleep(min(self._pause(tried), random.uniform(0.5, 1.0) * self.patience.longest_away))
                continue
            pause = self._pause(attempt) if asked_pause is None else asked_pause
            if pause > self.patience.longest_pause:
                reason += f", and asks for a pause of {pause:.0f} s, more than {self.patience.longest_pause:.0f} s"
                break
            if attempt == self.patience.attempts or time.monotonic() + pause > end:
                break
            if asked_pause is not None and self._bucket is not None:
                self._bucket.hold(pause)  # for everybody; taking the next turn is the pause
            else:
                self._sleep(pause)
        raise SearchUnavailableError(f"{self.name} gave no answer in {tried} attempts: {reason}")

    def close(self) -> None:
        """Close the connections. The next `ask` opens new ones."""
        for (pid, _), client in list(self._clients.items()):
            if pid == os.getpid():
                client.close()
        self._clients.clear()

    def _pause(self, attempt: int) -> float:
        longest = min(self.patience.pause * 2 ** (attempt - 1), self.patience.longest_pause)
        return random.uniform(longest / 2, longest)  # so that sixty-four who failed together do not come back together

    def _attempt(self, request: Request, end: float) -> tuple[int, float | None, bytes]:
        httpx = _httpx()
        left = max(end - time.monotonic(), 0.05)
        timeout = httpx.Timeout(min(self.patience.read, left), connect=min(self.patience.connect, left))
        try:
            with self._client(httpx, request.url).stream(
                request.method,
                request.url,
                params=request.params or None,
                json=request.json,
                headers=dict(request.headers),
                timeout=timeout,
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > self._max_bytes:
                        raise _Broken(f"its answer is longer than {self._max_bytes} bytes")
                    # A byte now and then resets the reading time-out for ever; this does not.
                    if time.monotonic() > end:
                        raise _Broken("its answer took too long")
                asked = retry_after(response.headers.get("retry-after"), time.time())
                return response.status_code, asked, bytes(body)
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            # A server that is killed breaks connections, and its name may mean nothing until it is back.
            away = isinstance(error, (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError))
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise _Broken(said, away) from error

    def _client(self, httpx: ModuleType, url: str) -> Any:
        # A proxy of the environment is for the world outside, and a connection of the parent's is not the child's.
        outside = not is_loopback(url)
        key = (os.getpid(), outside)
        if key not in self._clients:  # without a lock, which a child could inherit locked; a second client does no harm
            limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
            # On this machine there is no TLS whose certificate could be checked, and loading all of them takes a while.
            verify = outside or url.startswith("https:")
            made = httpx.Client(limits=limits, trust_env=outside, verify=verify, follow_redirects=False)
            return self._clients.setdefault(key, made)
        return self._clients[key]


class _Broken(Exception):
    """No answer came. The message says why. away: as if nobody were there."""

    def __init__(self, why: str, away: bool = False) -> None:
        super().__init__(why)
        self.away = away


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number, or a date of HTTP (RFC 9110, section 10.2.3). 0.0
    for a date in the past; None where there is no header, or none that can be understood. now: seconds since 1970."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip(), re.ASCII):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)  # "-0000" says that the zone is not known; HTTP's is always this one
    return max(0.0, date.timestamp() - now)


def redacted(text: str, secret: str) -> str:
    """`text` with the secret in it replaced, if there is one: a service may repeat a key that it was sent."""
    return text.replace(secret, "[key]") if secret else text


def excerpt(body: bytes, secret: str = "") -> str:
    """The beginning of what a service said, for a message: made harmless, and without the secret."""
    return clean(redacted(body[:2000].decode("utf-8", "replace"), secret), 200) or "(nothing)"


def is_loopback(url: str) -> bool:
    """Does what is sent there stay on this machine?"""
    return urlsplit(url).hostname in LOOPBACK


def _httpx() -> ModuleType:
    try:
        import httpx
    except ImportError as error:
        raise SearchUnavailableError(
            f"asking a service needs httpx ({error}); install it: pip install 'rllava-gym[search]'"
        ) from None
    return httpx
