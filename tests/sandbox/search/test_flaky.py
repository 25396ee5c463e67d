"""A search that fails on purpose, and otherwise finds what the one behind it finds."""

from collections.abc import Sequence

import pytest

from sandbox.faults import share
from sandbox.search import Hit, Passage, SearchBackend, SearchUnavailableError
from sandbox.search.flaky import FlakySearch


class Echo:
    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        return [[Hit(Passage("1", query, query), float(top_k))] for query in queries]


def test_calls_fail_as_asked_for_and_the_others_find_what_they_would() -> None:
    search = FlakySearch(Echo(), lambda call: call == 1)
    assert isinstance(search, SearchBackend)
    assert search.search(["a", "b"], 2) == Echo().search(["a", "b"], 2)
    with pytest.raises(SearchUnavailableError, match="call 1 fails on purpose") as caught:
        search.search(["a"], 1)
    assert caught.value.infrastructure_failure
    assert search.search(["c"], 1) == Echo().search(["c"], 1)


def test_it_counts_what_failed() -> None:
    search = FlakySearch(Echo(), share(0.2, seed=1))
    for _ in range(500):
        try:
            search.search(["a"], 1)
        except SearchUnavailableError:
            continue
    assert search.faults.calls == 500 and 70 <= search.faults.failed <= 130
