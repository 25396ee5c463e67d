"""Whole runs that are watched."""

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.run import run
from agent.tracking import trackers
from tests.agent.run_fixtures import Hooks, quiet, small_config
from tests.agent.tracking.needed import needs_trackio, needs_wandb
from tests.agent.tracking.shown import trackio_rows, wandb_history, wandb_runs


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    Hooks.set(None)


def losing(*_: Any) -> Any:
    raise OSError("no network")


def test_a_tracker_that_fails_is_told_once_and_the_run_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "_wandb", losing)
    monkeypatch.setattr("agent.run_directory.check_installed", lambda names: None)
    console, told = quiet()
    assert run(small_config(tmp_path, "watched", run={"name": "watched", "trackers": ["wandb"]}), console).finished
    assert told.getvalue().count("no network") == 1
    assert run(small_config(tmp_path, "alone", run={"name": "alone"}), quiet()[0]).finished
    rewards = [
        [json.loads(line)["reward"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("watched", "alone")
    ]
    assert rewards[0] == rewards[1]
    board = EventAccumulator(str(tmp_path / "alone" / "tensorboard"), size_guidance={"images": 0, "tensors": 0})
    board.Reload()
    tags = board.Tags()
    assert [event.step for event in board.Tensors("samples/1/text_summary")] == [1, 2, 3]
    assert {"config/text_summary", "results/text_summary"} <= set(tags["tensors"])
    assert "samples/1/image_1" in tags["images"]
    assert {"reward", "validation"} <= set(tags["scalars"])


@pytest.mark.parametrize("_", [pytest.param(None, marks=[*needs_wandb, *needs_trackio])])
def test_a_run_is_watched_by_real_trackers_and_continued_in_the_same_places(tmp_path: Path, _: None) -> None:
    class Stop(Exception):
        pass

    config = small_config(
        tmp_path, "watched", run={"name": "watched", "trackers": ["wandb", "trackio"], "project": "watched"}
    )

    def stop(count: int) -> None:
        if count == 30:
            raise Stop

    Hooks.set(stop)
    with pytest.raises(Exception):  # noqa: B017, PT011 - an environment broke: what is looked at comes after it
        run(config, quiet()[0])
    Hooks.set(None)
    console, told = quiet()
    assert run(config, console).finished
    assert "run.trackers" not in told.getvalue()
    folder = tmp_path / "watched"
    ids = json.loads((folder / "trackers.json").read_text())
    assert {found.run_id for found in wandb_runs(folder)} == {ids["wandb"]} and len(wandb_runs(folder)) == 2
    history = wandb_history(folder)
    assert [line["step"] for line in history if "reward" in line] == [1, 2, 3]
    assert [line["step"] for line in history if "samples/nrows" in line] == [1, 2, 3]
    rows = trackio_rows("watched", ids["trackio"])
    assert [step for step, row in rows if "reward" in row] == [1, 2, 3]
    assert "test/gain/greedy" in rows[-1][1] and rows[-1][0] == 3
