"""What is said over HTTP: the requests that are understood and the answers given, as pure functions.

Search-R1   `search_r1/search/retrieval_server.py` of PeterGriffinJin/Search-R1
            POST /retrieve {"queries": [str, ..], "topk": 3, "return_scores": true}
            -> {"result": [[{"document": {"id", "contents"}, "score": float}, ..], ..]}, contents `"Title"\\ntext`;
            without scores the documents stand there bare: {"result": [[{"id", "contents"}, ..], ..]}
ZeroSearch  `llm_agent/generation.py` of Alibaba-NLP/ZeroSearch, `retrieve_from_wiki`: one query, a bare list
            POST /retrieve {"query": str, "top_k": 5} -> [{"text": str}, ..]
            and `search_simulate_*`, where a language model plays the search engine, asked as OpenAI's are:
            POST /v1/chat/completions, whose last message ends "Query: ..\\nUseful Output:\\n"; it answers with lines
            "Doc 1: .."
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .contract import MAX_QUERIES, MAX_QUERY_CHARS, MAX_TOP_K, Hit, Passage
from .corpus import unquoted

MAX_BODY = 4 << 20  # bytes of a request
MAX_SENT_CHARS = 10_000  # of one query; of these the first MAX_QUERY_CHARS are searched for
TOP_K = 3  # where a request of Search-R1 does not say
ZEROSEARCH_TOP_K = 5  # and where one of ZeroSearch does not; its simulated engine always writes five
_CALLS_FOR = "Query:"


class Malformed(Exception):
    """A request that is not understood. status: of HTTP, 4xx. field: what is wrong, "body" for all of it."""

    def __init__(self, status: int, field: str, message: str) -> None:
        super().__init__(message)
        self.status, self.field = status, field


@dataclass(frozen=True)
class Asked:
    """A request that is understood. form: how the answer is written, "search-r1", "zerosearch" or "chat"."""

    form: str
    queries: tuple[str, ...]
    top_k: int
    scores: bool = False


def read_retrieve(body: bytes) -> Asked:
    """The request in the body of a POST to /retrieve, in either of its shapes: they differ in `queries` and `query`.

    Raises:
        Malformed: it is neither; field and message say why.
    """
    value = _object(body)
    if "query" in value and "queries" not in value:
        _only(value, ("query", "top_k"))
        return Asked("zerosearch", (_query(value["query"], "query"),), _top_k(value, "top_k", ZEROSEARCH_TOP_K))
    _only(value, ("queries", "topk", "return_scores"))
    queries = value.get("queries")
    if not isinstance(queries, list):
        raise Malformed(422, "queries", f"queries must be a list of strings; got {_shown(queries)}")
    if len(queries) > MAX_QUERIES:
        raise Malformed(422, "queries", f"at most {MAX_QUERIES} queries fit in one request; got {len(queries)}")
    scores = value.get("return_scores", False)
    if not isinstance(scores, bool):
        raise Malformed(422, "return_scores", f"return_scores must be true or false; got {_shown(scores)}")
    texts = tuple(_query(query, f"queries[{number}]") for number, query in enumerate(queries))
    return Asked("search-r1", texts, _top_k(value, "topk", TOP_K), scores)


def read_chat(body: bytes) -> Asked:
    """The query in the prompt that ZeroSearch sends to its simulated engine.

    Raises:
        Malformed: no such prompt; field and message say why.
    """
    value = _object(body)
    messages = value.get("messages")
    if value.get("stream"):
        raise Malformed(422, "stream", "stream must be false: the answer is one piece")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise Malformed(422, "messages", "messages must be a list of messages, the last of them with the query")
    content = messages[-1].get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    _, found, tail = str(content).rpartition(f"\n{_CALLS_FOR}")
    if not found:
        raise Malformed(422, "messages", f"the last message must have a line that begins {_CALLS_FOR!r}")
    return Asked("chat", (_query(tail.strip().partition("\n")[0].strip(), "messages"),), ZEROSEARCH_TOP_K)


def answer(asked: Asked, results: Sequence[Sequence[Hit]]) -> Any:
    """The body of the answer, to be written as JSON."""
    if asked.form == "zerosearch":
        return [{"text": contents(hit.passage)} for hit in results[0]]
    if asked.form == "chat":
        lines = [f"Doc {n}: {' '.join(contents(hit.passage).split())}" for n, hit in enumerate(results[0], 1)]
        message = {"role": "assistant", "content": "\n".join(lines) or "Doc 1: Nothing was found."}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        name = hashlib.sha256(json.dumps(message).encode()).hexdigest()[:24]
        return {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion",
            "created": 0,
            "model": "search",
            "choices": [choice],
            "usage": usage,
        }
    return {"result": [[_scored(hit) if asked.scores else _document(hit) for hit in hits] for hits in results]}


def read_result(value: Any, queries: int, top_k: int) -> list[list[Hit]]:
    """The hits in an answer of Search-R1's shape, with scores or without; a document without an id gets one from its
    content, one without a score 1 / rank.

    Raises:
        ValueError: it is no such answer; the message says why.
    """
    results = value.get("result") if isinstance(value, dict) else None
    if not isinstance(results, list) or len(results) != queries or not all(isinstance(hits, list) for hits in results):
        raise ValueError(f"expected an object whose result is a list of {queries} lists; got {_shown(value)}")
    return [[_hit(entry, rank) for rank, entry in enumerate(hits[:top_k], 1)] for hits in results]


def contents(passage: Passage) -> str:
    """Title and text in one string, the title on the first line and in quotation marks."""
    return f'"{passage.title.replace(chr(10), " ")}"\n{passage.text}'


def _hit(entry: Any, rank: int) -> Hit:
    document = entry.get("document", entry) if isinstance(entry, dict) else None
    text = document.get("contents") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(text, str):
        raise ValueError(f"expected a document with contents; got {_shown(entry)}")
    score = entry.get("score", 1 / rank)
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise ValueError(f"expected a score that is a number; got {_shown(score)}")
    title, _, rest = text.encode("utf-8", "replace").decode().partition("\n")
    name = document.get("id")
    known = (
        str(name) if isinstance(name, (str, int)) else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    )
    return Hit(Passage(known, unquoted(title), rest), float(score))


def _document(hit: Hit) -> dict[str, Any]:
    return {"id": hit.passage.id, "contents": contents(hit.passage)}


def _scored(hit: Hit) -> dict[str, Any]:
    return {"document": _document(hit), "score": hit.score}


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(400, "body", f"the body must be JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed(400, "body", f"the body must be a JSON object; got {_shown(value)}")
    return value


def _only(value: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for field in value:
        if field not in allowed:
            raise Malformed(422, field[:64], f"unknown field {field[:64]!r}; allowed are {', '.join(allowed)}")


def _query(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Malformed(422, field, f"{field} must be a string; got {_shown(value)}")
    if len(value) > MAX_SENT_CHARS:
        raise Malformed(
            422,
            field,
            f"{field} has {len(value)} characters; at most {MAX_SENT_CHARS} are allowed ({MAX_QUERY_CHARS} are read)",
        )
    return value


def _top_k(value: Mapping[str, Any], field: str, default: int) -> int:
    top_k = value.get(field)
    if top_k is None:
        return default
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
        raise Malformed(422, field, f"{field} must be a whole number from 1 to {MAX_TOP_K}; got {_shown(top_k)}")
    return top_k


def _shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
