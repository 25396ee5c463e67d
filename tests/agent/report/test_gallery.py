"""The table of all runs in a folder: what each line says, and what may stand in a folder."""

import json
import os
import re
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.report.gallery import Row, render_gallery, row_of
from agent.report.listing import Place, marks, name_of, places
from tests.agent.report.recorded import record, write_lines
from tests.agent.report.told import write_told

CONFIG = "config:\n  env: {id: Some/Env-v0}\n  algorithm: {family: grpo}\n  optimizer: {steps: 200}\n"


def begun(root: Path, name: str = "begun", *lines: object) -> Path:
    """A run that is not finished, with these lines of metrics."""
    run = root / name
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG)
    if lines:
        write_lines(run / "metrics.jsonl", *lines)
    return run


def row(root: Path, name: str) -> Row:
    place = places(root)[name]
    return row_of(place, marks(place, root))


def at(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def test_a_finished_run_tells_its_scores_before_and_after_and_the_gain_with_intervals(tmp_path: Path) -> None:
    write_told(tmp_path / "told")
    found = row(tmp_path, "told")
    assert found.before is not None and (found.before.value, found.before.interval) == ("25.0%", "12.5% to 37.5%")
    assert found.after is not None and (found.after.value, found.after.interval) == ("75.0%", "62.5% to 87.5%")
    assert found.gain is not None and (found.gain.value, found.gain.interval) == ("+50.0 points", "+25.0 to +75.0")
    assert (found.verdict, found.about, found.step, found.steps) == ("better", "Some/Env-v0 · grpo", 50, 50)
    assert found.state(found.changed + 1e6) == "finished"


def test_a_finished_run_tells_when_it_was_finished(tmp_path: Path) -> None:
    run = write_told(tmp_path / "told")
    at(run / "metrics.jsonl", 1000.0)
    at(run / "report.json", 1500.0)
    assert row(tmp_path, "told").since(1510.0) == "10 s ago"


def test_a_run_in_progress_tells_its_step_its_last_validation_and_when_it_last_wrote(tmp_path: Path) -> None:
    lines = [{"step": 1, "reward": 0.1, "validation": 0.25}, {"step": 2, "reward": 0.3}]
    at(begun(tmp_path, "begun", *lines) / "metrics.jsonl", 1000.0)
    found = row(tmp_path, "begun")
    assert (found.step, found.steps, found.share) == (2, 200, 1.0)
    assert found.latest is not None and (found.latest.value, found.latest.interval) == ("0.25", "validation, step 1")
    assert (found.state(1012.0), found.since(1012.0)) == ("running", "last step 12 s ago")
    assert (found.state(1000.0 + 7500), found.since(1000.0 + 7500)) == ("quiet", "last step 2 h 5 min ago")
    assert found.since(900.0) == "last step 0 s ago", "a clock elsewhere is ahead"


def test_without_a_validation_the_last_reward_is_told(tmp_path: Path) -> None:
    begun(tmp_path, "begun", {"step": 1, "reward": 0.1}, {"step": 2, "reward": 0.75}, {"step": 3, "reward": None})
    latest = row(tmp_path, "begun").latest
    assert latest is not None and (latest.value, latest.interval) == ("0.75", "reward, step 2")


def test_a_run_that_has_not_begun_to_train_tells_when_it_was_started(tmp_path: Path) -> None:
    at(begun(tmp_path) / "config.yaml", 500.0)
    found = row(tmp_path, "begun")
    assert (found.step, found.share, found.latest) == (None, None, None)
    assert found.since(561.0) == "started 1 min 1 s ago"


def test_a_line_that_is_being_written_is_no_fault_of_the_run(tmp_path: Path) -> None:
    run = begun(tmp_path, "begun", {"step": 1, "reward": 0.1})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    assert (row(tmp_path, "begun").step, row(tmp_path, "begun").notes) == (1, ())


def test_of_a_long_file_of_metrics_the_end_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.report.gallery.TAIL", 100)
    begun(tmp_path, "begun", *({"step": step, "reward": step / 100} for step in range(1, 100)))
    found = row(tmp_path, "begun")
    assert found.step == 99 and found.latest is not None and found.latest.value == "0.99" and found.notes == ()


def test_what_cannot_be_read_is_told_on_the_line_of_its_run(tmp_path: Path) -> None:
    run = begun(tmp_path, "begun", {"step": 3, "reward": 0.1})
    (run / "config.yaml").write_text("config: [")
    (run / "report.json").write_text('{"rows": [')
    found = row(tmp_path, "begun")
    assert found.step == 3 and found.state(found.changed) == "finished" and found.after is None
    config, report = found.notes
    assert config.startswith("config.yaml cannot be read") and report.startswith("report.json cannot be read")


def test_an_evaluation_tells_who_was_evaluated_and_the_score(tmp_path: Path) -> None:
    row_told = {"env_id": "Some/Env-v0", "decoding": "greedy", "metric": "accuracy", "low": 0.25, "high": 0.75}
    rows = [{**row_told, "name": name, "value": value} for name, value in (("blind", 0.25), ("served", 0.5))]
    write_lines(tmp_path / "scored/settings.json", json.dumps({"checkpoints": {"served": "/nowhere"}}))
    write_lines(tmp_path / "scored/results.json", json.dumps({"rows": rows}))
    found = row(tmp_path, "scored")
    assert (found.kind, found.about, found.state(0.0)) == ("evaluation", "served · Some/Env-v0", "finished")
    assert found.after is not None and (found.after.value, found.after.interval) == ("50.0%", "25.0% to 75.0%")


def test_an_evaluation_in_progress_tells_its_last_episode(tmp_path: Path) -> None:
    at(write_lines(tmp_path / "going/episodes/served.jsonl", record()), 1000.0)
    found = row(tmp_path, "going")
    assert (found.state(1005.0), found.since(1005.0)) == ("running", "last episode 5 s ago")


def test_runs_are_listed_and_those_one_folder_further_down_and_nothing_else(tmp_path: Path) -> None:
    for name in ("one", "suite/two", "suite/three", "deep/er/four", ".hidden"):
        begun(tmp_path, name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert sorted(places(tmp_path)) == ["one", "suite/three", "suite/two"]
    assert places(tmp_path / "missing") == {} == places(tmp_path / "file")


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    begun(tmp_path, "outside")
    begun(root, "inside")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("..")
    (root / "again").symlink_to("inside")
    (root / "circle").symlink_to("circle")
    assert sorted(places(root)) == ["again", "inside"]


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts", "evaluations/before_greedy.jsonl", "rollouts/images"])
def test_a_file_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    run = begun(tmp_path / "runs")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(write_lines(tmp_path / "elsewhere/step_000001.jsonl", record()).parent)
    with pytest.raises(ConfigError, match=f"begun/{name} is a link that leads out of this folder"):
        marks(Place("begun", run), tmp_path / "runs")


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(begun(tmp_path) / "metrics.jsonl")
    with pytest.raises(ConfigError, match=re.escape("begun/metrics.jsonl is no file")):
        row(tmp_path, "begun")


@pytest.mark.parametrize(
    "name", ["a b", "%2f", "é?#&", "<b>", "a%20b", "a\\b", "suite/run", "\n", os.fsdecode(b"\xff")]
)
def test_every_name_has_an_address_that_leads_back_to_it(name: str) -> None:
    address = Place(name, Path("x")).address
    assert name_of(address) == name and address.isascii() and not {" ", "?", "#", "<", "\\"} & set(address)


ASTRAY = ["/suite%2Frun/", "/suite//run/", "suite/run/", "/suite/run", "/suite/run//", "/../run/", "/%2e%2e%2frun/"]


@pytest.mark.parametrize("address", [*ASTRAY, "/%2e%2e/run/", "/suite/../suite/run/", "//suite/run/", "/./run/", "/"])
def test_an_address_that_goes_another_way_leads_to_no_run(tmp_path: Path, address: str) -> None:
    begun(tmp_path / "runs", "suite/run")
    begun(tmp_path, "run")
    there = places(tmp_path / "runs")
    assert name_of("/suite/run/") in there and name_of(address) not in there


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    for name, started in (("old", 100.0), ("new", 300.0), ("middle", 200.0)):
        at(begun(tmp_path, name) / "config.yaml", started)
    rows = [row(tmp_path, name) for name in places(tmp_path)]
    assert re.findall(r'<a href="/(\w+)/">', render_gallery(tmp_path, rows, 400.0)) == ["new", "middle", "old"]


def test_nothing_that_a_run_says_becomes_markup(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    run = begun(tmp_path, hostile)
    (run / "config.yaml").write_text(json.dumps({"config": {"env": {"id": hostile}, "algorithm": {"family": hostile}}}))
    (run / "report.json").write_text(hostile)
    html = render_gallery(Path(hostile), [row(tmp_path, hostile)], 0.0, "http://127.0.0.1/?\"'><b>", hostile)
    assert "<img" not in html and "<b>" not in html and html.count("&lt;img src=x onerror=alert(1)&gt;") == 6


def test_an_empty_folder_says_that_there_is_no_run_yet(tmp_path: Path) -> None:
    html = render_gallery(tmp_path, [], 0.0)
    assert "There is no run yet." in html and "<table" not in html and "TensorBoard" not in html
