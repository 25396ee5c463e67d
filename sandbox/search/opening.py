"""A search by its name, as a recipe holds it; one for a process and a name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from .contract import SearchBackend
from .errors import SearchArgumentError, SearchUnavailableError
from .index import Index

_LOCK = threading.Lock()
_OPEN: dict[str, SearchBackend] = {}


def shared(name: str, make: Callable[[], SearchBackend]) -> SearchBackend:
    """The search of this name in this process, made by the first who asks. A failure to make it is not remembered."""
    with _LOCK:
        if name not in _OPEN:
            _OPEN[name] = make()
        return _OPEN[name]


def open_search(name: str) -> SearchBackend:
    """The search that `name` stands for: "index:DIR", a folder that `build_index` made. The same object every time.

    Raises:
        SearchArgumentError: a name of no known form.
        IndexFolderError: the folder is no index that can be opened.
        SearchUnavailableError: what it needs is not installed, or not part of this version ("http://...").
    """
    if not isinstance(name, str):
        raise SearchArgumentError(f'a search is named by a string such as "index:DIR"; got {name!r:.200}')
    kind, _, rest = name.partition(":")
    if kind == "index" and rest:
        folder = Path(rest).expanduser().resolve()
        return shared(f"index:{folder}", lambda: Index.open(folder))
    if kind in ("http", "https"):
        raise SearchUnavailableError(
            f"{name!r} names a search service, for which this version has no client; "
            'build an index of the passages with build_index and name it: "index:DIR"'
        )
    raise SearchArgumentError(f'a search must be "index:DIR", a folder that build_index made; got {name!r}')
