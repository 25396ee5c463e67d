"""The index: what is found, in which order, on disk and in memory, and what a query may be."""

import json
import math
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tantivy")

from sandbox.search import (
    MAX_QUERY_CHARS,
    MAX_TOP_K,
    Hit,
    Index,
    IndexFolderError,
    Passage,
    SearchArgumentError,
    SearchBackend,
    SearchUnavailableError,
    build_index,
    read_corpus,
)

PASSAGES = (
    Passage("a", "Velmora", "Velmora is a town. It was founded in 1652 by monks."),
    Passage("b", "River Orvel", "The Orvel is a river that flows through Velmora and Karst."),
    Passage("c", "Karst", "Karst is a town of bell makers, twinned with Velmora."),
    Passage("d", "The Who", "A band."),
    Passage("e", "Éclair", "A cake from the café."),
)


@pytest.fixture(scope="module")
def index() -> Index:
    return Index.of(PASSAGES)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


def test_the_passage_whose_title_is_the_query_comes_first(index: Index) -> None:
    (hits,) = index.search(["velmora"], 3)
    assert ids(hits)[0] == "a"
    assert hits[0].passage == PASSAGES[0]
    assert set(ids(hits)) == {"a", "b", "c"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_several_queries_have_their_results_in_order(index: Index) -> None:
    both = index.search(["bell makers", "river"], 1)
    assert [ids(hits) for hits in both] == [["c"], ["b"]]
    assert index.search([], 3) == []


def test_no_more_than_top_k_are_given(index: Index) -> None:
    for top_k in (1, 2, 3):
        assert len(index.search(["velmora"], top_k)[0]) == top_k


@pytest.mark.parametrize(("query", "found"), [("founding", "a"), ("eclair", "e"), ("CAFE", "e"), ("monk's", "a")])
def test_endings_accents_and_capitals_do_not_matter(index: Index, query: str, found: str) -> None:
    assert ids(index.search([query], 1)[0]) == [found]


def test_a_query_of_common_words_alone_is_searched_for(index: Index) -> None:
    assert ids(index.search(["The Who"], 1)[0]) == ["d"]


def test_common_words_do_not_count_beside_others(index: Index) -> None:
    assert index.search(["who is the band of it"], 5)[0][0].passage.id == "d"
    assert ids(index.search(["it was the cake"], 5)[0]) == ["e"]


def test_a_query_without_a_known_word_has_no_hits(index: Index) -> None:
    assert index.search(["", "   ", "zzzz", "!?"], 3) == [[], [], [], []]


@pytest.mark.parametrize(
    "query",
    [
        'title:"velmora',
        "velmora AND",
        "velmora^",
        "(velmora",
        "velmora~2 +-*/\\",
        "text:[a TO velmora}",
        "velmora \ud800",
        "velmora \x00",
        "<|im_end|> velmora",
    ],
)
def test_no_sign_in_a_query_is_syntax(index: Index, query: str) -> None:
    assert "a" in ids(index.search([query], 3)[0])


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_any_string_is_a_query(query: str) -> None:
    for hit in _ANY.search([query], 3)[0]:
        assert math.isfinite(hit.score)


_ANY = Index.of(PASSAGES)


def test_a_long_query_costs_no_more_than_its_beginning(index: Index) -> None:
    start = time.process_time()
    assert ids(index.search(["velmora " + "karst " * 200_000], 3)[0])[0] in ("a", "c")
    assert time.process_time() - start < 1.0
    assert index.search(["x" * MAX_QUERY_CHARS + " velmora"], 3) == [[]]


def test_ties_stand_in_the_order_of_ids_and_the_right_ones_are_kept() -> None:
    # More passages of one score than are asked for: which are shown must not depend on the order of writing.
    same = [Passage(f"{n:03}", "", "the same words") for n in range(300)]
    for order in (same, same[::-1], same[150:] + same[:150]):
        (hits,) = Index.of(order).search(["words"], 4)
        assert ids(hits) == ["000", "001", "002", "003"]


def test_scores_are_those_of_okapi_bm25() -> None:
    # Equation: idf (k + 1) f / (f + k (1 - b + b n / m)), idf = ln(1 + (N - d + 0.5) / (d + 0.5)), k = 1.2, b = 0.75.
    texts = ["red red star", "red moon", "blue moon over a hill", "green hill"]
    index = Index.of([Passage(str(n), "", text) for n, text in enumerate(texts)])
    lengths = [len(text.split()) for text in texts]
    mean = sum(lengths) / 4
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))

    def score(frequency: int, length: int) -> float:
        return idf * 2.2 * frequency / (frequency + 1.2 * (0.25 + 0.75 * length / mean))

    (hits,) = index.search(["red"], 4)
    assert {hit.passage.id: hit.score for hit in hits} == pytest.approx({"0": score(2, 3), "1": score(1, 2)}, rel=1e-4)


def test_a_word_in_the_title_counts_more_than_one_in_the_text() -> None:
    index = Index.of([Passage("text", "one two", "three four"), Passage("title", "one four", "three two")])
    assert ids(index.search(["four five"], 2)[0]) == ["title", "text"]


@pytest.mark.parametrize("top_k", [0, -1, MAX_TOP_K + 1, True, 2.0, "3", None])
def test_a_wrong_top_k_is_refused(index: Index, top_k: object) -> None:
    with pytest.raises(SearchArgumentError, match="top_k must be a whole number from 1 to 100"):
        index.search(["velmora"], top_k)  # type: ignore[arg-type]


def test_queries_must_be_a_list_of_strings(index: Index) -> None:
    with pytest.raises(SearchArgumentError, match="queries must be a list"):
        index.search("velmora", 3)
    with pytest.raises(SearchArgumentError, match=r"queries\[1\] must be a str; got int"):
        index.search(["velmora", 3], 3)  # type: ignore[list-item]
    with pytest.raises(SearchArgumentError, match="at most 256 queries"):
        index.search(["a"] * 257, 3)


def test_threads_share_an_index(index: Index) -> None:
    expected, wrong = index.search(["velmora"], 3), []

    def ask() -> None:
        wrong.extend(1 for _ in range(60) if index.search(["velmora"], 3) != expected)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_index_is_a_search_backend(index: Index) -> None:
    assert isinstance(index, SearchBackend)


# On disk.


def test_a_folder_gives_what_memory_gives(index: Index, tmp_path: Path) -> None:
    manifest = build_index(tmp_path / "index", PASSAGES)
    opened = Index.open(tmp_path / "index")
    assert opened.manifest == manifest == index.manifest
    assert (manifest.count, manifest.fields, manifest.version) == (5, ("id", "title", "text"), 2)
    queries = ["velmora", "The Who", "river town", ""]
    assert opened.search(queries, 3) == index.search(queries, 3)


def test_opening_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES)
    (tmp_path / "index" / ".tantivy-meta.lock").unlink(missing_ok=True)
    before = sorted(os.listdir(tmp_path / "index"))
    Index.open(tmp_path / "index").search(["velmora"], 1)
    assert sorted(os.listdir(tmp_path / "index")) == before


def test_everybody_may_read_what_was_built(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES)
    assert (tmp_path / "index").stat().st_mode & 0o555 == 0o555
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in (tmp_path / "index").iterdir())


def test_the_content_hash_tells_corpora_apart() -> None:
    moved = Passage("a", "Velmora is", PASSAGES[0].text.removeprefix("Velmora is"))
    hashes = {Index.of(p).manifest.content for p in (PASSAGES, PASSAGES[::-1], PASSAGES[:4], (moved, *PASSAGES[1:]))}
    assert len(hashes) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SearchArgumentError, match="two passages have the id 'a'"):
        build_index(tmp_path / "index", [*PASSAGES, PASSAGES[0]])
    assert os.listdir(tmp_path) == []


def test_a_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES[:1])
    with pytest.raises(SearchArgumentError, match="exists already"):
        build_index(tmp_path / "index", PASSAGES)
    assert Index.open(tmp_path / "index").manifest.count == 1


def test_something_else_than_a_passage_is_refused() -> None:
    with pytest.raises(SearchArgumentError, match="passage 1 is a dict"):
        Index.of([{"title": "a", "text": "b"}])  # type: ignore[list-item]


def test_an_empty_corpus_finds_nothing() -> None:
    assert Index.of([]).search(["velmora"], 3) == [[]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / "manifest.json").unlink(), "holds no index: there is no manifest.json"),
        (lambda d: (d / "manifest.json").write_text("{"), "is not JSON"),
        (lambda d: (d / "manifest.json").write_text("[]"), "version None, and this program reads 2"),
        (lambda d: (d / "manifest.json").write_text('{"version": 1}'), "version 1, and this program reads 2; delete"),
        (lambda d: (d / "manifest.json").write_text('{"version": 2, "fields": []}'), "malformed"),
        (lambda d: (d / "meta.json").write_text("{}"), "damaged"),
        (lambda d: next(d.glob("*.store")).write_bytes(b""), "damaged"),
        (lambda d: _recount(d / "manifest.json"), "holds 5 passages and its manifest.json says 6"),
    ],
)
def test_a_spoilt_folder_says_what_is_wrong(tmp_path: Path, spoil: object, message: str) -> None:
    build_index(tmp_path / "index", PASSAGES)
    spoil(tmp_path / "index")  # type: ignore[operator]
    with pytest.raises(IndexFolderError, match=message):
        Index.open(tmp_path / "index")


def _recount(manifest: Path) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"count": 6}))


def test_no_folder_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match=r"there is no folder .*python -m sandbox search build CORPUS"):
        Index.open(tmp_path / "nothing")


def test_without_tantivy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(SearchUnavailableError, match=r"pip install 'rllava-gym\[search\]'"):
        Index.of(PASSAGES)


# Real passages.


@pytest.fixture(scope="module")
def wiki() -> tuple[Index, list[dict[str, list[str]]]]:
    folder = os.environ.get("RLLAVA_WIKI_PASSAGES")
    if not folder:
        pytest.skip("RLLAVA_WIKI_PASSAGES names no folder with corpus.json and questions.jsonl")
    questions = [json.loads(line) for line in (Path(folder) / "questions.jsonl").read_text("utf-8").splitlines()]
    return Index.of(read_corpus(Path(folder) / "corpus.json")), questions


def test_real_questions_find_the_passages_they_name(wiki: tuple[Index, list[dict[str, list[str]]]]) -> None:
    index, questions = wiki
    recall = dict.fromkeys((1, 3, 5, 10), 0.0)
    took = []
    for question in questions:
        start = time.perf_counter()
        (hits,) = index.search([str(question["question"])], 10)
        took.append(time.perf_counter() - start)
        titles = [hit.passage.title for hit in hits]
        for k in recall:
            recall[k] += sum(gold in titles[:k] for gold in question["title_hits"]) / len(question["title_hits"])
    recall = {k: total / len(questions) for k, total in recall.items()}
    print(f"recall {recall}, median {1000 * sorted(took)[len(took) // 2]:.2f} ms over {index.manifest.count} passages")
    assert recall[3] > 0.9
    assert recall[10] > 0.95
