"""The search that an environment uses, opened by the string in its recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sandbox.search import (
    Hit,
    Index,
    IndexFolderError,
    SearchArgumentError,
    SearchBackend,
    SearchUnavailableError,
    open_search,
    shared,
)

from ..core.errors import ArgumentError, MissingExtraError
from .world import World


def open_tool(name: str) -> SearchBackend:
    """The search that `name` stands for, as an environment's argument `search` gives it.

    Raises:
        ArgumentError: no such search.
        MissingExtraError: tantivy is not installed.
    """
    return _opened(lambda: open_search(name))


class NoSearch:
    """A search that finds nothing: what is a policy worth whose tool was taken away?"""

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        return [[] for _ in queries]


def open_world(world: World) -> SearchBackend:
    """An index in memory over the passages of a procedural world; one for a process and a world.

    Raises:
        MissingExtraError: tantivy is not installed.
    """
    return _opened(lambda: shared(world.name, lambda: Index.of(world.passages.values())))


def _opened(make: Callable[[], SearchBackend]) -> SearchBackend:
    try:
        return make()
    except (SearchArgumentError, IndexFolderError) as error:
        raise ArgumentError(f"search: {error}") from error
    except SearchUnavailableError as error:
        kind = MissingExtraError if "rllava-gym[search]" in str(error) else ArgumentError
        raise kind(f"search: {error}") from error


def ask(tool: SearchBackend, query: str, top_k: int) -> Sequence[Hit]:
    """The hits of one query."""
    return tool.search([query], top_k)[0]
