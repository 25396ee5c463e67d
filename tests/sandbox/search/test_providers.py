"""What each service of the web is asked, and how its answer is read: the forms that their makers publish."""

from typing import Any

import pytest

from sandbox.search.exchange import Unreadable
from sandbox.search.providers import PROVIDERS, Found

SERPER = {
    "searchParameters": {"q": "a", "type": "search", "num": 10, "engine": "google"},
    "organic": [
        {"title": "A", "link": "https://a.example", "snippet": "one", "position": 1},
        {"title": "B", "link": "https://b.example", "position": 2, "sitelinks": []},
    ],
    "peopleAlsoAsk": [],
    "credits": 1,
}
BRAVE = {
    "type": "search",
    "query": {"original": "a"},
    "web": {
        "type": "search",
        "results": [
            {"title": "A &amp; O", "url": "https://a.example", "description": "it&#x27;s one", "language": "en"}
        ],
    },
}
TAVILY = {
    "query": "a",
    "answer": None,
    "images": [],
    "results": [{"title": "A", "url": "https://a.example", "content": "one", "score": 0.99, "raw_content": None}],
    "response_time": 1.1,
}
SEARXNG = {
    "query": "a",
    "number_of_results": 0,
    "results": [{"url": "https://a.example", "title": "A", "content": "one", "engine": "ddg", "score": 1.0}],
    "answers": [],
    "unresponsive_engines": [],
}
BOCHA = {
    "code": 200,
    "log_id": "x",
    "msg": None,
    "data": {
        "_type": "SearchResponse",
        "webPages": {
            "totalEstimatedMatches": 2,
            "value": [
                {"name": "A", "url": "https://a.example", "snippet": "one", "summary": "one at length"},
                {"name": "B", "url": "https://b.example", "snippet": "two", "summary": None},
            ],
        },
        "images": None,
    },
}
ANSWERS: dict[str, Any] = {"serper": SERPER, "brave": BRAVE, "tavily": TAVILY, "searxng": SEARXNG, "bocha": BOCHA}


def test_every_service_has_an_example_here() -> None:
    assert ANSWERS.keys() == PROVIDERS.keys()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("serper", [Found("A", "https://a.example", "one"), Found("B", "https://b.example", "")]),
        ("brave", [Found("A & O", "https://a.example", "it's one")]),
        ("tavily", [Found("A", "https://a.example", "one")]),
        ("searxng", [Found("A", "https://a.example", "one")]),
        ("bocha", [Found("A", "https://a.example", "one at length"), Found("B", "https://b.example", "two")]),
    ],
)
def test_an_answer_is_read(name: str, found: list[Found]) -> None:
    assert PROVIDERS[name].read(ANSWERS[name]) == found


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("serper", {"searchParameters": {"q": "a"}, "organic": []}),
        ("serper", {"searchParameters": {"q": "a"}}),
        ("brave", {"type": "search", "query": {"original": "a"}}),
        ("brave", {"type": "search", "web": {"results": []}}),
        ("tavily", {"query": "a", "results": []}),
        ("searxng", {"results": []}),
        ("bocha", {"code": 200, "data": {"webPages": None}}),
        ("bocha", {"code": 200, "data": {"webPages": {"value": None}}}),
        ("bocha", {"code": 200, "data": None}),
    ],
)
def test_nothing_found_is_an_answer(name: str, answer: Any) -> None:
    assert PROVIDERS[name].read(answer) == []


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("answer", [None, [], "text", 3, {}, {"error": "x"}, {"message": "x"}])
def test_something_else_is_none(name: str, answer: Any) -> None:
    with pytest.raises(Unreadable):
        PROVIDERS[name].read(answer)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("serper", {"organic": {"a": 1}}),
        ("serper", {"organic": ["a"]}),
        ("brave", {"web": []}),
        ("brave", {"web": {"results": 3}}),
        ("tavily", {"results": "a"}),
        ("bocha", {"code": "403", "data": None}),
        ("bocha", {"data": []}),
        ("bocha", {"data": {"webPages": 3}}),
    ],
)
def test_the_right_name_with_the_wrong_thing_in_it_is_none(name: str, answer: Any) -> None:
    with pytest.raises(Unreadable):
        PROVIDERS[name].read(answer)


@pytest.mark.parametrize(
    ("name", "method", "url", "params", "body", "headers"),
    [
        ("serper", "POST", "https://google.serper.dev/search", {}, {"q": "a b", "num": 10}, {"X-API-KEY": "k"}),
        (
            "brave",
            "GET",
            "https://api.search.brave.com/res/v1/web/search",
            {"q": "a b", "count": "10", "text_decorations": "false", "result_filter": "web"},
            None,
            {"X-Subscription-Token": "k", "Accept": "application/json"},
        ),
        (
            "tavily",
            "POST",
            "https://api.tavily.com/search",
            {},
            {"query": "a b", "max_results": 10},
            {"Authorization": "Bearer k"},
        ),
        (
            "bocha",
            "POST",
            "https://api.bochaai.com/v1/web-search",
            {},
            {"query": "a b", "count": 10, "summary": True},
            {"Authorization": "Bearer k"},
        ),
    ],
)
def test_a_request_is_as_published(name: str, method: str, url: str, params: Any, body: Any, headers: Any) -> None:
    provider = PROVIDERS[name]
    request = provider.request(provider.endpoint or "", "k", "a b", 10)
    assert (request.method, request.url, request.params, request.json, request.headers) == (
        *(method, url, params),
        *(body, headers),
    )
    assert request.secret == "k"


def test_searxng_is_asked_at_its_own_address() -> None:
    for endpoint in ("http://localhost:8080", "http://localhost:8080/", "http://localhost:8080/search"):
        request = PROVIDERS["searxng"].request(endpoint, "", "a b", 10)
        assert (request.url, request.params) == ("http://localhost:8080/search", {"q": "a b", "format": "json"})


def test_a_query_is_cut_to_what_the_service_takes() -> None:
    brave = PROVIDERS["brave"]
    assert len(brave.query("w " * 500).split()) == 50
    assert len(brave.query("w" * 5000)) == 400
    assert brave.query(" a \n b\t\ud800 ") == "a b ?"
    assert brave.query(" \n ") == ""
