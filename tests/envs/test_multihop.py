"""Multi-hop sets: which of the four is read, and what its items are called."""

import os
from pathlib import Path

import pytest

from envs.core.errors import ArgumentError
from envs.datasets.multihop import DATASETS, write_sample
from envs.multihop import MultiHop


@pytest.mark.parametrize("dataset", DATASETS)
def test_each_of_the_four_is_read(tmp_path: Path, dataset: str) -> None:
    write_sample(tmp_path)
    env = MultiHop(dataset=dataset, data=str(tmp_path), tools=False)
    observation, info = env.reset(options={"task": 0})
    assert observation["images"] == () and info["tags"]["dataset"] == dataset
    assert env.step(env.solve()[0])[1] == 1.0


def test_bamboogle_has_no_train_set(tmp_path: Path) -> None:
    write_sample(tmp_path)
    env = MultiHop(dataset="bamboogle", data=str(tmp_path), tools=False, split="train")
    with pytest.raises(ArgumentError, match="no train"):
        env.reset(seed=0)


def test_the_card_names_every_argument() -> None:
    card = MultiHop.__doc__ or ""
    assert [name for name in (MultiHop.__init__.__kwdefaults__ or {}) if name not in card] == []


def test_real_questions_over_real_passages() -> None:
    pytest.importorskip("tantivy")
    folder = os.environ.get("RLLAVA_WIKI_PASSAGES")
    if not folder:
        pytest.skip("RLLAVA_WIKI_PASSAGES names no folder with corpus.json and questions.jsonl")
    from sandbox.search import Index, read_corpus, shared

    name = f"index:{Path('/nowhere/wiki').resolve()}"
    shared(name, lambda: Index.of(read_corpus(Path(folder) / "corpus.json")))
    env = MultiHop(data=str(Path(folder) / "questions.jsonl"), search=name)
    assert env.num_tasks() == 1286
    for task in range(20):
        env.reset(options={"task": task})
        text = env.step(env.solve()[0])[0]["text"]
        assert text.count("Content:") == 4
        assert env.step(env.solve()[0])[1] == 1.0
