"""A run on disk: which run it is, who writes it, and what a killed process left."""

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.config import Config, EnvironmentConfig, RunConfig
from agent.errors import RunDirectoryError
from agent.run_directory import RunDirectory
from tests.agent.run_fixtures import disk_of_one_mib, largest_file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of_one_mib(tmp_path):
        yield tmp_path


def config_of(folder: Path, **env: object) -> Config:
    return Config(EnvironmentConfig("X-v0", dict(env)), run=RunConfig("one", str(folder)))


def opened(config: Config) -> RunDirectory:
    directory = RunDirectory(config)
    directory.close()
    return directory


def test_it_says_what_ran_and_with_which_versions(tmp_path: Path) -> None:
    written = yaml.safe_load((opened(config_of(tmp_path, cells=3)).path / "config.yaml").read_text())
    assert written["config"]["env"] == {
        "id": "X-v0",
        "kwargs": {"cells": 3},
        "train": {"split": "train"},
        "validation": {"split": "validation"},
        "test": {"split": "test"},
    }
    assert {"python", "torch", "transformers", "gymnasium"} <= set(written["versions"])


def test_the_same_configuration_is_let_in_again(tmp_path: Path) -> None:
    for _ in range(2):
        opened(config_of(tmp_path, size=(3, 4), when=datetime.date(2020, 1, 2), names={1: "one"}))


def test_another_configuration_is_refused_with_every_field_that_differs(tmp_path: Path) -> None:
    opened(config_of(tmp_path, cells=3))
    other = config_of(tmp_path, cells=4)
    other = replace(other, optimizer=replace(other.optimizer, lr=0.5))
    with pytest.raises(RunDirectoryError) as raised:
        RunDirectory(other)
    message = str(raised.value)
    assert "env.kwargs.cells: was 3, now 4" in message
    assert "optimizer.lr: was 1e-06, now 0.5" in message
    assert "run.seed" not in message
    assert "--run.name" in message


def test_an_option_that_was_not_given_before_is_a_difference(tmp_path: Path) -> None:
    opened(config_of(tmp_path))
    with pytest.raises(RunDirectoryError, match=r"env\.kwargs\.cells: was None, now 4"):
        RunDirectory(config_of(tmp_path, cells=4))


@pytest.mark.parametrize(
    ("area", "option", "value"),
    [
        ("run", "keep", 9),
        ("run", "save_every", 9),
        ("run", "record_every", 9),
        ("rollout", "threads", 9),
        ("check", "on_failure", "warn"),
        ("check", "max_gap", 0.5),
    ],
)
def test_what_does_not_change_the_result_may_change(tmp_path: Path, area: str, option: str, value: object) -> None:
    config = config_of(tmp_path)
    opened(config)
    opened(replace(config, **{area: replace(getattr(config, area), **{option: value})}))


@pytest.mark.parametrize(
    ("area", "option", "value"),
    [("run", "seed", 1), ("rollout", "group_size", 2), ("optimizer", "steps", 1), ("model", "dtype", "bfloat16")],
)
def test_what_changes_the_result_may_not(tmp_path: Path, area: str, option: str, value: object) -> None:
    config = config_of(tmp_path)
    opened(config)
    with pytest.raises(RunDirectoryError, match=rf"{area}\.{option}"):
        opened(replace(config, **{area: replace(getattr(config, area), **{option: value})}))


def test_a_run_that_was_moved_and_renamed_continues(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    opened(config)
    (tmp_path / "one").rename(tmp_path / "two")
    opened(replace(config, run=replace(config.run, name="two")))


def test_a_refused_directory_is_not_left_locked(tmp_path: Path) -> None:
    opened(config_of(tmp_path))
    with pytest.raises(RunDirectoryError) as raised:
        RunDirectory(config_of(tmp_path, cells=4))
    opened(config_of(tmp_path))  # while the exception still holds the frames of the refused one
    assert raised.value.__traceback__ is not None


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = RunDirectory(config_of(tmp_path))
    with pytest.raises(RunDirectoryError, match="is being written by another process"):
        RunDirectory(config_of(tmp_path))
    first.close()
    opened(config_of(tmp_path))


def test_a_writer_in_another_process_is_refused_until_that_one_is_gone(tmp_path: Path) -> None:
    opened(config_of(tmp_path))
    holder = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    holder += "; print('held', flush=True); input()"
    lock = str(tmp_path / "one" / ".lock")
    with subprocess.Popen(
        [sys.executable, "-c", holder, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(RunDirectoryError, match="another process"):
            RunDirectory(config_of(tmp_path))
        other.kill()
    opened(config_of(tmp_path))


@pytest.mark.parametrize("damage", ["", "{", "just words", "other: 1"])
def test_a_damaged_configuration_is_told(tmp_path: Path, damage: str) -> None:
    path = opened(config_of(tmp_path)).path / "config.yaml"
    path.write_text(damage)
    with pytest.raises(RunDirectoryError, match=r"config\.yaml cannot be read"):
        RunDirectory(config_of(tmp_path))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file stands here")
    with pytest.raises(RunDirectoryError, match=r"cannot be written.*--run\.folder"):
        RunDirectory(config_of(tmp_path / "runs"))


def logged(config: Config, first: int, *steps: int) -> None:
    directory = RunDirectory(config)
    directory.begin(first)
    for step in steps:
        directory.log(step, {"reward": step / 10})
    directory.close()


def steps_of(config: Config) -> list[int]:
    directory = RunDirectory(config)
    lines = directory.metrics()
    directory.close()
    return [line["step"] for line in lines]


def test_metrics_come_back_as_they_were_logged(tmp_path: Path) -> None:
    logged(config_of(tmp_path), 0, 1, 2)
    directory = RunDirectory(config_of(tmp_path))
    assert directory.metrics() == [{"step": 1, "reward": 0.1}, {"step": 2, "reward": 0.2}]
    directory.close()


def test_lines_after_the_step_that_is_continued_from_are_removed(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    logged(config, 0, 1, 2, 3, 4)
    logged(config, 2, 3)
    assert steps_of(config) == [1, 2, 3]


@pytest.mark.parametrize(
    "rest", ['{"step": 3, "rew', '{"step"', "{}", "7", "[]", "null", "\x00\x00\x00", '{"step": "3"}']
)
def test_a_half_written_last_line_is_left_out_and_written_again(tmp_path: Path, rest: str) -> None:
    config = config_of(tmp_path)
    logged(config, 0, 1, 2)
    path = tmp_path / "one" / "metrics.jsonl"
    with path.open("a") as file:
        file.write(rest)
    assert steps_of(config) == [1, 2]
    logged(config, 2, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_kill_while_the_log_is_shortened_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path)
    logged(config, 0, 1, 2, 3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        directory = RunDirectory(config)
        with pytest.raises(KeyboardInterrupt):
            directory.begin(2)
        directory.close()
    assert steps_of(config) == [1, 2, 3]


def test_tensorboard_gets_the_same_numbers_and_forgets_what_is_done_again(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    logged(config, 0, 1, 2, 3)
    logged(config, 1, 2)
    events = EventAccumulator(str(tmp_path / "one" / "tensorboard"))
    events.Reload()
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("reward")] == [(1, 0.1), (2, 0.2)]


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    directory = RunDirectory(config_of(tmp_path))
    directory.write_json("evaluations/before.json", {"greedy": [0.5]})
    with largest_file(100), pytest.raises(RunDirectoryError, match=r"before\.json cannot be written"):
        directory.write_json("evaluations/before.json", list(range(1000)))
    assert directory.read_json("evaluations/before.json") == {"greedy": [0.5]}
    assert directory.read_json("evaluations/after.json") is None
    directory.close()


def log_many(directory: RunDirectory) -> None:
    for step in range(2, 200):
        directory.log(step, {f"metric/{n}": 1.0 for n in range(50)})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_full_disk_is_told_and_what_was_logged_is_read_back(small_disk: Path) -> None:
    config = config_of(small_disk)
    directory = RunDirectory(config)
    directory.begin(0)
    directory.log(1, {"reward": 0.5})
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(b"x" * 2_000_000)
    with pytest.raises(RunDirectoryError, match=r"No space left.*free some space"):
        log_many(directory)
    directory.close()
    (small_disk / "filler").unlink()
    again = RunDirectory(config)
    assert again.metrics()[0] == {"step": 1, "reward": 0.5}
    again.begin(1)
    again.log(2, {"reward": 0.25})
    assert [line["step"] for line in again.metrics()] == [1, 2]
    again.close()
