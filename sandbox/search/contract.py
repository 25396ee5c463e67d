"""What a search is, whoever does it: an index in this process, or a service elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .errors import SearchArgumentError

MAX_TOP_K = 100
MAX_QUERIES = 256  # in one call
MAX_QUERY_CHARS = 1000  # what comes behind is not read: a query of a megabyte costs no more than one of a thousand


@dataclass(frozen=True, slots=True)
class Passage:
    """One unit of text that can be found. `id` is unique in its corpus; `title` may be empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, and its score: higher is better, comparable within one result only."""

    passage: Passage
    score: float


@runtime_checkable
class SearchBackend(Protocol):
    """Finds passages. Safe to use from several threads at once."""

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """For each query the best passages, best first, at most `top_k`; equal scores stand in the order of their ids.

        Any string is a query. One without a word that occurs in the corpus has no hits. Only the first 1,000
        characters are read.

        Raises:
            SearchArgumentError: top_k outside 1..100, queries that are no list of at most 256 strings.
            SearchUnavailableError: the search itself failed. Nothing is wrong with the query.
        """
        ...


def check_request(queries: Sequence[str], top_k: int) -> None:
    """Hold a caller of `search` to its contract.

    Raises:
        SearchArgumentError: see `SearchBackend.search`.
    """
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
        raise SearchArgumentError(f"top_k must be a whole number from 1 to {MAX_TOP_K}; got {top_k!r}")
    if isinstance(queries, str) or not isinstance(queries, Sequence):
        raise SearchArgumentError(f"queries must be a list of strings, one search each; got {queries!r:.200}")
    if len(queries) > MAX_QUERIES:
        raise SearchArgumentError(f"at most {MAX_QUERIES} queries fit in one call; got {len(queries)}")
    for number, query in enumerate(queries):
        if not isinstance(query, str):
            raise SearchArgumentError(f"queries[{number}] must be a str; got {type(query).__name__}")
