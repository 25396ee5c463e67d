"""The passages that the search image ships are those that its recipe asks about, and are found as in memory."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

pytest.importorskip("tantivy")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
pytest.importorskip("prometheus_client")

import envs  # noqa: F401  (registers)
from sandbox.search import read_corpus
from tests.envs.served import served

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "images" / "search" / "corpus.jsonl"
MADE = runpy.run_path(str(ROOT / "images" / "search" / "make_corpus.py"))
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "agent" / "recipes" / "search.yaml").read_text())["env"]
TASKS = range(50)


def test_the_file_is_what_the_script_makes() -> None:
    assert CORPUS.read_text(encoding="utf-8") == MADE["lines"]()


def test_its_world_is_the_one_that_the_recipe_asks_about() -> None:
    assert RECIPE["kwargs"] | MADE["WORLD"] == RECIPE["kwargs"] | {"world_seed": 0}


def test_it_is_read_as_it_was_meant() -> None:
    from envs.search import world_passages

    assert tuple(read_corpus(CORPUS)) == world_passages(**MADE["WORLD"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("data") / "index"
    with served("search", "serve", str(folder), "--corpus", str(CORPUS)) as (address, _):
        yield address


def shown(search: str) -> list[str]:
    """All that the expert is shown."""
    env = gymnasium.make(RECIPE["id"], search=search, **RECIPE["kwargs"])
    texts = []
    for task in TASKS:
        env.reset(options={"task": task})
        for action in env.unwrapped.solve():  # type: ignore[attr-defined]
            observation, _, terminated, _, info = env.step(action)
            texts.append(observation["text"])
        assert terminated and info["metrics"]["accuracy"] == 1.0
    return texts


def test_the_service_finds_what_the_index_in_memory_finds(url: str) -> None:
    found = shown(url)
    assert found == shown("world")
    assert sum("<information>" in text for text in found) == len(TASKS)
