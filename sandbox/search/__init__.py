"""Search: passages in, ranked passages out. `open_search` is where to begin, `contract` says what one gets."""

from .contract import MAX_QUERIES, MAX_QUERY_CHARS, MAX_TOP_K, Hit, Passage, SearchBackend
from .corpus import read_corpus
from .errors import (
    CorpusError,
    IndexFolderError,
    ReplayMissError,
    SearchArgumentError,
    SearchError,
    SearchUnavailableError,
)
from .index import Index, build_index
from .opening import open_search, shared

__all__ = [
    "MAX_QUERIES",
    "MAX_QUERY_CHARS",
    "MAX_TOP_K",
    "CorpusError",
    "Hit",
    "Index",
    "IndexFolderError",
    "Passage",
    "ReplayMissError",
    "SearchArgumentError",
    "SearchBackend",
    "SearchError",
    "SearchUnavailableError",
    "build_index",
    "open_search",
    "read_corpus",
    "shared",
]
