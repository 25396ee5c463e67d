"""A search by its name: shared, and clear about what it cannot be."""

from pathlib import Path

import pytest

pytest.importorskip("tantivy")

from sandbox.search import (
    Index,
    IndexFolderError,
    Passage,
    SearchArgumentError,
    SearchUnavailableError,
    build_index,
    open_search,
    shared,
)

PASSAGES = [Passage("a", "Velmora", "A town.")]


def test_a_name_gives_the_same_search_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(tmp_path / "index", PASSAGES)
    found = open_search(f"index:{tmp_path / 'index'}")
    assert found.search(["velmora"], 1)[0][0].passage == PASSAGES[0]
    monkeypatch.chdir(tmp_path)
    assert open_search("index:index") is found
    assert open_search("index:./index/") is found


def test_what_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    name = f"index:{tmp_path / 'index'}"
    with pytest.raises(IndexFolderError, match="there is no folder"):
        open_search(name)
    build_index(tmp_path / "index", PASSAGES)
    assert open_search(name).search(["town"], 1)[0]


def test_a_shared_search_is_made_once() -> None:
    made = []

    def make() -> Index:
        made.append(1)
        return Index.of(PASSAGES)

    assert shared("test: made once", make) is shared("test: made once", make)
    assert made == [1]


def test_a_service_is_refused_for_now() -> None:
    for name in ("http://localhost:8000", "https://search.example"):
        with pytest.raises(SearchUnavailableError, match="this version has no client"):
            open_search(name)


@pytest.mark.parametrize("name", ["", "index", "index:", "elastic:here", "/a/folder", None, 3])
def test_another_name_is_refused_with_what_is_allowed(name: object) -> None:
    with pytest.raises(SearchArgumentError, match="index:DIR"):
        open_search(name)  # type: ignore[arg-type]
