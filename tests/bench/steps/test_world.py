"""The bench's environment keeps the laws of an environment, and gives no group without variance."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


def test_it_keeps_the_laws_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import steps.world

    from envs.core.conformance import check_env

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "bench"), str(ROOT)]))  # for another process
    for kwargs in ({}, {"turns": 3, "side": 112, "digits": 0}):
        report = check_env(steps.world.ENV_ID, **kwargs)
        assert not [entry for entry in report.entries if entry.status == "failed"], str(report)


def test_every_picture_is_another_and_siblings_see_the_same() -> None:
    from steps.world import World

    worlds = [World(side=56).reset(seed=seed)[0] for seed in range(20)]
    assert len({world["images"][0].tobytes() for world in worlds}) == 20
    again = World(side=56).reset(seed=3)[0]
    assert again["text"] == worlds[3]["text"] and np.array_equal(again["images"][0], worlds[3]["images"][0])


def test_what_is_said_decides_the_score() -> None:
    from steps.world import World

    scores = []
    for said in ("red", "blue", ""):
        world = World()
        world.reset(seed=0)
        _, reward, terminated, truncated, _ = world.step(said)
        assert terminated and not truncated and 0 <= reward < 1
        scores.append(reward)
    assert len(set(scores)) == 3


@pytest.mark.parametrize("wrong", [{"side": 60}, {"side": 0}, {"digits": -1}, {"turns": 0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    from steps.world import World

    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        World(**wrong)


def test_a_prompt_has_the_length_that_was_asked_for(tmp_path: Path) -> None:
    from steps.models import digits_for, write_folder
    from steps.world import World

    from agent.model.load import load_processor
    from agent.rollout.render import Renderer

    folder = write_folder(tmp_path / "model")
    for side, length in ((56, 1024), (448, 1024)):
        shown, _ = World(side, digits_for(folder, side, length)).reset(seed=5)
        assert len(Renderer(load_processor(folder)).prompt(shown["text"], shown["images"]).token_ids) == length
    with pytest.raises(ValueError, match="no room"):
        digits_for(folder, 448, 100)
