"""`python -m agent compare`, from the command line to the files."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agent.__main__ import main
from agent.run import run
from tests.agent.compare.written import write_run
from tests.agent.run_fixtures import quiet, small_config

RLOO: dict[str, Any] = {"algorithm": {"family": "rloo"}}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "200")


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def error(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    return captured.err


def four(tmp_path: Path) -> list[Path]:
    options: list[tuple[str, dict[str, Any]]] = [("a", {}), ("b", {"after": [1.0] * 4, **RLOO})]
    return [write_run(tmp_path, f"{name}{seed}", seed, **given) for name, given in options for seed in (0, 1)]


def test_all_tables_are_shown_with_what_their_intervals_are_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = told(capsys, *four(tmp_path))
    assert "algorithm.family: rloo - algorithm.family: grpo" in shown
    assert "2 seeds" in shown and "4 tasks" in shown
    assert "+25.0 points" in shown
    assert "100.0 (100.0 to 100.0)" in shown
    for title in ("runs", "on test tasks", "baselines", "differences", "sample efficiency", "cost"):
        assert title in shown


def test_everything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "deep"
    shown = told(capsys, *four(tmp_path), "--output", out, "--threshold", "0.5", "--threshold", "2")
    assert str(out / "compare.md") in shown
    assert "![curves](compare.png)" in (out / "compare.md").read_text()
    with Image.open(out / "compare.png") as image:
        assert image.size[0] > 500
    written = json.loads((out / "compare.json").read_text())
    assert [group["label"] for group in written["groups"]] == ["algorithm.family: grpo", "algorithm.family: rloo"]
    (benchmark,) = written["benchmarks"]
    half, beyond = benchmark["groups"]["algorithm.family: rloo"]["reached"]
    assert half["steps"]["value"] == 20.0 and half["episodes"]["value"] == 20 * 16 * 8
    assert beyond["by"] == 0 and beyond["steps"] is None
    assert [one["over"] for one in benchmark["differences"]] == ["tasks", "seeds"]


def test_what_is_not_a_number_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, write_run(tmp_path, "a"), write_run(tmp_path, "b", after=None, **RLOO), "--output", tmp_path)
    text = (tmp_path / "compare.json").read_text()
    assert "NaN" not in text and json.loads(text)["benchmarks"][0]["differences"][0]["p"] is None


def test_an_unfinished_run_is_shown_and_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, write_run(tmp_path, "a", validations=(0.5, 0.6), after=None))
    assert "unfinished, 20 of 40" in shown and "all runs [1 of 1 unfinished]" in shown


def test_environments_are_in_separate_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, write_run(tmp_path, "a"), write_run(tmp_path, "b", env_id="Other-v0", metric=None))
    assert "Some/Env-v0: accuracy, on test tasks" in shown and "Other-v0: return, on test tasks" in shown
    assert "differences" not in shown


def test_a_label_names_a_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, *four(tmp_path), "--label", "a*=mine", "--label", "b*=yours=[x]")
    assert "yours=[x] - mine" in shown


@pytest.mark.parametrize("label", ["a*", "=x", "a*= "])
def test_a_label_that_is_none_is_told(tmp_path: Path, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected GLOB=NAME" in error(capsys, write_run(tmp_path, "a"), "--label", label)


def test_what_is_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in error(capsys, tmp_path / "none")
    path = write_run(tmp_path, "a")
    assert "given more than once" in error(capsys, path, f"{path}/")


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    assert main(["compare", str(write_run(tmp_path, "a")), "--output", str(tmp_path / "out")]) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_without_runs_the_usage_is_shown_as_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["compare"])
    assert left.value.code == 2 and "RUN" in capsys.readouterr().err


def test_real_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for family in ("grpo", "rloo"):
        where = {"name": family, "save_every": 9, "record_every": 9}
        run(small_config(tmp_path, algorithm={"family": family}, run=where), quiet()[0])
    shown = told(capsys, tmp_path / "grpo", tmp_path / "rloo", "--output", tmp_path / "out")
    assert "algorithm.family: rloo - algorithm.family: grpo" in shown and "4 tasks" in shown
    (benchmark,) = json.loads((tmp_path / "out" / "compare.json").read_text())["benchmarks"]
    after = [
        json.loads((tmp_path / name / "evaluations" / "after.json").read_text())["greedy"] for name in ("grpo", "rloo")
    ]
    assert benchmark["groups"]["algorithm.family: grpo"]["results"][0]["after"]["value"] == pytest.approx(
        sum(after[0]) / 4
    )
    assert benchmark["differences"][0]["value"] == pytest.approx((sum(after[1]) - sum(after[0])) / 4)
    assert benchmark["groups"]["algorithm.family: grpo"]["cost"]["seconds"]["rollout"]["value"] > 0
