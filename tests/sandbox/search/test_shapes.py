"""What is said over HTTP, without a server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.search import Hit, Passage
from sandbox.search.shapes import Asked, Malformed, answer, read_chat, read_result, read_retrieve

HITS = [[Hit(Passage("7", "A town", "It is old.\nVery."), 2.5), Hit(Passage("8", "", "None."), 1.0)], []]


def sent(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_request_of_search_r1_is_understood_with_all_its_fields_and_with_few() -> None:
    whole = read_retrieve(sent({"queries": ["a", "b"], "topk": 7, "return_scores": True}))
    assert whole == Asked("search-r1", ("a", "b"), 7, True)
    assert read_retrieve(sent({"queries": ["a"]})) == Asked("search-r1", ("a",), 3, False)
    assert read_retrieve(sent({"queries": [], "topk": None})) == Asked("search-r1", (), 3, False)


def test_a_request_of_zerosearch_is_understood() -> None:
    assert read_retrieve(sent({"query": "a", "top_k": 2})) == Asked("zerosearch", ("a",), 2)
    assert read_retrieve(sent({"query": "a"})).top_k == 5


@pytest.mark.parametrize(
    ("body", "status", "field", "message"),
    [
        (b"", 400, "body", "must be JSON"),
        (b"{", 400, "body", "must be JSON"),
        (b"[" * 100_000, 400, "body", "must be JSON"),
        (b"\xff", 400, "body", "must be JSON"),
        (b"[]", 400, "body", "must be a JSON object"),
        (sent({}), 422, "queries", "must be a list of strings; got None"),
        (sent({"queries": "a"}), 422, "queries", "must be a list of strings; got 'a'"),
        (sent({"queries": [1]}), 422, "queries[0]", "must be a string; got 1"),
        (sent({"queries": ["a", None]}), 422, "queries[1]", "must be a string"),
        (sent({"queries": ["a"] * 257}), 422, "queries", "at most 256 queries fit in one request; got 257"),
        (sent({"queries": ["a" * 10_001]}), 422, "queries[0]", "has 10001 characters; at most 10000 are allowed"),
        (sent({"queries": ["a"], "topk": 0}), 422, "topk", "from 1 to 100; got 0"),
        (sent({"queries": ["a"], "topk": 101}), 422, "topk", "from 1 to 100; got 101"),
        (sent({"queries": ["a"], "topk": "3"}), 422, "topk", "from 1 to 100; got '3'"),
        (sent({"queries": ["a"], "topk": True}), 422, "topk", "from 1 to 100; got True"),
        (sent({"queries": ["a"], "return_scores": 1}), 422, "return_scores", "must be true or false"),
        (sent({"queries": ["a"], "top_k": 3}), 422, "top_k", "unknown field 'top_k'; allowed are queries, topk"),
        (sent({"query": 1}), 422, "query", "must be a string"),
        (sent({"query": "a", "topk": 3}), 422, "topk", "unknown field 'topk'; allowed are query, top_k"),
        (sent({"query": "a", "top_k": -1}), 422, "top_k", "from 1 to 100"),
        (sent({"query": "a", "queries": ["b"]}), 422, "query", "unknown field 'query'"),
    ],
)
def test_a_request_that_is_not_understood_names_its_field(body: bytes, status: int, field: str, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        read_retrieve(body)
    assert (caught.value.status, caught.value.field) == (status, field)
    assert message in str(caught.value) and len(str(caught.value)) < 400


def test_answers_have_the_published_form() -> None:
    assert answer(Asked("search-r1", ("a", "b"), 3, True), HITS) == {
        "result": [
            [
                {"document": {"id": "7", "contents": '"A town"\nIt is old.\nVery.'}, "score": 2.5},
                {"document": {"id": "8", "contents": '""\nNone.'}, "score": 1.0},
            ],
            [],
        ]
    }
    assert answer(Asked("search-r1", ("a", "b"), 3, False), HITS) == {
        "result": [[{"id": "7", "contents": '"A town"\nIt is old.\nVery.'}, {"id": "8", "contents": '""\nNone.'}], []]
    }
    assert answer(Asked("zerosearch", ("a",), 5), HITS[:1]) == [
        {"text": '"A town"\nIt is old.\nVery.'},
        {"text": '""\nNone.'},
    ]


# The prompt of ZeroSearch's simulated engine ends like this.
PROMPT = "An engine.\n\nHere is an example:\nQuery: a bridge\nUseful Output:\nDoc 1: x\n\nQuery: {}\nUseful Output:\n"


@pytest.mark.parametrize("parts", [False, True])
def test_the_simulated_engine_is_asked_for_the_last_query_of_its_prompt(parts: bool) -> None:
    prompt = PROMPT.format("who built it?")
    content = [{"type": "text", "text": prompt}] if parts else prompt
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": content}]
    assert read_chat(sent({"model": "", "max_tokens": 600, "messages": messages})).queries == ("who built it?",)


def test_the_simulated_engine_answers_a_line_a_document() -> None:
    said = answer(Asked("chat", ("a",), 5), HITS[:1])
    assert said["object"] == "chat.completion"
    assert said["choices"][0]["message"]["content"].splitlines() == [
        'Doc 1: "A town" It is old. Very.',
        'Doc 2: "" None.',
    ]
    assert answer(Asked("chat", ("a",), 5), [[]])["choices"][0]["message"]["content"] == "Doc 1: Nothing was found."


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"messages": [{"role": "user", "content": "hello"}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["a"]}, "messages"),
        ({"messages": [{"content": PROMPT}], "stream": True}, "stream"),
    ],
)
def test_another_chat_is_refused(value: Any, field: str) -> None:
    with pytest.raises(Malformed) as caught:
        read_chat(sent(value))
    assert (caught.value.status, caught.value.field) == (422, field)


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n"), max_size=20)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
PASSAGES = st.builds(Passage, TEXTS, NAMES, TEXTS)


@given(st.lists(st.lists(st.builds(Hit, PASSAGES, st.floats(0, 100)), max_size=3), max_size=3))
def test_what_is_written_is_read_again(results: list[list[Hit]]) -> None:
    asked = Asked("search-r1", ("a",) * len(results), 3, True)
    assert read_result(json.loads(json.dumps(answer(asked, results))), len(results), 3) == results


def test_answers_of_other_servers_are_understood() -> None:
    bare = {"result": [[{"title": '"A"', "text": "b", "contents": '"A"\nb'}, {"id": 3, "contents": "C\nd"}]]}
    ((first, second),) = read_result(bare, 1, 5)
    assert (first.passage.title, first.passage.text, first.score) == ("A", "b", 1.0)
    assert (second.passage, second.score) == (Passage("3", "C", "d"), 0.5)
    assert len(first.passage.id) == 16


def test_more_hits_than_were_asked_for_are_left_out() -> None:
    assert len(read_result({"result": [[{"contents": str(n)} for n in range(9)]]}, 1, 2)[0]) == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"result": []},
        {"result": [[], []]},
        {"result": [3]},
        {"result": [[3]]},
        {"result": [[{"document": 3}]]},
        {"result": [[{"document": {"id": "a"}}]]},
        {"result": [[{"document": {"contents": "a"}, "score": "high"}]]},
    ],
)
def test_another_answer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_result(value, 1, 3)
