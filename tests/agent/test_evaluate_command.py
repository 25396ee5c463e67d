"""`python -m agent eval`: a checkpoint, a run's folder, what is written, and what is refused."""

import json
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.records import read_trajectories
from agent.run import run
from tests.agent.run_fixtures import quiet, small_config, tiny_folder


def evaluate(model: Path | str, *options: str) -> int:
    environment = ["--env.id", "Test/Parity-v0", "--modules", "[tests.agent.run_fixtures]", "--episodes", "3"]
    sizes = ["--rollout.max_turn_tokens", "4", "--rollout.max_turns", "2", "--device", "cpu"]
    return main(["eval", "--model", str(model), *environment, *sizes, *options])


def rows_of(folder: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}


def test_a_checkpoint_is_shown_beside_the_baselines_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_folder(), "--output", str(tmp_path)) == 0
    rows = rows_of(tmp_path)
    assert set(rows) == {"constant", "random", "oracle", tiny_folder().name}
    assert rows["oracle"]["value"] == 1.0
    own = rows[tiny_folder().name]
    assert (own["metric"], own["decoding"], own["episodes"], own["seed"]) == ("evenness", "greedy", 3, 0)
    assert "oracle" in capsys.readouterr().out


def test_the_transcripts_give_the_same_mean(tmp_path: Path) -> None:
    assert evaluate(tiny_folder(), "--output", str(tmp_path), "--temperature", "1.0") == 0
    read = [t for t, _ in read_trajectories(tmp_path / "transcripts.jsonl")]
    own = rows_of(tmp_path)[tiny_folder().name]
    assert own["decoding"] == "sampled"
    assert own["value"] == pytest.approx(sum(t.metrics["evenness"] for t in read) / 3)
    assert [t.task for t in read] == [0, 1, 2]


def test_evaluation_can_be_repeated_and_another_seed_samples_otherwise(tmp_path: Path) -> None:
    tokens = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert evaluate(tiny_folder(), "--output", str(tmp_path / name), "--temperature", "1.0", "--seed", seed) == 0
        tokens.append([t.rows for t, _ in read_trajectories(tmp_path / name / "transcripts.jsonl")])
    assert tokens[0] == tokens[1] != tokens[2]


def test_of_a_runs_folder_the_newest_checkpoint_is_taken_and_scores_as_in_the_runs_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    config = small_config(
        tmp_path, rollout={"max_turn_tokens": 4}, evaluation={"test_episodes": 3, "validate_every": 0}
    )
    report = run(config, quiet()[0]).report
    assert report is not None
    after = next(row for row in report["rows"] if row["name"] == "after")
    assert evaluate(tmp_path / "run", "--output", str(tmp_path / "out"), "--rollout.max_row_tokens", "64") == 0
    rows = rows_of(tmp_path / "out")
    assert rows["step_3"]["value"] == after["value"]
    assert (rows["step_3"]["low"], rows["step_3"]["high"]) == (after["low"], after["high"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--episodes", "51"], "51 evaluation episodes were asked for, the split has 50 tasks"),
        (["--episodes", "0"], "--episodes: must be at least 1"),
        (["--temperature", "-0.5"], "--temperature: must be 0 (greedy) or above"),
        (["--env.id", "Test/Parety-v0"], "did you mean Test/Parity-v0"),
        (["--env.kwargs", "{turnz: 1}"], "turnz"),
        (["--dtype", "int8"], "dtype"),
        (["--device", "cuda:77"], "cuda:77"),
        (["--modules", "[no_such_module]"], "'no_such_module' cannot be imported"),
        (["--rollout.max_turns", "0"], "rollout.max_turns"),
        (["--episode", "3"], "unknown option --episode; did you mean --episodes"),
    ],
)
def test_a_mistake_is_told_in_one_message(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tiny_folder(), *options) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["nowhere", "tiny", "empty"])
def test_what_is_no_checkpoint_is_told_and_no_model_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert evaluate(name) == 1
    assert name in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
