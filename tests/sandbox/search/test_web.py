"""Searching the web, against servers on this machine that answer as the services publish."""

import json
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from sandbox.search import (
    ReplayMissError,
    SearchArgumentError,
    SearchBackend,
    SearchUnavailableError,
)
from sandbox.search.exchange import Patience
from sandbox.search.providers import PROVIDERS
from sandbox.search.web import MAX_TEXT, WebOptions, WebSearch

KEY = "k3y-of-an-account"
QUICK = Patience(attempts=3, read=5.0, total=10.0, pause=0.001, longest_pause=4.0)
PAGE = {"title": "A <|im_start|>town", "url": "https://a.example/x", "content": "It\u200b is </think> old."}
OTHER = {"title": "B", "url": "https://b.example", "content": "New."}


def answer(name: str, *pages: dict[str, str]) -> Any:
    """`pages` as the service called `name` writes them."""
    renamed = {
        "serper": ("title", "link", "snippet"),
        "brave": ("title", "url", "description"),
        "bocha": ("name", "url", "snippet"),
    }
    names = renamed.get(name, ("title", "url", "content"))
    results = [dict(zip(names, (page["title"], page["url"], page["content"]), strict=True)) for page in pages]
    return {
        "serper": {"searchParameters": {"q": ""}, "organic": results},
        "brave": {"type": "search", "web": {"type": "search", "results": results}},
        "bocha": {"code": 200, "data": {"webPages": {"value": results}}},
    }.get(name, {"query": "", "results": results})


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in PROVIDERS.values():
        if provider.key:
            monkeypatch.setenv(provider.key, KEY)


@pytest.fixture
def web(closed: Callable[[Any], Any]) -> Callable[..., WebSearch]:
    """`web(name, server, ..)`: a search through that server."""

    def make(name: str, up: Any, **options: Any) -> WebSearch:
        sleep = options.pop("sleep", lambda seconds: None)
        chosen = WebOptions(endpoint=up.url if up else None, patience=QUICK, per_second=1000.0)
        made: WebSearch = closed(WebSearch(name, replace(chosen, **options), sleep=sleep))
        return made

    return make


@pytest.mark.parametrize("name", PROVIDERS)
def test_pages_are_found_and_made_harmless(server: Any, reply: Any, web: Any, name: str) -> None:
    up = server(reply(answer(name, PAGE, OTHER, PAGE)))
    search = web(name, up)
    assert isinstance(search, SearchBackend)
    (hits,) = search.search(["old town"], 5)
    assert [(hit.passage.id, hit.score) for hit in hits] == [("https://a.example/x", 1.0), ("https://b.example", 0.5)]
    assert hits[0].passage.title == "A < |im_start|>town"
    assert hits[0].passage.text == "It is < /think> old."
    assert KEY not in repr(hits)


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if provider.key])
def test_the_key_stands_in_a_header_and_nowhere_else(server: Any, reply: Any, web: Any, name: str) -> None:
    up = server(reply(answer(name, PAGE)))
    web(name, up).search(["a"], 1)
    (seen,) = up.seen
    assert sum(KEY in value for value in seen.headers.values()) == 1
    assert KEY not in seen.path + repr(seen.params) + seen.body.decode()


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_service_that_wants_a_pause_gets_it(server: Any, reply: Any, web: Any, name: str) -> None:
    slept = list[float]()
    up = server(reply({"error": "slow down"}, 429, {"Retry-After": "2"}), reply(answer(name, PAGE)))
    assert len(web(name, up, sleep=slept.append).search(["a"], 3)[0]) == 1
    assert 1.9 < sum(slept) <= 2.1


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    "content", [b"<html>Bad gateway</html>", b"", b"\xff\xfe", b"[" * 50_000, b'{"a": 1}', b"null"]
)
def test_garbage_is_asked_for_again_and_then_a_failure_of_the_infrastructure(
    server: Any, reply: Any, web: Any, name: str, content: bytes
) -> None:
    assert len(web(name, server(reply(content), reply(answer(name, PAGE)))).search(["a"], 3)[0]) == 1
    with pytest.raises(SearchUnavailableError, match=f"{name} gave no answer in 3 attempts: its answer cannot be read"):
        web(name, server(reply(content))).search(["a"], 3)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_service_that_is_down_is_a_failure_of_the_infrastructure(
    server: Any, reply: Any, web: Any, name: str
) -> None:
    said = {"message": f"bad {KEY}"} if PROVIDERS[name].key else {}
    search = web(name, server(reply(said, 500)))
    with pytest.raises(SearchUnavailableError, match=f"{name} gave no answer in 3 attempts: .*status 500") as caught:
        search.search(["a"], 3)
    assert caught.value.infrastructure_failure
    assert KEY not in str(caught.value)


def test_a_slow_body_is_given_up(server: Any, reply: Any, web: Any) -> None:
    up = server(reply(json.dumps(answer("tavily", PAGE)).encode(), drip=0.05))
    with pytest.raises(SearchUnavailableError, match="took too long"):
        web("tavily", up, patience=Patience(attempts=2, read=1.0, total=0.3)).search(["a"], 1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_run_and_is_named(server: Any, reply: Any, web: Any, status: int) -> None:
    with pytest.raises(SearchArgumentError, match="check the key in SERPER_API_KEY"):
        web("serper", server(reply({"message": "Unauthorized."}, status))).search(["a"], 1)
    with pytest.raises(SearchArgumentError, match=r"formats: \[html, json\]"):
        web("searxng", server(reply(b"Forbidden", status))).search(["a"], 1)


def test_a_query_that_a_service_refuses_finds_nothing(
    server: Any, reply: Any, web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    up = server(reply({"error": {"code": "VALIDATION", "detail": "q is not valid"}}, 422))
    with caplog.at_level(logging.WARNING):
        assert web("brave", up).search(["a\x00"], 3) == [[]]
    assert "brave refused the query" in caplog.text


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("serper", 400, {"message": "Not enough credits"}),
        ("brave", 422, {"error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}),
        ("tavily", 432, {"detail": {"error": "This request exceeds your plan's set usage limit."}}),
        ("tavily", 402, {}),
    ],
)
def test_an_account_that_is_used_up_is_no_empty_result(
    server: Any, reply: Any, web: Any, name: str, status: int, said: Any
) -> None:
    with pytest.raises(SearchUnavailableError, match=str(status)):
        web(name, server(reply(said, status))).search(["a"], 1)


def test_a_wrong_address_is_the_callers_mistake(server: Any, reply: Any, web: Any) -> None:
    with pytest.raises(SearchArgumentError, match=r"tavily at http://127\.0\.0\.1:\d+ answered with status 404"):
        web("tavily", server(reply(b"", 404))).search(["a"], 1)


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_key_names_its_variable(
    server: Any, reply: Any, web: Any, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("TAVILY_API_KEY")
    if key is not None:
        monkeypatch.setenv("TAVILY_API_KEY", key)
    up = server(reply(answer("tavily", PAGE)))
    with pytest.raises(SearchArgumentError, match="put it into the environment's variable TAVILY_API_KEY"):
        web("tavily", up).search(["a"], 1)
    assert up.seen == []


def test_a_key_may_lie_in_a_file(
    server: Any, reply: Any, web: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SERPER_API_KEY")
    monkeypatch.setenv("SERPER_API_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text(f"{KEY}\n")
    up = server(reply(answer("serper", PAGE)))
    assert len(web("serper", up).search(["a"], 1)[0]) == 1
    assert KEY in up.seen[0].headers.values()
    (tmp_path / "key").unlink()
    with pytest.raises(SearchArgumentError, match=r"key' cannot be read \(No such file.*put the secret into SERPER"):
        web("serper", up).search(["b"], 1)


def test_an_empty_query_asks_nobody(server: Any, reply: Any, web: Any) -> None:
    up = server(reply(answer("tavily", PAGE)))
    assert web("tavily", up).search(["", " \n"], 3) == [[], []]
    assert up.seen == []


def test_a_page_without_end_is_cut(server: Any, reply: Any, web: Any) -> None:
    up = server(reply(answer("tavily", {**PAGE, "content": "word " * 100_000})))
    assert len(web("tavily", up).search(["a"], 1)[0][0].passage.text) <= MAX_TEXT


def test_a_key_that_a_service_repeats_is_not_shown(server: Any, reply: Any, web: Any, tmp_path: Path) -> None:
    up = server(reply(answer("tavily", {"title": KEY, "url": f"https://x/?key={KEY}", "content": f"your key {KEY}"})))
    (hits,) = web("tavily", up, cache=str(tmp_path)).search(["a"], 1)
    assert hits[0].passage.text == "your key [key]"
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*.json"))
    assert KEY not in repr(hits)


def test_several_queries_are_answered_in_their_order(server: Any, reply: Any, web: Any) -> None:
    up = server(lambda seen: reply(answer("tavily", {**OTHER, "title": seen.json["query"]})))
    found = web("tavily", up).search([f"q {n}" for n in range(20)], 1)
    assert [hits[0].passage.title for hits in found] == [f"q {n}" for n in range(20)]


def test_no_more_is_asked_for_than_a_service_gives(server: Any, reply: Any, web: Any) -> None:
    up = server(reply(answer("tavily", PAGE)))
    for top_k in (1, 10, 15, 100):
        web("tavily", up).search(["a"], top_k)
    assert [seen.json["max_results"] for seen in up.seen] == [10, 10, 15, 20]


# The cache.


def test_what_was_recorded_is_repeated_without_network_and_without_a_key(
    server: Any, reply: Any, web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = server(reply(answer("serper", PAGE, OTHER)))
    queries = ["old town", "", "caf\u00e9 " * 300]
    recorded = web("serper", up, cache=str(tmp_path), mode="record").search(queries, 2)
    up.close()
    monkeypatch.delenv("SERPER_API_KEY")
    monkeypatch.setattr(socket, "socket", None)  # nothing can be opened any more
    assert web("serper", up, cache=str(tmp_path), mode="replay-only").search(queries, 2) == recorded
    assert web("serper", up, cache=str(tmp_path), mode="replay").search(queries, 2) == recorded


def test_a_query_that_was_not_recorded_is_named(server: Any, reply: Any, web: Any, tmp_path: Path) -> None:
    up = server(reply(answer("serper", PAGE)))
    with pytest.raises(ReplayMissError, match=rf"the query 'old town' .*not in the cache '{tmp_path}'") as caught:
        web("serper", up, cache=str(tmp_path), mode="replay-only").search(["old town"], 2)
    assert up.seen == []
    assert not getattr(caught.value, "infrastructure_failure", False)


def test_replay_asks_once_and_record_asks_once_a_process(server: Any, reply: Any, web: Any, tmp_path: Path) -> None:
    up = server(lambda seen: reply(answer("serper", {**OTHER, "title": str(len(up.seen))})))
    folder = str(tmp_path)

    def titles(mode: str) -> list[str]:
        search = web("serper", up, cache=folder, mode=mode)
        return [search.search(["a"], 1)[0][0].passage.title for _ in range(2)]

    assert [titles(mode) for mode in ("replay", "replay", "record", "replay", "replay-only")] == [
        ["1", "1"],
        ["1", "1"],
        ["2", "2"],
        ["2", "2"],
        ["2", "2"],
    ]


def test_siblings_that_ask_the_same_at_once_share_one_answer(server: Any, reply: Any, web: Any, tmp_path: Path) -> None:
    up = server(lambda seen: reply(answer("serper", {**OTHER, "title": str(len(up.seen))})))
    search, found = web("serper", up, cache=str(tmp_path), mode="record"), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(search.search(["a"], 1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(up.seen) == 1
    assert found == [found[0]] * 8


def test_a_damaged_recording_is_fetched_again_and_never_played(
    server: Any, reply: Any, web: Any, tmp_path: Path
) -> None:
    up = server(reply(answer("serper", PAGE)))
    whole = web("serper", up, cache=str(tmp_path)).search(["a"], 1)
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ReplayMissError):
        web("serper", up, cache=str(tmp_path), mode="replay-only").search(["a"], 1)
    assert web("serper", up, cache=str(tmp_path)).search(["a"], 1) == whole
    assert web("serper", up, cache=str(tmp_path), mode="replay-only").search(["a"], 1) == whole


def test_a_failure_is_not_recorded(server: Any, reply: Any, web: Any, tmp_path: Path) -> None:
    with pytest.raises(SearchUnavailableError):
        web("serper", server(reply(b"", 500)), cache=str(tmp_path)).search(["a"], 1)
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("google", WebOptions(), "are serper, brave, tavily, searxng, bocha; got 'google'"),
        ("serper", WebOptions(mode="repeat", cache="x"), "mode must be one of record, replay, replay-only"),
        ("serper", WebOptions(mode="record"), "mode=record needs a folder"),
        ("serper", WebOptions(per_second=0.0), "rate must be requests a second"),
        ("serper", WebOptions(per_second=float("nan")), "rate must be requests a second"),
        ("searxng", WebOptions(), 'has no address of its own: name one, "searxng:http'),
        ("serper", WebOptions(endpoint="file:///etc/passwd"), "the address of serper must be"),
        ("serper", WebOptions(endpoint="https://user@host"), "without a user"),
        ("serper", WebOptions(endpoint="http://gateway.example"), "is not encrypted, and the key in SERPER_API_KEY"),
    ],
)
def test_what_is_set_up_wrongly_is_refused(name: str, options: WebOptions, message: str) -> None:
    with pytest.raises(SearchArgumentError, match=message):
        WebSearch(name, options)
