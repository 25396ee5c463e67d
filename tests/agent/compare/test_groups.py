"""Which runs are averaged, what groups are called, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.compare.groups import Group, benchmarks, grouped
from agent.compare.runs import read_run
from agent.errors import ConfigError
from tests.agent.compare.written import write_run

RLOO: dict[str, Any] = {"algorithm": {"family": "rloo"}}


def groups_of(*paths: Path, **labels: str) -> dict[str, list[str]]:
    return {g.label: [run.name for run in g.runs] for g in made(*paths, labels=labels)}


def made(*paths: Path, labels: dict[str, str] | None = None) -> tuple[Group, ...]:
    return grouped([read_run(path) for path in paths], labels or {})


def test_runs_that_differ_in_seed_and_name_alone_are_one_group(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, f"run{seed}", seed) for seed in (1, 0)]
    assert groups_of(*paths) == {"all runs": ["run0", "run1"]}


def test_groups_are_called_by_what_distinguishes_them(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, f"{name}{seed}", seed, **o) for name, o in (("a", {}), ("b", RLOO)) for seed in (0, 1)]
    assert groups_of(*paths) == {"algorithm.family: grpo": ["a0", "a1"], "algorithm.family: rloo": ["b0", "b1"]}


def test_long_labels_are_shortened_and_stay_different(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [
        {"optimizer": {"lr": lr, "beta1": 0.5, "beta2": 0.5, "weight_decay": 0.25}} for lr in (0.1, 0.2)
    ]
    options.append({"optimizer": {"lr": 0.1}})
    paths = [write_run(tmp_path, f"run{i}", **o) for i, o in enumerate(options)]
    labels = list(groups_of(*paths))
    assert labels[0] == "optimizer.lr: 0.1 (+3)" and labels[1] == "optimizer.lr: 0.2 (+3)"
    assert len(set(labels)) == 3


def test_an_option_that_an_earlier_version_did_not_have_was_its_default(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, f"run{seed}", seed) for seed in (0, 1)]
    recorded = yaml.safe_load((paths[0] / "config.yaml").read_text())
    del recorded["config"]["failures"], recorded["config"]["optimizer"]["rates"]
    (paths[0] / "config.yaml").write_text(yaml.safe_dump(recorded))
    assert list(groups_of(*paths)) == ["all runs"]


def test_a_label_names_a_group_and_may_join_what_differs(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, "a0"), write_run(tmp_path, "a1", 1), write_run(tmp_path, "b0", **RLOO)]
    assert groups_of(*paths, **{"a*": "mine"}) == {"mine": ["a0", "a1"], "algorithm.family: rloo": ["b0"]}
    (both,) = made(*paths, labels={"*": "both"})
    assert both.label == "both" and both.mixed == ("algorithm.family",)


def test_a_label_that_fits_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'z\*': fits none of the runs a0"):
        made(write_run(tmp_path, "a0"), labels={"z*": "mine"})


@pytest.mark.parametrize("other", [{"env_id": "Other-v0"}, {"metric": "f1"}])
def test_runs_of_different_environments_or_metrics_are_not_averaged(tmp_path: Path, other: dict[str, Any]) -> None:
    paths = [write_run(tmp_path, "a0"), write_run(tmp_path, "a1", 1, **other)]
    with pytest.raises(ConfigError, match=r"a0 and a1 are not to be averaged: their (environments|metrics) are"):
        made(*paths, labels={"*": "both"})


def test_one_run_twice_is_refused(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, "a0"), write_run(tmp_path, "copy")]
    with pytest.raises(ConfigError, match=r"a0 and .*copy are one run twice \(seed 0"):
        made(*paths)
    assert groups_of(*paths, copy="copied") == {"all runs": ["a0"], "copied": ["copy"]}


def test_environments_and_metrics_have_tables_of_their_own(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, "a"), write_run(tmp_path, "b", env_id="Other-v0"), write_run(tmp_path, "c", **RLOO)]
    found = [(one.env_id, one.metric, len(one.groups)) for one in benchmarks(made(*paths))]
    assert found == [("Some/Env-v0", "accuracy", 2), ("Other-v0", "accuracy", 1)]


def test_an_unfinished_run_stands_beside_the_others_of_its_environment_and_is_marked(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, "a"), write_run(tmp_path, "b", after=None, **RLOO)]
    (one,) = benchmarks(made(*paths))
    assert [group.title for group in one.groups] == [
        "algorithm.family: grpo",
        "algorithm.family: rloo [1 of 1 unfinished]",
    ]
