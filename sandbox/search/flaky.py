"""A search that fails on purpose: for rehearsing what a run does when its search is down.

    FlakySearch(Index.open(folder), share(0.2))    one call in five; `share` is that of `sandbox.faults`

No name opens it; `shared` puts it under one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..faults import Fails, Faults
from .contract import Hit, SearchBackend
from .errors import SearchUnavailableError


class FlakySearch:
    """A `SearchBackend` in front of another one. Calls for which `fails` holds raise SearchUnavailableError."""

    def __init__(self, search: SearchBackend, fails: Fails) -> None:
        self._search, self.faults = search, Faults(fails)

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """The other search's hits, or SearchUnavailableError."""
        if why := self.faults.next():
            raise SearchUnavailableError(why)
        return self._search.search(queries, top_k)
