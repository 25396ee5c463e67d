"""One request over HTTP, and how often it is made."""

from __future__ import annotations

import json
import logging
import math
import random
import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, TypeVar

import httpx

from ..errors import OutageError
from ..rollout.remote.connection import CONNECT, FIRST_PAUSE, LONGEST_PAUSE
from .refusals import Passing, Refused, Unreadable, judged

T = TypeVar("T")
_log = logging.getLogger(__name__)

LONGEST_ASKED = 600.0  # seconds; a server that asks for a longer pause is not waited for
QUIET = 2  # failed tries of one request that are no news


class Http:
    """Sends single requests to one server; safe for threads. The key stands in a header and nowhere else.

    Args:
        url: Without a trailing slash.
        key: "" for none.
        timeout: Seconds for one answer, from the first byte of the request to the last of the answer.
        concurrency: Connections that are kept.
    """

    def __init__(self, url: str, key: str, timeout: float, concurrency: int) -> None:
        self.url = url
        self._key = key
        self._timeout = timeout
        self._client = httpx.Client(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(CONNECT, timeout)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
        )

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            Passing: no answer came that can be read, and the next try may bring one.
            Refused: the server says no.
        """
        until = time.monotonic() + self._timeout
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        raw, late = bytearray(), False
        try:
            with self._client.stream(method, self.url + path, content=content, headers=headers) as answer:
                for piece in answer.iter_bytes():
                    if late:  # a byte now and then keeps the reading time-out away for ever
                        raise Passing(f"its answer took longer than {self._timeout:g} s (--server.timeout)")
                    raw += piece
                    late = time.monotonic() > until  # if this piece was the last one, the answer is there all the same
        except httpx.TimeoutException as error:
            raise Passing(f"{type(error).__name__} (--server.timeout is {self._timeout:g} s)") from None
        except httpx.HTTPError as error:
            raise Passing(self._without_key(f"{type(error).__name__} {error}".strip())) from None
        except RuntimeError:
            if self._client.is_closed:
                raise Passing("the connection was closed here") from None
            raise
        text = self._without_key(raw.decode("utf-8", "replace"))
        if answer.has_redirect_location:
            raise Refused(answer.status_code, f"location: {answer.headers['location'][:200]}")
        if answer.status_code >= 300:
            raise judged(answer.status_code, text, asked_pause(answer.headers, time.time()))
        return _decoded(text)

    def close(self) -> None:
        self._client.close()

    def _without_key(self, text: str) -> str:
        """A server may repeat what it was sent."""
        return text.replace(self._key, "[key]") if self._key else text


def _decoded(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unreadable(f"its answer is no JSON object: {text[:80]!r}", page=text.lstrip().startswith("<"))
    error = told.get("error")
    if error and "choices" not in told:  # some gateways put the status of what is behind them into a 200
        code = error.get("code") if isinstance(error, dict) else None
        raise judged(code if isinstance(code, int) and 400 <= code < 600 else 500, text, None)
    return told


def asked_pause(headers: httpx.Headers, now: float) -> float | None:
    """Seconds that `Retry-After` (a number or a date, RFC 9110) or `retry-after-ms` asks for; None where neither can be
    understood. now: seconds since 1970."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value := headers.get(name, "").strip(), re.ASCII):
            return float(value) / unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    # "-0000" says that the zone is not known; HTTP's is always this one.
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


class Patience:
    """Tries again what brought no answer, with pauses that grow and are never quite the same for two who wait.

    Args:
        url: Of the server, for messages.
        retries: Further tries.
        closed: Ends every pause.
    """

    def __init__(self, url: str, retries: int, closed: Event) -> None:
        self._url, self._retries, self._closed = url, retries, closed

    def ask(self, once: Callable[[], T], what: str) -> T:
        """What `once` returns. what: "GET" or "POST", for messages.

        Raises:
            OutageError: the retries are used up, the server asks for a pause that is too long, or it was closed.
            Refused: as `once` raised it.
        """
        tried = 0
        while True:
            self.nap(0)
            tried += 1
            try:
                return once()
            except Passing as error:
                reason, asked = str(error), error.pause
            pause = self._pause(tried) if asked is None else max(asked, self._pause(tried))
            if tried > self._retries or pause > LONGEST_ASKED:
                wants = f", and asks for a pause of {math.ceil(pause)} s" if pause > LONGEST_ASKED else ""
                raise OutageError(
                    f"the chat server gave no answer at {what} {self._url} ({reason}{wants}), tries: {tried}. "
                    "--server.retries and --server.timeout say how long to wait for it"
                )
            loudness = logging.INFO if tried <= QUIET else logging.WARNING
            _log.log(loudness, "%s %s: %s; try %d follows in %.1f s", what, self._url, reason, tried + 1, pause)
            self.nap(pause)

    def nap(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            OutageError: the server was closed meanwhile.
        """
        if self._closed.wait(seconds):
            raise OutageError(f"the chat server at {self._url} is not asked any more: the evaluation has ended")

    def _pause(self, tried: int) -> float:
        longest = min(FIRST_PAUSE * 2.0 ** (tried - 1), LONGEST_PAUSE)
        return random.uniform(longest / 2, longest)
