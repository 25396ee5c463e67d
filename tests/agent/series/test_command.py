"""`python -m agent series`: what it runs, what it leaves and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.__main__ import main
from tests.agent.series.written import report, write_run

REPOSITORY = Path(__file__).parents[3]
THREE = "judged: counting\nruns: [{recipe: counting}, {recipe: geometry}, {recipe: search}]\n"
TINY = """\
judged: small
runs:
- name: small
  recipe: counting
  options: &short
    cold_start.max_steps: 2
    cold_start.check_every: 2
    cold_start.check_episodes: 4
    rollout.prompts_per_step: 2
    rollout.group_size: 2
    optimizer.steps: 1
    evaluation.validation_episodes: 4
    evaluation.test_episodes: 8
- name: other
  recipe: counting
  options: {<<: *short, run.seed: 1}
"""


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


class Children:
    """In place of processes: each call is noted, leaves a report, and gives the next status."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.statuses: list[int] = []
        self.reports: dict[str, dict] = {}
        self.names: list[str] = []
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], stop: object) -> int:
        name = command[-1].removeprefix("--run.name=")
        self.commands.append(command)
        self.names.append(name)
        status = self.statuses.pop(0) if self.statuses else 0
        if status == 130:
            stop.requested = True
        if status == 0:
            write_run(self.folder / name, self.reports.get(name, report()))
        return status


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    children = Children(tmp_path / "runs")
    monkeypatch.setattr("agent.series.command.run_child", children)
    (tmp_path / "series.yaml").write_text(THREE)

    def command(*arguments: str) -> int:
        return main(["series", str(tmp_path / "series.yaml"), "--folder", str(tmp_path / "runs"), *arguments])

    command.children = children
    return command


def test_runs_are_training_commands_of_their_own_in_their_order(series, capsys: pytest.CaptureFixture[str]) -> None:
    assert series() == 0
    assert series.children.names == ["counting", "geometry", "search"]
    assert series.children.commands[1][:5] == [sys.executable, "-m", "agent", "train", "geometry"]
    told = capsys.readouterr().out
    assert told.index("run 1 of 3: counting") < told.index("run 3 of 3: search") < told.index("report.json")


@pytest.mark.parametrize(("low", "status", "word"), [(0.1, 0, "learned"), (0.0, 3, "is not shown to have learned")])
def test_the_judged_runs_gain_decides(
    series, low: float, status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    series.children.reports = {"counting": report(low), "geometry": report(-0.1)}
    assert series() == status
    assert f"counting {word}" in capsys.readouterr().out


def test_without_a_judged_run_no_gain_is_needed(series, tmp_path: Path) -> None:
    (tmp_path / "series.yaml").write_text(THREE.partition("\n")[2])
    series.children.reports = {"counting": report(-0.5)}
    assert series() == 0
    assert "judged" not in json.loads((tmp_path / "runs" / "report.json").read_text())


def test_the_summary_and_the_pages_are_shown(series, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    series()
    told = capsys.readouterr().out
    for part in ("+45.0 points", "runs/search/report.html", "runs/report.json"):
        assert part in told
    found = json.loads((tmp_path / "runs" / "report.json").read_text())
    assert {row["run"] for row in found["rows"]} == {"counting", "geometry", "search"}
    assert found["judged"] == {"run": "counting", "low": 0.3, "learned": True}


def test_after_a_failure_nothing_more_is_started(series, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    series.children.statuses = [0, 5]
    assert series() == 1
    assert series.children.names == ["counting", "geometry"]
    error = capsys.readouterr().err
    assert "geometry failed with status 5" in error and "not started: search" in error
    assert not (tmp_path / "runs" / "report.json").exists()


def test_a_run_that_a_signal_ends_has_failed(series, capsys: pytest.CaptureFixture[str]) -> None:
    series.children.statuses = [-9]
    assert series() == 1
    assert "counting was ended by SIGKILL" in capsys.readouterr().err


def test_an_interrupted_run_ends_the_series(series, capsys: pytest.CaptureFixture[str]) -> None:
    series.children.statuses = [0, 130]
    assert series() == 130
    assert series.children.names == ["counting", "geometry"]
    assert "interrupted in run 2 of 3, geometry; the same command goes on" in capsys.readouterr().out


def test_after_an_interruption_no_run_is_started_though_the_last_one_finished(
    series, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finishing(command: list[str], stop: object) -> int:
        status = series.children(command, stop)
        stop.requested = True
        return status

    monkeypatch.setattr("agent.series.command.run_child", finishing)
    assert series() == 130
    assert series.children.names == ["counting"]


def test_a_run_that_says_it_was_interrupted_though_nobody_did_has_failed(
    series, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.series.command.run_child", lambda *_: 130)
    assert series() == 1
    assert "counting failed with status 130" in capsys.readouterr().err


def test_chosen_runs_alone_are_made_and_summed_up(series, tmp_path: Path) -> None:
    series.children.reports = {"search": report(-0.1)}
    assert series("--only", "search", "geometry") == 0
    assert series.children.names == ["geometry", "search"]
    found = json.loads((tmp_path / "runs" / "report.json").read_text())
    assert {row["run"] for row in found["rows"]} == {"geometry", "search"}


@pytest.mark.parametrize("arguments", [["--only", "nothing"], []])
def test_a_mistake_starts_nothing(series, arguments: list[str], tmp_path: Path) -> None:
    if not arguments:
        (tmp_path / "series.yaml").write_text(THREE.replace("recipe: search", "recipe: serch"))
    assert series(*arguments) == 1
    assert series.children.names == []


@pytest.mark.parametrize("arguments", [[], ["a.yaml", "--fodler", "x"], ["a.yaml", "b.yaml"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["series", *arguments])
    assert ended.value.code == 2
    assert "usage: python -m agent series" in capsys.readouterr().err


@pytest.mark.slow
def test_a_series_is_interrupted_in_its_second_run_and_goes_on_there(tmp_path: Path) -> None:
    """Real runs of seconds: the same command finds the first one finished, and continues the second one."""
    (tmp_path / "series.yaml").write_text(TINY)
    command = [sys.executable, "-m", "agent", "series", str(tmp_path / "series.yaml"), "--folder", "made"]
    told = tmp_path / "told.txt"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with told.open("w") as output:
        first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
        started = tmp_path / "made" / "other" / "seconds.json"
        waiting = threading.Thread(target=_interrupt_after, args=(first, started))
        waiting.start()
        assert first.wait(240) == 130, told.read_text()
        waiting.join()
    assert "interrupted in run 2 of 2, other" in told.read_text()
    assert not (tmp_path / "made" / "other" / "report.json").exists()
    small = (tmp_path / "made" / "small" / "report.json").read_text()
    second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found = json.loads((tmp_path / "made" / "report.json").read_text())
    assert second.returncode == (0 if found["judged"]["learned"] else 3), second.stdout + second.stderr
    assert "small is finished" in second.stdout and "other is finished" not in second.stdout
    assert (tmp_path / "made" / "small" / "report.json").read_text() == small
    assert [(each["run"], each["decoding"]) for each in found["paired_differences"]] == [
        ("small", "greedy"),
        ("small", "sampled"),
        ("other", "greedy"),
        ("other", "sampled"),
    ]


def _interrupt_after(process: subprocess.Popen, file: Path) -> None:
    """Interrupt a series once a file is there."""
    until = time.monotonic() + 200
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
