"""MAT-Search: the picture in every turn, its two halves, its names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tantivy")
pytest.importorskip("httpx")

import gymnasium

import envs  # noqa: F401  (registers)
from envs.core.images import encode_png, image_hash
from envs.mat_search import MATSearch
from sandbox.search import Passage, ReplayMissError, build_index
from tests.sandbox.search.conftest import Reply, Seen, Server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("mat")
    (folder / "MAT-Search-image").mkdir()
    rows = []
    for n in range(80):
        pixels = np.full((30 + n, 40, 3), n, dtype=np.uint8)
        (folder / "MAT-Search-image" / f"{n}.png").write_bytes(encode_png(pixels))
        answer = "Yes" if n == 1 else f"Person {n}"
        rows.append({"id": n, "question": f"Who is number {n}?", "answer": answer, "image_path": f"{n}.png"})
    (folder / "MAT-Search.json").write_text(json.dumps(rows))
    build_index(folder / "index", [Passage("1", "Person 3", "Person 3 is number three.")])
    return {"data": str(folder), "search": f"index:{folder / 'index'}"}


def test_the_picture_is_shown_in_every_turn(made: dict[str, Any]) -> None:
    env = MATSearch(**made)
    first, _ = env.reset(options={"task": 3})
    assert first["images"][0].shape == (33, 40, 3) and (first["images"][0] == 3).all()
    again, _, _, _, info = env.step("<think>a</think><search>number three</search>")
    assert info["context"] == "restart" and np.array_equal(again["images"][0], first["images"][0])
    assert "Content:Person 3: Person 3 is number three." in again["text"]
    assert "does not see the picture" in first["text"] and "\n<query> Who is number 3? </query>" in first["text"]


def test_the_first_75_are_simple_and_the_others_hard(made: dict[str, Any]) -> None:
    env = MATSearch(**made)
    tags = [env.reset(options={"task": n})[1]["tags"] for n in (0, 1, 74, 75, 79)]
    assert [tag["difficulty"] for tag in tags] == ["simple"] * 3 + ["hard"] * 2
    assert [tag["kind"] for tag in tags] == ["open", "yes or no", "open", "open", "open"]
    assert [tag["position"] for tag in tags] == [0, 1, 74, 75, 79]
    assert env.num_tasks() == 80


def test_the_gold_actions_score_the_maximum(made: dict[str, Any]) -> None:
    env = MATSearch(**made, tool_weight=0.2)
    for task in (0, 1, 79):
        env.reset(options={"task": task})
        assert sum(env.step(action)[1] for action in env.solve()) == 1.0


def test_the_card_names_every_argument() -> None:
    card = MATSearch.__doc__ or ""
    assert [name for name in (MATSearch.__init__.__kwdefaults__ or {}) if name not in card] == []


def test_nothing_but_the_test_set_is_published(made: dict[str, Any]) -> None:
    assert MATSearch.splits == ("test",)
    assert isinstance(made["data"], str) and Path(made["data"]).is_dir()


@pytest.fixture
def brave() -> Iterator[Server]:
    """The web as Brave's interface tells it: what is found depends on the query."""

    def answer(seen: Seen) -> Reply:
        (query,) = seen.params["q"]
        assert seen.headers["x-subscription-token"] == "a key"
        pages = [
            {"title": f"Page {n}", "url": f"https://{n}.example", "description": f"{n}. about {query}."} for n in "123"
        ]
        return Reply({"type": "search", "web": {"type": "search", "results": pages}})

    server = Server(answer)
    yield server
    server.close()


def episode(data: str, search: str) -> list[Any]:
    """All that is seen and paid: two searches in two turns, then an answer."""
    env = gymnasium.make("RLLaVA/MATSearch-v0", data=data, search=search)
    observation, info = env.reset(seed=5, options={"task": 7})
    seen: list[Any] = [(observation["text"], [image_hash(image) for image in observation["images"]], info)]
    for action in ("<search>number seven</search>", "<search>who is it</search>", "<answer>Person 7</answer>"):
        observation, *others = env.step(f"<think>so</think>{action}")
        seen.append((observation["text"], [image_hash(image) for image in observation["images"]], *others))
    return seen


def test_a_recorded_web_shows_the_same_without_a_key_and_without_the_web(
    made: dict[str, Any], brave: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"brave:{brave.url}/search?cache={tmp_path}/web&rate=1000"
    monkeypatch.setenv("BRAVE_API_KEY", "a key")
    first = episode(made["data"], f"{where}&mode=record")
    asked = len(brave.seen)
    assert asked == 2 and "3. about number seven." in first[1][0] and "1. about who is it." in first[2][0]
    assert first[3][2] > 0.9 and first[3][3]
    monkeypatch.delenv("BRAVE_API_KEY")
    brave.close()
    assert episode(made["data"], f"{where}&mode=replay-only") == first
    assert len(brave.seen) == asked
    env = gymnasium.make("RLLaVA/MATSearch-v0", data=made["data"], search=f"{where}&mode=replay-only")
    env.reset(options={"task": 7})
    with pytest.raises(ReplayMissError, match="number eight"):
        env.step("<think>so</think><search>number eight</search>")
