"""Tests in other environments: what is reported, and what is told before anything is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, ElsewhereConfig
from agent.elsewhere import _limits
from agent.errors import ConfigError
from agent.model.boxes import with_boxes
from agent.report.results import result_tables
from agent.run import run
from tests.agent.run_fixtures import quiet, small_config

OTHER = ElsewhereConfig("three turns", "Test/Parity-v0", {"turns": 3, "split": "test"}, episodes=6, max_turns=3)


def with_others(config: Config, *others: ElsewhereConfig, **evaluation: Any) -> Config:
    return replace(config, evaluation=replace(config.evaluation, elsewhere=list(others), **evaluation))


def test_the_policy_is_tested_there_before_and_after_beside_the_baselines(tmp_path: Path) -> None:
    config = with_others(small_config(tmp_path), OTHER)
    report = run(config, quiet()[0]).report
    assert report is not None
    rows = {row["name"]: row for row in report["rows"]}
    there = {name for name in rows if name.endswith(", three turns")}
    assert there == {f"{who}, three turns" for who in ("before", "after", "constant", "random", "oracle")}
    assert all(rows[name]["episodes"] == 6 for name in there)
    assert rows["oracle, three turns"]["value"] > rows["constant, three turns"]["value"]
    folder = tmp_path / "run" / "evaluations"
    played = [json.loads((folder / f"{name}_more.json").read_text()) for name in ("before", "after")]
    for found, name in zip(played, ("before, three turns", "after, three turns"), strict=True):
        scores = found["elsewhere"]["three turns"]
        assert len(scores) == 6 and rows[name]["value"] == pytest.approx(sum(scores) / 6)
    assert played[0] != played[1], "the weights moved in between"


def test_a_run_that_is_continued_reports_what_it_found_before(tmp_path: Path) -> None:
    config = with_others(small_config(tmp_path), OTHER)
    first = run(config, quiet()[0]).report
    (tmp_path / "run" / "report.json").unlink()
    again = run(config, quiet()[0]).report
    assert first is not None and again is not None
    assert again["rows"] == first["rows"]


def test_an_episode_there_may_take_more_turns_and_other_tokens_than_in_training(tmp_path: Path) -> None:
    config = small_config(tmp_path, rollout={"max_episode_tokens": 7, "max_turns": 2, "max_turn_tokens": 5})
    usual = _limits(config, replace(OTHER, max_turns=0))
    assert (usual.max_turns, usual.max_turn_tokens, usual.max_episode_tokens) == (2, 5, 7)
    longer = _limits(config, replace(OTHER, max_turn_tokens=9))
    assert (longer.temperature, longer.max_turns, longer.max_turn_tokens, longer.max_episode_tokens) == (0.0, 3, 9, 0)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([OTHER, OTHER], r"evaluation.elsewhere\[0\].name: 'three turns' stands twice"),
        ([replace(OTHER, id="Test/Partiy-v0")], "'Test/Partiy-v0' is not registered"),
        ([replace(OTHER, kwargs={"tuns": 1})], "tuns"),
        ([replace(OTHER, episodes=51)], "51 evaluation episodes were asked for, the split has 50"),
        ([OTHER, replace(OTHER, name="b", max_turns=-1)], r"evaluation.elsewhere\[1\].max_turns: must be at least 0"),
        ([replace(OTHER, max_turn_tokens=64)], r"max_turn_tokens: 64 leaves no room for a prompt"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    tmp_path: Path, others: list[ElsewhereConfig], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(with_others(small_config(tmp_path), *others), quiet()[0])
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_without_tests_nothing_is_played_elsewhere(tmp_path: Path) -> None:
    broken = replace(OTHER, id="Test/Nothing-v0")
    report = run(with_others(small_config(tmp_path), broken, test_episodes=0), quiet()[0]).report
    assert report is not None and report["rows"] == []


def test_boxes_there_are_those_of_the_model() -> None:
    config = Config(env=small_config(Path()).env)
    asked = with_others(config, replace(OTHER, kwargs={"boxes": "auto"}))
    assert with_boxes(asked).evaluation.elsewhere[0].kwargs["boxes"]["kind"] == "absolute_resized"


def test_a_page_says_what_each_row_is() -> None:
    row = {"env_id": "A-v0", "metric": "accuracy", "decoding": "greedy", "value": 0.5, "low": 0.4, "high": 0.6}
    rows = [row | {"name": f"{name}, there", "episodes": 4} for name in ("blind", "before", "after")]
    (table,) = result_tables(rows)
    assert [shown.meaning for shown in table.rows] == [
        "answers without looking at the picture, there",
        "the model before reinforcement learning, there",
        "the same model where the environment was changed",
    ]
