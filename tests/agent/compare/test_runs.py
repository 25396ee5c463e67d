"""Reading a run's folder."""

from pathlib import Path

import pytest

from agent.compare.runs import read_run
from agent.errors import RunDirectoryError
from tests.agent.compare.written import write_run


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, "one", seed=3))
    assert (run.name, run.seed, run.step, run.steps, run.finished) == ("one", 3, 40, 40, True)
    assert run.metric == "accuracy"
    assert run.series("validation") == [(10, 0.25), (20, 0.5), (30, 0.75), (40, 1.0)]
    assert run.after == {"greedy": [1.0, 0.0, 1.0, 1.0]}


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = write_run(tmp_path, "one", validations=(0.5,), after=None)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "rew')
    run = read_run(path)
    assert (run.finished, run.step, run.metric, run.after) == (False, 10, None, {})


def test_a_run_that_has_only_begun_is_read(tmp_path: Path) -> None:
    path = write_run(tmp_path, "one", after=None)
    (path / "metrics.jsonl").unlink()
    (path / "evaluations" / "before.json").unlink()
    run = read_run(path)
    assert (run.step, run.before, run.series("reward"), run.episodes()) == (0, {}, [], {0: 0})


def test_episodes_are_groups_times_siblings_and_those_that_were_replaced(tmp_path: Path) -> None:
    sizes = {"prompts_per_step": 4, "group_size": 2}
    plain = read_run(write_run(tmp_path, "plain", rollout=sizes)).episodes()
    again = read_run(write_run(tmp_path, "again", rollout=sizes, lines={"resampled": 0.5})).episodes()
    assert (plain[0], plain[1], plain[40]) == (0, 8, 320)
    assert (again[1], again[40]) == (12, 480)


def test_no_folder_and_no_run_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no such folder"):
        read_run(tmp_path / "none")
    with pytest.raises(RunDirectoryError, match=r"not a run, there is no config\.yaml"):
        read_run(tmp_path)


def test_the_folder_of_all_runs_is_told_with_the_runs_in_it(tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    write_run(tmp_path, "two")
    with pytest.raises(RunDirectoryError, match=r"it holds runs: .*\{one,two\}"):
        read_run(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "other: 1", "config: 3", "config: {run: {seed: 1}}"])
def test_a_damaged_configuration_is_told_with_its_file(tmp_path: Path, damage: str) -> None:
    path = write_run(tmp_path, "one")
    (path / "config.yaml").write_text(damage)
    with pytest.raises(RunDirectoryError, match=r"config\.yaml"):
        read_run(path)


@pytest.mark.parametrize("name", ["report.json", "evaluations/before.json", "evaluations/after.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_result_is_told_with_its_file(tmp_path: Path, name: str, damage: str) -> None:
    path = write_run(tmp_path, "one")
    (path / name).write_text(damage)
    with pytest.raises(RunDirectoryError, match=name.rpartition("/")[2]):
        read_run(path)
