"""A search by its name, as a recipe holds it; one for a process and a name.

    index:DIR                     an index in this process, which `python -m sandbox search build CORPUS DIR` made
    http://HOST:PORT              a search service: our own, or any of Search-R1's shape; its bearer token, if it wants
                                  one, in the variable RLLAVA_SEARCH_TOKEN
    serper:  brave:  tavily:  bocha:
                                  the web, by that service; its key in the variable SERPER_API_KEY, BRAVE_API_KEY,
                                  TAVILY_API_KEY or BOCHA_API_KEY
    searxng:http://HOST:PORT      the web, by a SearXNG that allows the format json

A token or a key may also lie in a file, whose path is in the variable NAME_FILE, such as SERPER_API_KEY_FILE.

Behind the colon of a web service another address may stand (a gateway's), and options behind a question mark,
"brave:?cache=runs/web&mode=replay-only":

    cache=DIR    keep the answers in this folder
    mode=MODE    record: ask the web and store the answers, over older ones. replay (the default): ask only for what is
                 not stored. replay-only: ask nobody; a query that is not stored is an error, and no key is needed
    rate=N       requests a second, of this process; by default what the service's smallest plan allows
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from .client import SearchClient
from .contract import SearchBackend
from .errors import SearchArgumentError
from .index import Index
from .providers import PROVIDERS
from .web import WebOptions, WebSearch

NAMES = ("index:DIR", "http://HOST:PORT", *(f"{name}:" for name in PROVIDERS if name != "searxng"), "searxng:URL")
_OPTIONS = ("cache", "mode", "rate")

_lock = threading.Lock()
_OPEN: dict[str, SearchBackend] = {}


def shared(name: str, make: Callable[[], SearchBackend]) -> SearchBackend:
    """The search of this name in this process, made by the first who asks. A failure to make it is not remembered."""
    with _lock:
        if name not in _OPEN:
            _OPEN[name] = make()
        return _OPEN[name]


def open_search(name: str) -> SearchBackend:
    """The search that `name` stands for, in one of the forms above. The same object every time.

    Nothing is asked yet: that a service is down shows with the first search.

    Raises:
        SearchArgumentError: a name of no known form, or an option that is not allowed.
        IndexFolderError: the folder is no index that can be opened.
        SearchUnavailableError: what it needs is not installed.
    """
    if not isinstance(name, str):
        raise SearchArgumentError(f"a search is named by a string, one of {', '.join(NAMES)}; got {name!r:.200}")
    kind, _, rest = name.partition(":")
    if kind == "index" and rest:
        folder = Path(rest).expanduser().resolve()
        return shared(f"index:{folder}", lambda: Index.open(folder))
    if kind in ("http", "https"):
        client = SearchClient(name)
        return shared(client.url, lambda: client)
    if kind in PROVIDERS:
        options = _web_options(name, rest)
        return shared(f"{kind}:{options}", lambda: WebSearch(kind, options))
    raise SearchArgumentError(f"a search must be one of {', '.join(NAMES)}; got {name!r:.200}")


def _web_options(name: str, rest: str) -> WebOptions:
    endpoint, _, query = rest.partition("?")
    given: dict[str, str] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in _OPTIONS or option in given or not value:
            raise SearchArgumentError(
                f"{name!r}: {option}={value!r} is not allowed; options are {', '.join(_OPTIONS)}, once and with a value"
            )
        given[option] = value
    try:
        rate = float(given["rate"]) if "rate" in given else None
    except ValueError:
        raise SearchArgumentError(f"{name!r}: rate must be a number; got {given['rate']!r}") from None
    cache = os.fspath(Path(given["cache"]).expanduser().resolve()) if "cache" in given else None
    return WebOptions(endpoint or None, cache, given.get("mode", "replay"), rate)


def close_all() -> None:
    """Close the connections of every shared search of this process. Called by itself at its end."""
    with _lock:
        for search in _OPEN.values():
            if isinstance(search, (SearchClient, WebSearch)):
                search.close()


def _forget() -> None:
    # Another thread of the parent may have held the lock when it forked; in the child nobody would ever let it go.
    global _lock
    _lock = threading.Lock()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget)
