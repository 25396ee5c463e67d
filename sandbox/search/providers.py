"""The search services of the web that are known: what each is asked, and how its answer is read. Pure functions.

Endpoints and fields are those that their makers publish:

serper   https://serper.dev; POST google.serper.dev/search, header X-API-KEY, {"q", "num"} -> organic: title, link,
         snippet
brave    https://api-dashboard.search.brave.com/docs; GET api.search.brave.com/res/v1/web/search, header
         X-Subscription-Token, q (400 characters, 50 words), count (20) -> web.results: title, url, description
tavily   https://docs.tavily.com/documentation/api-reference/endpoint/search; POST api.tavily.com/search, bearer token,
         {"query", "max_results"} (20) -> results: title, url, content
searxng  https://docs.searxng.org/dev/search_api.html; GET HOST/search, q, format=json -> results: title, url, content
bocha    https://open.bochaai.com; POST api.bochaai.com/v1/web-search, bearer token, {"query", "count" (50), "summary"}
         -> code, data.webPages.value: name, url, snippet, summary
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .exchange import Request, Unreadable
from .untrusted import unescaped


@dataclass(frozen=True)
class Found:
    """One result as it came: nothing is escaped yet, and nothing is cut."""

    title: str
    url: str
    text: str


@dataclass(frozen=True)
class Provider:
    """endpoint: None where each user has their own. key: the variable of the environment that holds the account's key;
    None where there is none. per_second: requests that the smallest plan allows, and no more where that is not said.
    max_results: most of one answer. max_chars, max_words: most of a query; the rest is cut off."""

    name: str
    endpoint: str | None
    key: str | None
    per_second: float
    max_results: int
    request: Callable[[str, str, str, int], Request]  # endpoint, key, query, count
    read: Callable[[Any], list[Found]]
    max_chars: int = 1000
    max_words: int = 200

    def query(self, text: str) -> str:
        """What this service is asked for `text`: a query that it would refuse for its length is shortened."""
        return " ".join(text.encode("utf-8", "replace").decode().split()[: self.max_words])[: self.max_chars].strip()


def _serper(endpoint: str, key: str, query: str, count: int) -> Request:
    return Request("POST", endpoint, {}, {"q": query, "num": count}, {"X-API-KEY": key}, key)


def _brave(endpoint: str, key: str, query: str, count: int) -> Request:
    params = {"q": query, "count": str(count), "text_decorations": "false", "result_filter": "web"}
    return Request("GET", endpoint, params, None, {"X-Subscription-Token": key, "Accept": "application/json"}, key)


def _tavily(endpoint: str, key: str, query: str, count: int) -> Request:
    return Request(
        "POST", endpoint, {}, {"query": query, "max_results": count}, {"Authorization": f"Bearer {key}"}, key
    )


def _searxng(endpoint: str, key: str, query: str, count: int) -> Request:
    base = endpoint.rstrip("/")
    return Request("GET", base if base.endswith("/search") else f"{base}/search", {"q": query, "format": "json"})


def _bocha(endpoint: str, key: str, query: str, count: int) -> Request:
    body = {"query": query, "count": count, "summary": True}
    return Request("POST", endpoint, {}, body, {"Authorization": f"Bearer {key}"}, key)


def _read_serper(answer: Any) -> list[Found]:
    if "organic" not in _mapping(answer, "the answer") and "searchParameters" not in answer:
        raise Unreadable("it has neither organic nor searchParameters")
    return _found(answer.get("organic"), "organic", "title", "link", "snippet")


def _read_brave(answer: Any) -> list[Found]:
    if "web" not in _mapping(answer, "the answer"):
        if answer.get("type") != "search":
            raise Unreadable("it has no web, and its type is not search")
        return []  # nothing was found: the part is left out
    found = _found(_mapping(answer["web"], "web").get("results"), "web.results", "title", "url", "description")
    return [Found(unescaped(one.title), one.url, unescaped(one.text)) for one in found]


def _read_results(answer: Any) -> list[Found]:
    if "results" not in _mapping(answer, "the answer"):
        raise Unreadable("it has no results")
    return _found(answer["results"], "results", "title", "url", "content")


def _read_bocha(answer: Any) -> list[Found]:
    if str(_mapping(answer, "the answer").get("code", 200)) != "200":  # the status of HTTP may say 200 all the same
        raise Unreadable(f"its code is {str(answer['code'])[:40]}")
    if "data" not in answer:
        raise Unreadable("it has no data")
    data = {} if answer["data"] is None else _mapping(answer["data"], "data")
    pages = {} if data.get("webPages") is None else _mapping(data["webPages"], "data.webPages")
    values = pages.get("value")
    briefly = _found(values, "data.webPages.value", "name", "url", "snippet")
    at_length = _found(values, "data.webPages.value", "name", "url", "summary")
    return [long if long.text else short for short, long in zip(briefly, at_length, strict=True)]


def _found(values: Any, where: str, title: str, url: str, text: str) -> list[Found]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise Unreadable(f"{where} is a {type(values).__name__} and no list")
    return [
        Found(*(_string(_mapping(value, f"{where}[{n}]").get(name)) for name in (title, url, text)))
        for n, value in enumerate(values)
    ]


def _mapping(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise Unreadable(f"{where} is a {type(value).__name__} and no object")
    return value


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""  # a page without a description has none, or null


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("serper", "https://google.serper.dev/search", "SERPER_API_KEY", 5.0, 100, _serper, _read_serper),
        Provider(
            "brave",
            "https://api.search.brave.com/res/v1/web/search",
            "BRAVE_API_KEY",
            1.0,
            20,
            _brave,
            _read_brave,
            max_chars=400,
            max_words=50,
        ),
        Provider(
            "tavily", "https://api.tavily.com/search", "TAVILY_API_KEY", 1.6, 20, _tavily, _read_results, max_chars=400
        ),
        Provider("searxng", None, None, 2.0, 20, _searxng, _read_results),
        Provider("bocha", "https://api.bochaai.com/v1/web-search", "BOCHA_API_KEY", 1.0, 50, _bocha, _read_bocha),
    )
}
