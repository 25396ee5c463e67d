"""A search by its name: shared, and clear about what it cannot be."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tantivy")

from sandbox.search import (
    Index,
    IndexFolderError,
    Passage,
    ReplayMissError,
    SearchArgumentError,
    build_index,
    open_search,
    shared,
)
from sandbox.search.cache import MODES
from sandbox.search.client import TOKEN, SearchClient
from sandbox.search.opening import close_all
from sandbox.search.providers import PROVIDERS
from sandbox.search.web import WebSearch

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


def test_a_service_is_one_client_however_its_address_is_written() -> None:
    found = open_search("http://localhost:8000")
    assert isinstance(found, SearchClient)
    assert open_search("http://localhost:8000/retrieve") is found
    assert open_search("http://localhost:8001") is not found


def test_a_service_of_the_web_takes_its_options_from_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = open_search("serper:?cache=web&mode=replay-only&rate=2.5")
    assert isinstance(found, WebSearch)
    assert open_search(f"serper:?mode=replay-only&rate=2.5&cache={tmp_path}/web") is found
    assert open_search("serper:?cache=web&mode=replay&rate=2.5") is not found
    with pytest.raises(ReplayMissError, match=f"'{tmp_path}/web'"):
        found.search(["a"], 1)
    assert open_search("searxng:http://localhost:8080").endpoint == "http://localhost:8080"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("serper:?cach=x", "cach='x' is not allowed; options are cache, mode, rate"),
        ("serper:?cache=", "cache='' is not allowed"),
        ("serper:?cache=x&cache=y", "cache='y' is not allowed"),
        ("serper:?rate=fast", "rate must be a number; got 'fast'"),
        ("serper:?mode=record", "mode=record needs a folder"),
        ("serper:key", "the address of serper must be"),
        ("searxng:", "has no address of its own"),
        ("http://", "must be"),
    ],
)
def test_a_name_with_a_mistake_in_it_says_what_is_allowed(name: str, message: str) -> None:
    with pytest.raises(SearchArgumentError, match=message):
        open_search(name)


def test_every_kind_of_search_is_told_of_in_one_place() -> None:
    from sandbox.search import opening

    for kind in ("index:", "http:", *(f"{name}:" for name in PROVIDERS)):
        assert kind in (opening.__doc__ or "")
    for variable in (TOKEN, *(provider.key for provider in PROVIDERS.values() if provider.key)):
        assert variable in (opening.__doc__ or "")
    for mode in MODES:
        assert mode in (opening.__doc__ or "")


def test_what_is_open_can_be_closed_and_used_again(
    server: Callable[..., Any], reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = server(reply({"result": [[]]}))
    found = open_search(up.url)
    for _ in range(2):
        assert found.search(["a"], 1) == [[]]
        close_all()


def test_a_child_can_open_what_another_thread_of_its_parent_was_opening() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow() -> Index:
        entered.set()
        leave.wait(20)
        return Index.of(PASSAGES)

    thread = threading.Thread(target=lambda: shared("test: slow", slow))
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # what hangs is ended
        os._exit(
            0 if isinstance(shared("test: child", lambda: SearchClient("http://localhost:1")), SearchClient) else 1
        )
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    leave.set()
    thread.join()
    assert status == 0


@pytest.mark.parametrize("name", ["", "index", "index:", "elastic:here", "/a/folder", None, 3])
def test_another_name_is_refused_with_what_is_allowed(name: object) -> None:
    with pytest.raises(SearchArgumentError, match="index:DIR"):
        open_search(name)  # type: ignore[arg-type]
