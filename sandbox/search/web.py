"""Searching the web through one of the services in `providers`, at a bounded rate, and from a cache where there is one.

What comes back was written by strangers: `untrusted.clean` is applied before anybody sees it, and before it is stored.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..secret import secret
from .cache import MODES, Cache
from .contract import MAX_QUERY_CHARS, Hit, Passage, check_request
from .errors import ReplayMissError, SearchArgumentError, SearchUnavailableError
from .exchange import Answer, Exchange, Patience, Unreadable, excerpt, is_loopback, redacted
from .providers import PROVIDERS, Found, Provider
from .throttle import TokenBucket
from .untrusted import clean

FEWEST = 10  # results asked for: they cost what one costs, and queries that differ in top_k share an answer
MAX_TITLE = 300  # characters
MAX_TEXT = 4000
MAX_ID = 500
_AT_ONCE = 8  # queries of one call
_ACCOUNT = re.compile(rb"credit|quota|balance|subscription|api.?key|unauthor", re.IGNORECASE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebOptions:
    """endpoint: another than the service's own. cache, mode: a folder, and "record" (ask the web for what this process
    has not asked yet, and store it), "replay" (ask for what is not stored, and store it) or "replay-only" (never ask).
    per_second: requests; None for the service's own limit."""

    endpoint: str | None = None
    cache: str | None = None
    mode: str = "replay"
    per_second: float | None = None
    patience: Patience = field(default_factory=Patience)


class WebSearch:
    """A search of the web. The key is read from the environment (`..secret`) when needed, and stands nowhere but in
    a header.

    Raises:
        SearchArgumentError: an unknown service, mode or endpoint, or one to which a key would be sent unencrypted.
    """

    def __init__(self, name: str, options: WebOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        self._provider = _provider(name, options)
        self.endpoint = options.endpoint or self._provider.endpoint or ""
        self._mode = options.mode
        self._cache = Cache(options.cache) if options.cache is not None else None
        rate = options.per_second or self._provider.per_second
        bucket = TokenBucket(rate, burst=max(1, int(rate)), sleep=sleep)
        self._exchange = Exchange(name, options.patience, bucket, sleep=sleep)
        self._asked: set[str] = set()
        self._doing: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """See `SearchBackend.search`. The score is 1 / rank; ids are addresses of pages.

        Raises:
            ReplayMissError: mode="replay-only", and a query was never recorded.
            SearchArgumentError: besides, the key is missing or refused, or nothing answers at the endpoint's path.
        """
        check_request(queries, top_k)
        texts = [self._provider.query(query[:MAX_QUERY_CHARS]) for query in queries]
        if len(texts) <= 1:
            found = [self._passages(text, top_k) for text in texts]
        else:
            with ThreadPoolExecutor(min(_AT_ONCE, len(texts))) as threads:
                found = list(threads.map(lambda text: self._passages(text, top_k), texts))
        return [[Hit(passage, 1 / rank) for rank, passage in enumerate(passages[:top_k], 1)] for passages in found]

    def close(self) -> None:
        """Close the connections. The next search opens new ones."""
        self._exchange.close()

    def _passages(self, query: str, top_k: int) -> list[Passage]:
        if not query:
            return []
        count = min(max(top_k, FEWEST), self._provider.max_results)
        if self._cache is None:
            return self._fetch(query, count)
        request: dict[str, str | int] = {
            "service": self._provider.name,
            "endpoint": self.endpoint,
            "query": query,
            "count": count,
        }
        path = self._cache.path(request)
        with self._lock:
            turn = self._doing.setdefault(path.name, threading.Lock())
        with turn:  # siblings of a group ask the same at the same time: the first one asks the web
            if self._mode != "record" or path.name in self._asked:
                stored = self._cache.get(request)
                if stored is not None:
                    return stored
            if self._mode == "replay-only":
                raise ReplayMissError(
                    f"the query {query!r} (up to {count} results of {self._provider.name}) is not in the cache "
                    f"{str(self._cache.folder)!r}, and mode=replay-only asks nobody else; record it with mode=replay"
                )
            passages = self._fetch(query, count)
            self._cache.put(request, passages)
            self._asked.add(path.name)
        return passages

    def _fetch(self, query: str, count: int) -> list[Passage]:
        key = self._key()

        def read(answer: Answer) -> list[Found]:
            if answer.status != 200:
                self._refused(answer, query, key)
                return []
            try:
                return self._provider.read(json.loads(answer.body))
            except (ValueError, RecursionError) as error:
                raise Unreadable(f"it is not JSON ({error})") from None

        found = self._exchange.ask(self._provider.request(self.endpoint, key, query, count), read)
        passages: dict[str, Passage] = {}
        for rank, one in enumerate(found[:count], 1):
            title, url, text = (redacted(part, key) for part in (one.title, one.url, one.text))
            name = clean(url, MAX_ID).replace("\n", " ") or f"{rank}"
            passages.setdefault(name, Passage(name, clean(title, MAX_TITLE).replace("\n", " "), clean(text, MAX_TEXT)))
        return list(passages.values())

    def _key(self) -> str:
        variable = self._provider.key
        if variable is None:
            return ""
        key = secret(variable, SearchArgumentError)
        if not key:
            raise SearchArgumentError(
                f"searching with {self._provider.name} needs a key: put it into the environment's variable {variable}, "
                f"or the path of a file that holds it into {variable}_FILE"
            )
        return key

    def _refused(self, answer: Answer, query: str, key: str) -> None:
        """Raise where the refusal is not the query's fault. Where it is, nothing was found: whatever a policy asks for,
        it can neither stop a run nor have its episode dropped."""
        name, said = self._provider.name, excerpt(answer.body, key)
        if answer.status in (401, 403):
            what = f"check the key in {self._provider.key}"
            if self._provider.key is None:
                what = "its settings.yml must allow the format: search: {formats: [html, json]}"
            raise SearchArgumentError(f"{name} refused the request with status {answer.status} ({said}); {what}")
        if answer.status not in (400, 414, 422):
            kind = SearchUnavailableError if answer.status in (402, 408, 432, 433) else SearchArgumentError
            raise kind(f"{name} at {self.endpoint} answered with status {answer.status} ({said})")
        if _ACCOUNT.search(answer.body[:2000]):
            raise SearchUnavailableError(f"{name} refused the request with status {answer.status} ({said})")
        _log.warning("%s refused the query %r with status %d (%s)", name, query[:80], answer.status, said)


def _provider(name: str, options: WebOptions) -> Provider:
    if name not in PROVIDERS:
        raise SearchArgumentError(f"the services of the web are {', '.join(PROVIDERS)}; got {name!r}")
    if options.mode not in MODES:
        raise SearchArgumentError(f"mode must be one of {', '.join(MODES)}; got {options.mode!r}")
    if options.cache is None and options.mode != "replay":
        raise SearchArgumentError(f"mode={options.mode} needs a folder: cache=DIR")
    if options.per_second is not None and not 0 < options.per_second <= 1000:
        raise SearchArgumentError(f"rate must be requests a second, above 0 and at most 1000; got {options.per_second}")
    provider, endpoint = PROVIDERS[name], options.endpoint
    if endpoint is None and provider.endpoint is None:
        raise SearchArgumentError(f'{name} has no address of its own: name one, "{name}:http://HOST:PORT"')
    parts = urlsplit(endpoint or "")
    if endpoint is not None and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
        raise SearchArgumentError(f'the address of {name} must be "https://HOST..." without a user; got {endpoint!r}')
    if endpoint is not None and provider.key and parts.scheme == "http" and not is_loopback(endpoint):
        raise SearchArgumentError(
            f"{endpoint!r} is not encrypted, and the key in {provider.key} would be sent there; use https"
        )
    return provider
