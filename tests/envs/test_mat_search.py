"""MAT-Search: the picture in every turn, its two halves, its names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tantivy")

from envs.core.images import encode_png
from envs.mat_search import MATSearch
from sandbox.search import Passage, build_index


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
