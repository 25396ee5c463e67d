"""What the runs of a series came to, from reports written by hand."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import RunDirectoryError
from agent.series.summary import (
    FinishedRun,
    judgement,
    read_finished,
    series_report,
    summary_table,
    write_series_report,
)
from tests.agent.series.written import report, write_run

HERE = Path("runs/counting")


def shown(*runs: FinishedRun) -> str:
    told = io.StringIO()
    Console(file=told, width=80).print(summary_table(runs))
    return told.getvalue()


def test_the_table_has_means_gains_and_their_intervals() -> None:
    text = shown(FinishedRun("mine", HERE, report(low=0.3)))
    for part in ("mine", "RLLaVA/Counting-v0", "accuracy", "40.0%", "30.0 to 50.0%", "85.0%", "75.0 to 95.0%"):
        assert part in text
    assert "+45.0 points" in text and "+30.0 to +60.0" in text
    assert "62" in text, "seconds, rounded"
    assert "31.0%" not in text and "77.0%" not in text, "sampled scores stand in the runs' own reports"


def test_the_table_fits_into_80_columns_however_wide_its_numbers_are() -> None:
    rows = [{**row, "env_id": "RLLaVA/Grounding-v0", "value": 1.0, "low": 1.0, "high": 1.0} for row in report()["rows"]]
    wide = report(rows=rows, seconds=12345.6)
    wide["paired_differences"][0] |= {"value": 1.0, "low": -1.0, "high": 1.0}
    text = shown(FinishedRun("grounding", HERE, wide))
    for part in ("RLLaVA/Grounding-v0", "100.0 to 100.0%", "+100.0 points", "-100.0 to +100.0", "12346"):
        assert part in text
    assert "…" not in text


def test_returns_are_no_percentages() -> None:
    rows = [{**row, "metric": "return"} for row in report()["rows"]]
    text = shown(FinishedRun("own", HERE, report(rows=rows)))
    assert "0.85" in text and "+0.45" in text and "%" not in text.partition("\n")[2].replace("95%", "")


def test_a_name_is_no_markup() -> None:
    assert "[bold]" in shown(FinishedRun("[bold]", HERE, report()))


@pytest.mark.parametrize("missing", [{"rows": [], "paired_differences": []}, {"rows": None}, {"seconds": None}])
def test_a_run_without_numbers_has_its_line_nevertheless(missing: dict) -> None:
    assert "untested" in shown(FinishedRun("untested", HERE, report(**missing)))


def test_the_report_has_the_runs_rows_with_their_names() -> None:
    runs = [FinishedRun("a", HERE, report()), FinishedRun("b", HERE, report(seconds=38.5))]
    found = series_report(runs, "a")
    assert found["seconds"] == 100.0
    assert [row["run"] for row in found["rows"]] == ["a"] * 5 + ["b"] * 5
    assert found["rows"][0] == {"run": "a", **report()["rows"][0]}
    assert found["paired_differences"][2] == {"run": "b", **report()["paired_differences"][0]}
    assert found["judged"] == {"run": "a", "low": 0.3, "learned": True}


def test_without_a_judged_run_the_report_has_no_judgement() -> None:
    assert "judged" not in series_report([FinishedRun("a", HERE, report())], None)


@pytest.mark.parametrize(
    ("low", "learned"), [(0.001, True), (0.0, False), (-0.2, False), (float("nan"), False), (None, False)]
)
def test_only_a_gain_whose_whole_interval_lies_above_zero_counts(low: float, learned: bool) -> None:
    assert judgement([FinishedRun("a", HERE, report(low))], "a")["learned"] is learned


def test_the_sampled_gain_judges_nothing() -> None:
    differences = [{"decoding": "sampled", "value": 0.5, "low": 0.4, "high": 0.6}]
    found = judgement([FinishedRun("a", HERE, report(paired_differences=differences))], "a")
    assert found == {"run": "a", "low": None, "learned": False}


def test_the_judged_run_is_found_by_its_name() -> None:
    runs = [FinishedRun("a", HERE, report(0.3)), FinishedRun("b", HERE, report(-0.3))]
    assert judgement(runs, "b") == {"run": "b", "low": -0.3, "learned": False}


def test_a_finished_run_is_read_from_its_folder(tmp_path: Path) -> None:
    run = read_finished("a", write_run(tmp_path / "a", report()))
    assert run.report == report() and run.seconds == 61.5


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_report_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(RunDirectoryError, match=r"a/report\.json.*delete"):
        read_finished("a", write_run(tmp_path / "a", content))


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"a/report\.json"):
        read_finished("a", tmp_path / "a")


def test_the_report_is_written_whole(tmp_path: Path) -> None:
    path = write_series_report(tmp_path, {"seconds": 1})
    assert path == tmp_path / "report.json" and json.loads(path.read_text()) == {"seconds": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"report\.json: cannot be written.*does not run again"):
        write_series_report(tmp_path / "nowhere", {})
