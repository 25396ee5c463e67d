"""A group's numbers, against those worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from agent.compare.groups import Group, grouped
from agent.compare.runs import read_run
from agent.compare.summary import baselines, common_threshold, cost, outcomes, reached
from agent.evaluate import bootstrap_interval
from tests.agent.compare.written import write_run


def group(tmp_path: Path, *runs: dict[str, Any]) -> Group:
    paths = [write_run(tmp_path, f"run{seed}", seed, **options) for seed, options in enumerate(runs)]
    (found,) = grouped([read_run(path) for path in paths], {})
    return found


def test_several_seeds_are_averaged_and_the_interval_is_over_seeds(tmp_path: Path) -> None:
    runs = [{"after": [1.0, 1.0, 1.0, 1.0]}, {"after": [0.0, 1.0, 0.0, 1.0]}, {"after": [0.0, 1.0, 0.0, 0.0]}]
    (outcome,) = outcomes(group(tmp_path, *runs))
    assert outcome.after is not None and outcome.gain is not None
    assert (outcome.after.value, outcome.after.over, outcome.after.count) == (pytest.approx(1.75 / 3), "seeds", 3)
    assert (outcome.after.low, outcome.after.high) == bootstrap_interval([1.0, 0.5, 0.25])
    assert outcome.gain.value == pytest.approx((0.75 + 0.25 + 0.0) / 3)


def test_of_one_seed_the_interval_is_over_episodes_and_that_of_the_report(tmp_path: Path) -> None:
    found = group(tmp_path, {})
    (outcome,) = outcomes(found)
    report = found.runs[0].report
    assert outcome.after is not None and outcome.gain is not None and report is not None
    row = next(row for row in report["rows"] if row["name"] == "after")
    assert (outcome.after.value, outcome.after.low, outcome.after.high) == (row["value"], row["low"], row["high"])
    assert (outcome.after.over, outcome.after.count) == ("episodes", 4)
    paired = report["paired_differences"][0]
    assert (outcome.gain.value, outcome.gain.low, outcome.gain.high) == (paired["value"], paired["low"], paired["high"])


def test_a_task_that_the_infrastructure_broke_is_left_out(tmp_path: Path) -> None:
    (outcome,) = outcomes(group(tmp_path, {"before": [0.0, None, 1.0, 0.0], "after": [1.0, 1.0, None, 1.0]}))
    assert outcome.after is not None and outcome.gain is not None
    assert (outcome.after.value, outcome.after.count) == (1.0, 3)
    assert (outcome.gain.value, outcome.gain.count) == (1.0, 2)


def test_an_unfinished_run_has_no_after(tmp_path: Path) -> None:
    (outcome,) = outcomes(group(tmp_path, {"after": None}))
    assert outcome.before is not None and outcome.before.value == 0.25
    assert outcome.after is None and outcome.gain is None


def test_baselines_are_those_of_the_finished_runs(tmp_path: Path) -> None:
    found = baselines(group(tmp_path, {}, {}, {"after": None}))
    assert list(found) == ["blind"] and found["blind"].value == 0.25 and found["blind"].count == 2


def test_the_first_validation_at_or_above_the_threshold_counts(tmp_path: Path) -> None:
    rises, dips = {"validations": [0.25, 0.5, 0.75, 1.0]}, {"validations": [0.5, 0.8, 0.5, 0.8]}
    found = group(tmp_path, rises, dips)
    half = reached(found, 0.5)
    assert half.steps is not None and half.episodes is not None
    assert (half.by, half.of, half.steps.value) == (2, 2, 15.0)
    assert half.episodes.value == 15 * 16 * 8
    assert reached(found, 0.75).steps.value == (30 + 20) / 2  # type: ignore[union-attr]


def test_runs_that_did_not_get_there_are_counted_and_not_averaged(tmp_path: Path) -> None:
    found = group(tmp_path, {}, {"validations": [0.1, 0.2, 0.3, 0.4]})
    whole, beyond = reached(found, 1.0), reached(found, 1.1)
    assert (whole.by, whole.of) == (1, 2) and whole.steps is not None and whole.steps.value == 40.0
    assert (beyond.by, beyond.of, beyond.steps, beyond.episodes) == (0, 2, None, None)


def test_the_common_threshold_is_the_best_that_all_finished_runs_reached(tmp_path: Path) -> None:
    best = {"validations": [0.2, 0.579, 0.3, 0.1]}
    unfinished = {"validations": [0.1], "after": None}
    assert common_threshold([group(tmp_path, {}, best, unfinished)]) == 0.57


def test_without_validations_there_is_no_threshold(tmp_path: Path) -> None:
    assert common_threshold([group(tmp_path, {"validations": []})]) is None


def test_cost_is_a_mean_over_steps_and_the_largest_memory(tmp_path: Path) -> None:
    found = cost(group(tmp_path, {}, {}))
    assert found.seconds["step"].value == 2.5 and "rollout" not in found.seconds
    assert found.peak_mib is not None and found.peak_mib.value == 140.0
    assert found.total is not None and found.total.value == 90.0
