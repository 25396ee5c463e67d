"""A search that goes on elsewhere, behind HTTP: our own service, or any that speaks Search-R1's shape."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit, urlunsplit

from ..secret import secret
from .contract import MAX_QUERY_CHARS, Hit, check_request
from .errors import ReplayMissError, SearchArgumentError
from .exchange import Answer, Exchange, Patience, Request, Unreadable, excerpt
from .shapes import read_result

# A service that asks the web may take a minute for it; one that is restarted may load its index for half a minute.
PATIENCE = Patience(read=65.0, total=130.0, away=30.0)
TOKEN = "RLLAVA_SEARCH_TOKEN"  # see `..secret`: the service's bearer token, if it wants one


class SearchClient:
    """Asks the service at a URL such as "http://localhost:8001"; "/retrieve" is added where it is missing.

    Each call is one request. It is tried again when the connection fails and on 429, 500, 502, 503 and 504, and no
    longer than `patience` (None: PATIENCE) says.
    """

    def __init__(self, url: str, patience: Patience | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise SearchArgumentError(f'a search service must be "http://HOST:PORT"; got {url!r}')
        path = parts.path.rstrip("/")
        if not path.endswith("/retrieve"):
            path += "/retrieve"
        self.url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        self._exchange = Exchange(f"the search service at {self.url}", patience or PATIENCE, None, 64 << 20, sleep)

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """See `SearchBackend.search`. The service's refusal of a request is a SearchArgumentError, its failure a
        SearchUnavailableError; where it repeats from a cache, a query that is not there is a ReplayMissError."""
        check_request(queries, top_k)
        if not queries:
            return []
        texts = [query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode() for query in queries]
        token = secret(TOKEN, SearchArgumentError)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"queries": texts, "topk": top_k, "return_scores": True}

        def read(answer: Answer) -> list[list[Hit]]:
            if answer.status != 200:
                raise self._refusal(answer)
            try:
                return read_result(json.loads(answer.body), len(texts), top_k)
            except (ValueError, RecursionError) as error:
                raise Unreadable(str(error)) from None

        return self._exchange.ask(Request("POST", self.url, {}, body, headers), read)

    def close(self) -> None:
        """Close the connections. The next search opens new ones."""
        self._exchange.close()

    def _refusal(self, answer: Answer) -> Exception:
        try:
            said = json.loads(answer.body)
            message, kind = str(said["message"]), said.get("kind")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            message, kind = excerpt(answer.body), None
        if kind == "replay_miss":
            return ReplayMissError(message)
        hint = ""
        if answer.status in (401, 403):
            hint = f"; put its token into the variable {TOKEN}, or the path of a file that holds it into {TOKEN}_FILE"
        return SearchArgumentError(f"{self._exchange.name} refused the request ({answer.status}): {message}{hint}")
