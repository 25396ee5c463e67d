"""The examples of CONTRIBUTING.md are run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from agent.objective.plugin import check_options, resolve_estimator

REPOSITORY = Path(__file__).parents[1]


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)


def test_the_environment_of_the_example_trains_from_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(examples("python")[0])
    (tmp_path / "parity.yaml").write_text(examples("yaml")[0])
    small = "--optimizer.steps 2 --rollout.prompts_per_step 2 --evaluation.test_episodes 8 "
    small += "--evaluation.validation_episodes 4 --run.name parity"
    command = [sys.executable, "-m", "agent", "train", "parity.yaml", *small.split()]
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "after" in done.stdout
    assert (tmp_path / "runs" / "parity" / "report.json").exists()


def test_the_estimator_of_the_example_trains_by_one_option(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(examples("python")[1])
    (tmp_path / "parity.py").write_text(examples("python")[0])
    (tmp_path / "parity.yaml").write_text(examples("yaml")[0])
    small = (
        "--optimizer.steps 1 --rollout.prompts_per_step 2 --evaluation.test_episodes 0 --evaluation.validate_every 0 "
    )
    small += "--run.name mine --algorithm.advantage mine:leave_one_out"
    command = [sys.executable, "-m", "agent", "train", "parity.yaml", *small.split()]
    command += ["--algorithm.advantage_options", "{scale: 2.0}"]
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine" / "report.json").exists()


def test_the_estimator_of_the_example_leaves_each_trajectory_out_of_its_own_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(examples("python")[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    estimator = resolve_estimator("mine:leave_one_out")
    options = check_options(estimator, {"scale": 2})
    scores = torch.tensor([1.0, 0.0, 2.0, 5.0, 7.0])
    groups = torch.tensor([0, 0, 0, 1, 1])
    valid = torch.tensor([True, True, True, True, False])
    # 1 - (0 + 2) / 2, 0 - (1 + 2) / 2, 2 - (1 + 0) / 2; without a valid sibling there is nothing to compare with.
    expected = torch.tensor([0.0, -1.5, 1.5, 0.0, 0.0])
    torch.testing.assert_close(estimator.function(scores, groups, valid, **options), 2 * expected)
