"""Which trackers a run has, and whose runs they continue."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, EnvironmentConfig, RunConfig
from agent.engine.ranks import Ranks
from agent.errors import ConfigError
from agent.run_directory import RunDirectory
from agent.tracking import trackers
from tests.agent.tracking.shown import sample


def config_of(folder: Path, *names: Any) -> Config:
    return Config(EnvironmentConfig("X-v0"), run=RunConfig("one", str(folder), trackers=list(names), project="p"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(tracker, id) of each that was opened: none of them is there."""
    found: list[tuple[str, str]] = []

    def make(name: str) -> Any:
        def opener(run: Any, folder: Any, identity: str, config: Any, warn: Any) -> Any:
            found.append((name, identity))
            raise OSError(f"no {name}")

        return opener

    monkeypatch.setattr(trackers, "_wandb", make("wandb"))
    monkeypatch.setattr(trackers, "_trackio", make("trackio"))
    monkeypatch.setattr("agent.run_directory.check_installed", lambda names: None)
    return found


def played(config: Config, first: int = 0, ranks: Ranks | None = None) -> list[str]:
    told: list[str] = []
    directory = RunDirectory(config, *([ranks] if ranks else [Ranks()]), told.append)
    directory.begin(first)
    directory.log(first + 1, {"reward": 0.5})
    directory.show(first + 1, [sample()])
    directory.report({"rows": []})
    directory.close()
    return told


def test_a_continued_run_continues_the_same_ids(tmp_path: Path, opened: list[tuple[str, str]]) -> None:
    played(config_of(tmp_path, "wandb"))
    played(config_of(tmp_path, "wandb", "trackio"), 1)
    played(config_of(tmp_path, "trackio", "wandb"), 2)
    ids = dict(opened)
    assert sorted(opened) == sorted([*[("wandb", ids["wandb"])] * 3, *[("trackio", ids["trackio"])] * 2])
    assert ids["wandb"] != ids["trackio"] and ids["wandb"].startswith("one-")
    assert json.loads((tmp_path / "one" / "trackers.json").read_text()) == ids


def test_another_run_of_the_same_name_has_another_id(tmp_path: Path, opened: list[tuple[str, str]]) -> None:
    played(config_of(tmp_path / "a", "wandb"))
    played(config_of(tmp_path / "b", "wandb"))
    assert len(set(opened)) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"wandb": 3}'])
def test_ids_that_cannot_be_read_are_made_anew(tmp_path: Path, damage: str, opened: list[tuple[str, str]]) -> None:
    played(config_of(tmp_path, "wandb"))
    (tmp_path / "one" / "trackers.json").write_text(damage)
    played(config_of(tmp_path, "wandb"), 1)
    assert len(set(opened)) == 2


def test_each_tracker_that_fails_is_told_once_and_the_log_is_whole(tmp_path: Path, opened: Any) -> None:
    told = played(config_of(tmp_path, "wandb", "trackio", "wandb"))
    assert sorted(line.split(":")[1] for line in told) == [" trackio", " wandb"]
    assert json.loads((tmp_path / "one" / "metrics.jsonl").read_text()) == {"step": 1, "reward": 0.5}


def test_only_the_first_process_has_trackers(tmp_path: Path, opened: list[tuple[str, str]]) -> None:
    assert played(config_of(tmp_path, "wandb"), ranks=Ranks(1, 2)) == []
    assert opened == [] and not (tmp_path / "one").exists()


def test_trackers_and_project_may_change_when_a_run_is_continued(tmp_path: Path, opened: Any) -> None:
    config = config_of(tmp_path)
    played(config)
    played(replace(config, run=replace(config.run, trackers=["wandb"], project="other")), 1)
    assert [name for name, _ in opened] == ["wandb"]


def test_without_trackers_nothing_is_kept_of_them(tmp_path: Path) -> None:
    played(config_of(tmp_path))
    assert not (tmp_path / "one" / "trackers.json").exists()


def test_a_missing_package_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"wandb, trackio not installed; pip install 'rllava-gym\[trackers\]'"):
        RunDirectory(config_of(tmp_path, "wandb", "trackio"))
    assert not (tmp_path / "one").exists()


def test_a_folder_of_the_same_name_is_not_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_tracker").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(ConfigError, match="some_tracker not installed"):
        trackers.check_installed(["some_tracker"])
    trackers.check_installed(["json"])
