"""The client, against servers that misbehave. Against our own service: test_service."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from sandbox.search import SearchArgumentError, SearchUnavailableError
from sandbox.search.client import TOKEN, SearchClient
from sandbox.search.exchange import Patience

QUICK = Patience(attempts=3, read=5.0, pause=0.001)
FOUND = {"result": [[{"document": {"id": "1", "contents": '"A"\nb'}, "score": 1.0}]]}


@pytest.mark.parametrize("path", ["", "/", "/retrieve", "/retrieve/"])
def test_the_address_may_have_the_path_or_not(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any], path: str
) -> None:
    up = server(reply(FOUND))
    assert closed(SearchClient(up.url + path, QUICK)).search(["a"], 1)[0][0].passage.title == "A"
    assert up.seen[0].path == "/retrieve"
    assert up.seen[0].json == {"queries": ["a"], "topk": 1, "return_scores": True}


def test_a_token_is_sent_only_where_there_is_one(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    up = server(reply(FOUND))
    monkeypatch.delenv(TOKEN, raising=False)
    client = closed(SearchClient(up.url, QUICK))
    client.search(["a"], 1)
    monkeypatch.setenv(TOKEN, "a-token")
    client.search(["a"], 1)
    assert [seen.headers.get("authorization") for seen in up.seen] == [None, "Bearer a-token"]


def test_a_token_may_lie_in_a_file(
    server: Callable[..., Any],
    reply: Any,
    closed: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    up = server(reply(FOUND))
    (tmp_path / "token").write_text("a-token\n")
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "token"))
    closed(SearchClient(up.url, QUICK)).search(["a"], 1)
    assert up.seen[0].headers["authorization"] == "Bearer a-token"
    (tmp_path / "token").write_text("a-token\nand more\n")
    with pytest.raises(SearchArgumentError, match=rf"{TOKEN}_FILE\) holds must be printable") as caught:
        closed(SearchClient(up.url, QUICK)).search(["a"], 1)
    assert "a-token" not in str(caught.value) and len(up.seen) == 1


def test_a_service_that_comes_back_is_waited_for(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any]
) -> None:
    up = server(reply(b"starting", 503, {"Retry-After": "0"}), reply(b"", cut=0), reply(FOUND))
    assert len(closed(SearchClient(up.url, QUICK)).search(["a"], 1)[0]) == 1


def test_a_service_that_is_killed_and_back_after_three_seconds_is_missed_by_no_caller(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any]
) -> None:
    up = server(reply(FOUND))
    client, port = closed(SearchClient(up.url)), int(up.url.rpartition(":")[2])
    assert len(client.search(["a"], 1)[0]) == 1
    client.close()  # or the thread behind its connection would go on answering
    up.close()
    found = list[Any]()
    callers = [threading.Thread(target=lambda: found.append(client.search(["a"], 1))) for _ in range(16)]
    for caller in callers:
        caller.start()
    time.sleep(3.0)
    assert not found
    server(reply(FOUND), port=port)
    for caller in callers:
        caller.join()
    assert [len(hits[0]) for hits in found] == [1] * 16


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", {}, {"result": []}, {"result": [[1]]}, b"[" * 50_000])
def test_an_answer_that_is_none_is_a_failure_of_the_infrastructure(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any], content: Any
) -> None:
    up = server(reply(content))
    with pytest.raises(
        SearchUnavailableError, match=r"the search service at http.* in 3 attempts: its answer cannot be read"
    ):
        closed(SearchClient(up.url, QUICK)).search(["a"], 1)
    assert len(up.seen) == 3


@pytest.mark.parametrize(("status", "said"), [(404, "Not Found"), (422, '{"message": "topk"}'), (422, "[]"), (302, "")])
def test_a_refusal_is_the_callers_mistake_and_is_not_repeated(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any], status: int, said: str
) -> None:
    up = server(reply(said.encode(), status))
    with pytest.raises(SearchArgumentError, match=rf"refused the request \({status}\)"):
        closed(SearchClient(up.url, QUICK)).search(["a"], 1)
    assert len(up.seen) == 1


def test_arguments_are_checked_before_anything_is_sent(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any]
) -> None:
    up = server(reply(FOUND))
    client = closed(SearchClient(up.url, QUICK))
    with pytest.raises(SearchArgumentError, match="top_k"):
        client.search(["a"], 0)
    assert client.search([], 3) == []
    assert up.seen == []


@pytest.mark.parametrize("url", ["http://", "ftp://host", "host:80", "http://host?x=1", ""])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(SearchArgumentError, match='must be "http://HOST:PORT"'):
        SearchClient(url)


def test_a_forked_child_opens_connections_of_its_own(
    server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any]
) -> None:
    up = server(reply(FOUND))
    client = closed(SearchClient(up.url, QUICK))
    client.search(["parent"], 1)
    child = os.fork()
    if child == 0:
        try:
            os._exit(len(client.search(["child"], 1)[0]))
        except BaseException:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    client.search(["parent"], 1)
    first, others, again = (seen.port for seen in up.seen)
    assert first == again != others


def test_threads_share_a_client(server: Callable[..., Any], reply: Any, closed: Callable[[Any], Any]) -> None:
    up = server(lambda seen: reply({"result": [[{"contents": f'"{seen.json["queries"][0]}"\n'}]]}))
    client, wrong = closed(SearchClient(up.url, QUICK)), list[str]()

    def ask(name: str) -> None:
        for n in range(10):
            if client.search([f"{name} {n}"], 1)[0][0].passage.title != f"{name} {n}":
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
