"""The cache: what was stored comes back, also where processes share it."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from sandbox.search import Passage
from sandbox.search.cache import Cache

REQUEST: dict[str, str | int] = {"service": "brave", "endpoint": "https://x", "query": "a caf\u00e9", "count": 10}
PASSAGES = [Passage("https://a", "A \u4e2d", "one\ntwo"), Passage("https://b", "", "")]


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    Cache(tmp_path / "c").put(REQUEST, PASSAGES)
    assert Cache(tmp_path / "c").get(REQUEST) == PASSAGES
    Cache(tmp_path / "c").put(REQUEST, [])
    assert Cache(tmp_path / "c").get(REQUEST) == []


@pytest.mark.parametrize(
    "change", [{"query": "a cafe"}, {"count": 20}, {"service": "tavily"}, {"endpoint": "https://y"}]
)
def test_another_request_has_another_answer(tmp_path: Path, change: dict[str, str | int]) -> None:
    Cache(tmp_path).put(REQUEST, PASSAGES)
    assert Cache(tmp_path).get(REQUEST | change) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"version": 1}', b"\xff", b'{"version": 2, "request": {}}']
)
def test_a_damaged_file_is_no_answer(tmp_path: Path, content: bytes) -> None:
    cache = Cache(tmp_path)
    cache.put(REQUEST, PASSAGES)
    cache.path(REQUEST).write_bytes(content)
    assert cache.get(REQUEST) is None


def test_a_file_under_another_name_is_no_answer(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(REQUEST, PASSAGES)
    other = REQUEST | {"query": "another"}
    cache.path(other).parent.mkdir(exist_ok=True)
    cache.path(REQUEST).rename(cache.path(other))
    assert cache.get(other) is None


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    cache.put(REQUEST, PASSAGES)

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        cache.put(REQUEST, [])
    assert cache.get(REQUEST) == PASSAGES
    assert [path.name for path in cache.path(REQUEST).parent.iterdir()] == [cache.path(REQUEST).name]


def _write(folder: str, name: str, times: int) -> None:
    for n in range(times):
        Cache(folder).put(REQUEST, [Passage(name, "t" * 5000, str(n))] * 20)


def test_processes_share_a_folder_and_nobody_sees_half_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path), name, 25)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    seen, cache = set(), Cache(tmp_path)
    while any(writer.is_alive() for writer in writers):
        if cache.path(REQUEST).exists():
            passages = cache.get(REQUEST)
            assert passages is not None and len(passages) == 20 and len(set(passages)) == 1
            seen.add(passages[0].id)
    for writer in writers:
        writer.join()
    assert all(writer.exitcode == 0 for writer in writers)
    assert seen <= {"one", "two"} and cache.get(REQUEST) is not None
    assert json.loads(cache.path(REQUEST).read_text())["request"] == REQUEST
