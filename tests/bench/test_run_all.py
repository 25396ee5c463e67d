"""The command that measures everything: its options, and where a user finds it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench" / "run_all.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_name_that_is_no_figure_is_refused_with_those_that_are() -> None:
    done = run("--only", "grpo_step_57px")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "grpo_step_57px" in done.stderr and "grpo_step_56px" in done.stderr and "borrowed" in done.stderr


def test_without_a_gpu_it_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = run("--device", "cuda", "--only", "step_448px_2b")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "no GPU" in done.stderr


def test_figures_of_other_benches_alone_are_taken_over_at_once(tmp_path: Path) -> None:
    done = run("--only", "borrowed", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "sandbox_print_vs_exec_run" in (tmp_path / "results.json").read_text()
    assert (tmp_path / "README.md").read_text() == done.stdout


def test_it_is_listed_where_a_user_looks() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make bench " in told and "make bench-profile " in told
