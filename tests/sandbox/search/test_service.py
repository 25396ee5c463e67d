"""The service on a real socket."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")

import httpx
import uvicorn

from sandbox.search import (
    Hit,
    Passage,
    ReplayMissError,
    SearchArgumentError,
    SearchBackend,
    SearchUnavailableError,
)
from sandbox.search.client import TOKEN, SearchClient
from sandbox.search.exchange import Patience
from sandbox.search.service import ServiceOptions, make_service

QUICK = Patience(attempts=2, pause=0.001)


class Echo:
    """Finds the query itself, and what some queries say."""

    def __init__(self) -> None:
        self.threads = set[str]()
        self.let_go = threading.Event()

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        self.threads.add(threading.current_thread().name)
        for query in queries:
            if query == "wait":
                self.let_go.wait(20)
            if query == "down":
                raise SearchUnavailableError("the web is down")
            if query == "new":
                raise ReplayMissError("the query 'new' is not in the cache")
            if query == "key":
                raise SearchArgumentError("no key")
        return [
            [Hit(Passage(str(n), query, f"text {n}"), 1 / (n + 1)) for n in range(top_k)] if query else []
            for query in queries
        ]


@contextmanager
def running(backend: SearchBackend, options: ServiceOptions) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_service(backend, options), log_level="error", lifespan="off")
    running_server = uvicorn.Server(config)
    thread = threading.Thread(target=running_server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running_server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running_server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module", autouse=True)
def _closed_at_last() -> Iterator[None]:
    yield
    WEB.close()


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def url(echo: Echo) -> Iterator[str]:
    with running(echo, ServiceOptions(waiting=8, about={"backend": "echo", "passages": 3})) as address:
        yield address


WEB = httpx.Client(timeout=20, trust_env=False, verify=False)


def post(url: str, body: Any, path: str = "/retrieve", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WEB.post(url + path, content=content, headers=headers)


def test_both_shapes_are_answered_at_one_address(url: str) -> None:
    said = post(url, {"queries": ["a", ""], "topk": 1, "return_scores": True})
    assert said.headers["content-type"] == "application/json"
    assert said.json() == {"result": [[{"document": {"id": "0", "contents": '"a"\ntext 0'}, "score": 1.0}], []]}
    assert post(url, {"query": "a", "top_k": 1}).json() == [{"text": '"a"\ntext 0'}]
    prompt = {"messages": [{"role": "user", "content": "You search.\nQuery: a\nUseful Output:\n"}]}
    assert (
        post(url, prompt, "/v1/chat/completions")
        .json()["choices"][0]["message"]["content"]
        .startswith('Doc 1: "a" text')
    )


def test_searching_leaves_the_event_loop_free(url: str, echo: Echo) -> None:
    slow = threading.Thread(target=post, args=(url, {"queries": ["wait"]}))
    slow.start()
    try:
        assert WEB.get(url + "/health").json() == {
            "status": "ok",
            "backend": "echo",
            "passages": 3,
        }
        assert post(url, {"queries": ["a"]}).status_code == 200
        assert slow.is_alive()
    finally:
        echo.let_go.set()
        slow.join()
    assert all(name.startswith("search") for name in echo.threads)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "body"),
        ({"queries": "a"}, 422, "queries"),
        ({"queries": ["a"], "topk": 1000}, 422, "topk"),
        ({"queries": ["a"], "k": 1}, 422, "k"),
        (b"x" * (5 << 20), 413, "body"),
    ],
)
def test_a_malformed_request_is_refused_by_field(url: str, body: Any, status: int, field: str) -> None:
    said = post(url, body)
    assert (said.status_code, said.json()["field"]) == (status, field)
    assert said.json()["message"]


def test_another_path_or_method_says_what_there_is(url: str) -> None:
    for said, status in ((WEB.get(url + "/retrieve"), 405), (WEB.get(url + "/nothing"), 404)):
        assert said.status_code == status
        assert "POST /retrieve" in said.json()["message"]


def test_only_the_bearer_of_the_token_may_search(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, closed: Callable[[Any], Any]
) -> None:
    with running(echo, ServiceOptions(token="right-token")) as url:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "right-token"},
            {"Authorization": "Bearer \xe9"},
        ):
            said = WEB.post(
                url + "/retrieve", json={"queries": ["a"]}, headers={k: v.encode("latin-1") for k, v in headers.items()}
            )
            assert (said.status_code, said.json()["field"]) == (401, "Authorization")
            assert said.headers["www-authenticate"] == "Bearer"
        assert post(url, {"queries": ["a"]}, Authorization="Bearer right-token").status_code == 200
        assert WEB.get(url + "/health").status_code == 200
        client = closed(SearchClient(url, QUICK))
        monkeypatch.delenv(TOKEN, raising=False)
        with pytest.raises(SearchArgumentError, match=f"put its token into the variable {TOKEN}"):
            client.search(["a"], 1)
        monkeypatch.setenv(TOKEN, "right-token")
        assert client.search(["a"], 1)[0][0].passage.title == "a"


def test_more_requests_than_may_wait_are_turned_away_for_a_while() -> None:
    echo = Echo()
    with running(echo, ServiceOptions(threads=1, waiting=2)) as url:
        slow = [threading.Thread(target=post, args=(url, {"queries": ["wait"]})) for _ in range(2)]
        for thread in slow:
            thread.start()
        try:
            while "search_requests_under_way 2.0" not in WEB.get(url + "/metrics").text:
                time.sleep(0.01)
            said = post(url, {"queries": ["a"]})
            assert (said.status_code, said.headers["retry-after"]) == (503, "1")
        finally:
            echo.let_go.set()
            for thread in slow:
                thread.join()
        assert post(url, {"queries": ["a"]}).status_code == 200


def test_metrics_count_requests_queries_and_what_was_not_found(url: str) -> None:
    def value(name: str) -> float:
        lines = WEB.get(url + "/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    names = (
        'search_requests_total{path="/retrieve",status="200"}',
        "search_queries_total",
        "search_empty_results_total",
    )
    before = [value(name) for name in names]
    post(url, {"queries": ["a", "", "b"]})
    assert [value(name) - was for name, was in zip(names, before, strict=True)] == [1, 3, 1]
    assert value("search_request_seconds_count") > 0
    assert value('search_requests_total{path="/retrieve",status="422"}') >= 0


# The client and the service together.


def test_the_client_finds_what_the_backend_finds(url: str, echo: Echo, closed: Callable[[Any], Any]) -> None:
    client = closed(SearchClient(url, QUICK))
    assert isinstance(client, SearchBackend)
    queries = ["a", "", "caf\u00e9 \u4e2d", '"quoted"\ttab', "\ud800"]
    expected = echo.search([query.encode("utf-8", "replace").decode() for query in queries], 3)
    assert client.search(queries, 3) == expected


def test_a_query_that_is_too_long_is_cut_as_an_index_cuts_it(url: str, closed: Callable[[Any], Any]) -> None:
    (hits,) = closed(SearchClient(url, QUICK)).search(["x" * 1_000_000], 1)
    assert hits[0].passage.title == "x" * 1000


def test_whose_fault_it_is_crosses_the_wire(url: str, closed: Callable[[Any], Any]) -> None:
    client = closed(SearchClient(url, QUICK))
    with pytest.raises(SearchUnavailableError, match=r"502: .*the web is down"):
        client.search(["down"], 1)
    with pytest.raises(ReplayMissError, match="the query 'new' is not in the cache"):
        client.search(["new"], 1)
    with pytest.raises(SearchUnavailableError, match=r"500: .*set up wrongly: no key"):
        client.search(["key"], 1)
