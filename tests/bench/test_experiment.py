"""The experiments of the paper: what is read off runs, what pages say, and that their figures are kept."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("sanity", "grpo-vs-rloo", "vllm-vs-hf", "custom-estimator", "batch-sweep")


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The command's module, with the path that a script of that folder has."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import experiment as module

    yield module
    for name in set(sys.modules) - before:
        if name == "experiment" or name.startswith("experiments"):
            del sys.modules[name]


def test_every_experiment_is_listed_where_a_user_looks(experiment: ModuleType) -> None:
    assert experiment.NAMES == NAMES
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(name in told for name in NAMES) and "make experiment NAME=" in told


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_its_page_its_figures_and_its_picture(name: str) -> None:
    folder = ROOT / "bench" / "experiments"
    page, kept = (folder / f"{name}.md").read_text(), json.loads((folder / f"{name}.json").read_text())
    assert f"`make experiment NAME={name}` at commit {kept['commit']} on {kept['machine']}" in page
    assert "-dirty" not in kept["commit"]
    assert f"({name}.png)" in page and (folder / f"{name}.png").stat().st_size > 5_000
    assert "paper/" in page.split("At the published size", 1)[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_drawn_from_what_is_kept(experiment: ModuleType, name: str, tmp_path: Path) -> None:
    kept = json.loads((ROOT / "bench" / "experiments" / f"{name}.json").read_text())
    experiment.module_of(name).plot(kept["found"], tmp_path / "again.png")
    assert (tmp_path / "again.png").stat().st_size > 5_000


def test_episodes_are_counted_to_the_first_validation_that_is_good_enough(experiment: ModuleType) -> None:
    from experiments.learning_runs import needed, told

    curve = [(0, 0.5), (10, 0.69), (20, 0.7), (30, 0.6), (40, 0.9)]
    assert (needed(curve, 0.7, 128), needed(curve, 0.5, 128), needed(curve, 0.95, 128)) == (20 * 128, 0, None)
    assert (told(2560, 5120), told(None, 5120)) == ("2,560", "more than 5,120")


def test_a_page_has_the_command_the_table_the_picture_and_the_published_size(experiment: ModuleType) -> None:
    from experiments.finding import Finding

    finding = Finding("Title", "Told.", ("a", "b"), [("1", "2")], ["A note."], ["torchrun paper/counting"], {})
    text = experiment.page("sanity", finding, "abc", "a machine")
    expected = [
        "# Title",
        "`make experiment NAME=sanity` at commit abc on a machine. Told.",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "![Title](sanity.png)",
        "A note.",
        "```sh\ntorchrun paper/counting\n```",
    ]
    places = [text.index(part) for part in expected]
    assert places == sorted(places)


def test_without_vllm_it_says_how_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "experiment.py"), "vllm-vs-hf", "--runs", str(tmp_path)]
    environment = os.environ | {"VLLM_VENV": str(tmp_path / "nowhere")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "nowhere" in done.stderr and ".ci/vllm" in done.stderr and "VLLM_VENV" in done.stderr


@pytest.mark.slow
def test_a_measurement_tells_each_step_and_the_memory_above_what_was_there(experiment: ModuleType) -> None:
    from experiments.measure import measured

    options = {"cold_start.sources": "[]", "rollout.prompts_per_step": "1", "rollout.group_size": "2"}
    options |= {"evaluation.validate_every": "0"}
    found: dict[str, Any] = measured(sys.executable, "training", 2, "counting", options)
    assert [each["episodes"] for each in found["rounds"]] == [2, 2]
    assert all(each["tokens"] >= 2 and each["seconds"] > 0 and each["cpu"] > 0 for each in found["rounds"])
    assert found["before"] < found["resident"] < found["peak"]
    with pytest.raises(RuntimeError, match="no-such-recipe"):
        measured(sys.executable, "training", 1, "no-such-recipe", {})
