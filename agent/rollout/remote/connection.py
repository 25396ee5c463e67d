"""One generation server, asked over HTTP: patience for what may pass, plain words for what will not."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

import httpx

from ...chat.words import said
from ...errors import ConfigError, OutageError

CONNECT = 10.0  # seconds for a connection to be made
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PASSING = (408, 425, 429)  # the 4xx that mean "later"


class Connection:
    """A server at `url`. All coroutines of one connection belong to one event loop.

    Args:
        url: Where it is, `http://host:port`.
        timeout: Seconds for one answer. A long generation is one answer.
        retries: How often a request that failed is sent again, the same in every byte; between tries there are pauses
            of 0.5, 1, 2, .. seconds, 30 at most.
        concurrency: Requests in flight at once; the others wait here.
    """

    def __init__(self, url: str, timeout: float, retries: int, concurrency: int) -> None:
        self.url = url.rstrip("/")
        self.retries = retries
        self._places = asyncio.Semaphore(concurrency)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(timeout, connect=CONNECT), limits=limits)

    async def get(self, path: str, absent: bool = False) -> Any:
        """JSON of a page. `absent`: where the server has no such page, None instead of an error."""
        return await self._ask("GET", path, None, absent)

    async def post(self, path: str, body: dict[str, Any] | bytes) -> Any:
        """JSON of the answer, None where it is empty. `body`: JSON, or its bytes.

        Raises:
            OutageError: nobody answered, or the server failed, and trying again did not help.
            ConfigError: the server refused the request; the message says what it said.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._places:
            return await self._ask("POST", path, content, False)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, content: bytes | None, absent: bool) -> Any:
        for tried in count(1):
            try:
                headers = {"content-type": "application/json"} if content is not None else {}
                answer = await self._client.request(method, self.url + path, content=content, headers=headers)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status_code == 404 and absent:
                    return None
                if answer.status_code < 400:
                    return self._decoded(answer, path)
                reason = f"{answer.status_code}: {said(answer.text)}"
                if answer.status_code < 500 and answer.status_code not in PASSING:
                    raise ConfigError(f"the generation server refused {method} {self.url}{path} ({reason})")
            if tried > self.retries:
                raise OutageError(
                    f"the generation server failed at {method} {self.url}{path} ({reason}), {tried} times in a row. "
                    "Once it works, give the same command; engine.remote.retries and engine.remote.timeout say how "
                    "long to wait for it"
                )
            await asyncio.sleep(min(FIRST_PAUSE * 2.0 ** (tried - 1), LONGEST_PAUSE))
        raise AssertionError("there is always another try, or an error")

    def _decoded(self, answer: httpx.Response, path: str) -> Any:
        if not answer.content.strip():
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise ConfigError(
                f"{self.url}{path} answered with what is not JSON ({answer.text[:80]!r}): is that a generation server?"
            ) from error
