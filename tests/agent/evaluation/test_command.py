"""`python -m agent eval`: a checkpoint, a run's folder, what is written, and what is refused."""

import json
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.model.tiny import make_tiny_vlm
from agent.records import read_trajectories
from agent.report.folders import read_folder
from agent.report.tokenizer import find_decoder
from agent.run import run
from tests.agent.evaluation.playing import ENV, evaluate, results, rows_of, transcripts
from tests.agent.run_fixtures import SHAPE, Hooks, quiet, small_config, tiny_folder

TINY = tiny_folder().name


def test_a_checkpoint_is_shown_beside_the_baselines_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(None, "--output", str(tmp_path)) == 0
    rows = rows_of(tmp_path)
    assert set(rows) == {"constant", "random", "oracle", TINY}
    assert rows["oracle"]["value"] == 1.0
    own = rows[TINY]
    assert (own["metric"], own["decoding"], own["episodes"], own["seed"]) == ("evenness", "greedy", 3, 0)
    assert "oracle" in capsys.readouterr().out
    assert f"| {TINY} | greedy |".replace("_", "\\_") in (tmp_path / "results.md").read_text()


def test_the_transcripts_give_the_same_mean(tmp_path: Path) -> None:
    assert evaluate(None, "--output", str(tmp_path), "--temperature", "1.0") == 0
    (path,) = (tmp_path / "episodes").glob(f"{TINY}*.jsonl")
    read = [t for t, _ in read_trajectories(path)]
    own = rows_of(tmp_path)[f"{TINY}, sampled"]
    assert own["value"] == pytest.approx(sum(t.metrics["evenness"] for t in read) / 3)
    assert sorted(t.task or 0 for t in read) == [0, 1, 2]
    pictures = {span.sha256 for t in read for row in t.rows for span in row.images}
    assert pictures == {path.stem for path in (tmp_path / "episodes" / "images").iterdir()}


def test_every_baselines_transcript_is_kept_in_words(tmp_path: Path) -> None:
    assert evaluate("oracle", "--output", str(tmp_path), "--baselines", "[constant]") == 0
    told = [record["rows"][0]["segments"] for record in transcripts(tmp_path, "constant")]
    assert [[(s["kind"], s["text"]) for s in segments][:2] for segments in told] == [
        [("prompt", f"even {task}"), ("action", "a")] for task in range(3)
    ]
    assert all(record["tokens"] is False for record in transcripts(tmp_path, "oracle"))


def test_evaluation_can_be_repeated_and_another_seed_samples_otherwise(tmp_path: Path) -> None:
    tokens = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert evaluate(None, "--output", str(tmp_path / name), "--temperature", "1.0", "--seed", seed) == 0
        tokens.append([record["rows"] for record in transcripts(tmp_path / name, TINY)])
    assert tokens[0] == tokens[1] != tokens[2]


def test_of_a_runs_folder_the_newest_checkpoint_plays_where_the_run_did_and_scores_as_in_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    config = small_config(
        tmp_path, rollout={"max_turn_tokens": 4}, evaluation={"test_episodes": 3, "validate_every": 0}
    )
    report = run(config, quiet()[0]).report
    assert report is not None
    after = next(row for row in report["rows"] if row["name"] == "after")
    assert main(["eval", "--model", str(tmp_path / "run"), "--episodes", "3", "--output", str(tmp_path / "out")]) == 0
    row = rows_of(tmp_path / "out")["run/step_3"]
    assert {key: row[key] for key in ("value", "low", "high")} == {key: after[key] for key in ("value", "low", "high")}
    assert row["benchmark"] == "run"


def test_a_recipe_brings_its_environment_and_limits(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "modules: [tests.agent.run_fixtures]\nenv: {id: Test/Parity-v0, kwargs: {turns: 3}}\n"
        "rollout: {max_turn_tokens: 2, max_row_tokens: 64, max_turns: 3}\n"
    )
    command = ["eval", "--model", str(tiny_folder()), "--env", str(recipe), "--episodes", "2", "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    for record in transcripts(tmp_path / "out", TINY):
        actions = [s for s in record["rows"][0]["segments"] if s["kind"] == "action"]
        assert len(actions) == 3 and all(len(action["token_ids"]) <= 2 for action in actions)


def test_several_environments_splits_and_models_are_played_with_one_command(tmp_path: Path) -> None:
    two = tmp_path / "two.yaml"
    two.write_text(
        "modules: [tests.agent.run_fixtures]\nenv: {id: Test/Parity-v0, kwargs: {turns: 1}}\n"
        "rollout: {max_row_tokens: 600}\n"
    )
    options = ["--split", "validation,test", "--output", str(tmp_path / "out"), "--baselines", "[]"]
    assert evaluate("random,constant", *options, env=f"{ENV},{two}") == 0
    played = [(row["benchmark"], row["split"], row["name"]) for row in results(tmp_path / "out")["rows"]]
    assert sorted(played) == sorted(
        (benchmark, split, name)
        for benchmark in (ENV, "two")
        for split in ("validation", "test")
        for name in ("random", "constant")
    )


def test_another_model_is_compared_with_the_first_on_the_same_tasks(tmp_path: Path) -> None:
    heat = ["--temperature", "1.0", "--samples", "2", "--episodes", "6"]
    assert evaluate(f"{tiny_folder()},{tiny_folder()}/.", *heat, "--output", str(tmp_path)) == 0
    (comparison,) = results(tmp_path)["comparisons"]
    assert (comparison["before"], comparison["after"]) == (TINY, f"{TINY} (2)")
    # The same weights with the same dice: nothing differs anywhere.
    assert (comparison["value"], comparison["p_value"], comparison["tasks"]) == (0.0, 1.0, 6)


def test_samples_of_a_task_differ_and_give_pass_at_k(tmp_path: Path) -> None:
    assert evaluate(None, "--temperature", "1.0", "--samples", "3", "--output", str(tmp_path)) == 0
    records = transcripts(tmp_path, TINY)
    assert sorted((record["index"], record["sample"]) for record in records) == [
        (i, k) for i in range(3) for k in range(3)
    ]
    assert len({json.dumps(record["rows"]) for record in records}) == 9
    assert [row["k"] for row in results(tmp_path)["pass_at_k"]] == [1, 2, 3]
    assert rows_of(tmp_path)[f"{TINY}, sampled"]["episodes"] == 9


def test_what_was_cut_off_goes_on_and_plays_no_ended_episode_again(tmp_path: Path) -> None:
    command = ("--episodes", "8", "--rollout.concurrency", "1", "--baselines", "[]")
    assert evaluate(None, *command, "--output", str(tmp_path / "whole")) == 0

    def break_off(step: int) -> None:
        if step == 9:  # in the middle of the fifth episode of two turns
            raise KeyboardInterrupt

    Hooks.set(break_off)
    try:
        assert evaluate(None, *command, "--output", str(tmp_path / "cut")) == 130
    finally:
        Hooks.set(None)
    assert len(transcripts(tmp_path / "cut", TINY)) == 4
    Hooks.set(lambda step: None)
    assert evaluate(None, *command, "--output", str(tmp_path / "cut")) == 0
    assert Hooks.steps == 8  # four episodes of two turns: those that had ended were not played again
    Hooks.set(None)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert transcripts(tmp_path / "cut", TINY) == transcripts(tmp_path / "whole", TINY)


def test_more_episodes_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    assert evaluate(None, "--episodes", "2", "--output", str(tmp_path), "--baselines", "[]") == 0
    Hooks.set(lambda step: None)
    assert evaluate(None, "--episodes", "5", "--output", str(tmp_path), "--baselines", "[]") == 0
    assert Hooks.steps == 6
    Hooks.set(None)
    assert rows_of(tmp_path)[TINY]["episodes"] == 5


def test_a_half_written_line_is_played_again(tmp_path: Path) -> None:
    assert evaluate(None, "--output", str(tmp_path)) == 0
    before, (path,) = results(tmp_path), (tmp_path / "episodes").glob(f"{TINY}*.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    assert evaluate(None, "--output", str(tmp_path)) == 0
    assert results(tmp_path) == before
    assert len(transcripts(tmp_path, TINY)) == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--seed", "1"], "seed was 0, is 1"),
        (["--rollout.max_turn_tokens", "3"], "limits was"),
        (["--kwargs", "{turns: 1}"], "env was"),
    ],
)
def test_other_settings_are_not_mixed_into_the_same_folder(
    tmp_path: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("oracle", "--output", str(tmp_path)) == 0
    assert evaluate("oracle", "--output", str(tmp_path), *options) == 1
    error = capsys.readouterr().err
    assert named in error and "another --output" in error


def test_episodes_that_the_infrastructure_broke_are_left_out_told_and_played_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ("--output", str(tmp_path), "--kwargs", "{fault: always sandbox}", "--baselines", "[]")
    assert evaluate("constant", *broken) == 1
    assert "broke 3 of 3 episodes of constant" in capsys.readouterr().err
    assert rows_of(tmp_path)["constant"]["value"] is None  # nobody's score, and not 0
    Hooks.set(lambda step: None)
    assert evaluate("constant", *broken) == 1
    assert Hooks.steps == 3
    Hooks.set(None)


def test_the_page_of_an_evaluation_says_what_its_checkpoints_tokens_say(tmp_path: Path) -> None:
    assert evaluate(None, "--output", str(tmp_path / "out")) == 0
    decode, _ = find_decoder(read_folder(tmp_path / "out"))
    (first, *_) = transcripts(tmp_path / "out", TINY)
    prompt = first["rows"][0]["segments"][0]
    assert decode is not None and decode(prompt["token_ids"][-3:]) and decode(prompt["token_ids"]) == prompt["text"]


def test_where_checkpoints_have_different_tokenizers_the_page_decodes_none_of_their_tokens(tmp_path: Path) -> None:
    other = make_tiny_vlm(tmp_path / "other", ["something else altogether"], 0, SHAPE)
    assert evaluate(f"{tiny_folder()},{other}", "--output", str(tmp_path / "out")) == 0
    decode, why = find_decoder(read_folder(tmp_path / "out"))
    assert decode is None and "different tokenizers" in why


def test_results_have_means_by_tag_and_every_metric(tmp_path: Path) -> None:
    assert evaluate("oracle", "--output", str(tmp_path), "--episodes", "20") == 0
    found = results(tmp_path)
    assert {row["tag"] for row in found["breakdowns"]} == {"seed"}
    of_oracle = [row for row in found["breakdowns"] if row["name"] == "oracle"]
    assert sum(row["tasks"] for row in of_oracle) == 20 and len(of_oracle) == 2
    assert all(row["shown"] for row in of_oracle)
    assert found["ends"][-1]["ends"] == {"terminated": 20}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--episodes", "51"], "51 evaluation episodes were asked for, the split has 50 tasks"),
        (["--episodes", "-1"], "--episodes: must be at least 1"),
        (["--temperature", "-0.5"], "--temperature: must be 0 (greedy) or above"),
        (["--samples", "4"], "--samples: greedy episodes are all the same"),
        (["--samples", "0"], "--samples: must be at least 1"),
        (["--kwargs", "{turnz: 1}"], "turnz"),
        (["--dtype", "int8"], "dtype"),
        (["--device", "cuda:77"], "cuda:77"),
        (["--modules", "[no_such_module]"], "'no_such_module' cannot be imported"),
        (["--rollout.max_turns", "0"], "rollout.max_turns"),
        (["--episode", "3"], "unknown option --episode; did you mean --episodes"),
        (["--baselines", "[oracel]"], "'oracel' is not one of constant, random, blind, oracle"),
        (["--suite", "mat-search"], "--env and --suite both say where to play"),
        (["--protocol", "faithful"], "--protocol faithful: Test/Parity-v0 has no published protocol"),
        (["--data", "x"], "--data: Test/Parity-v0 makes its own tasks and reads no data"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(None, "--output", str(tmp_path), *options) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("model", "env", "told"),
    [
        ("oracle", "Test/Parety-v0", "did you mean Test/Parity-v0"),
        ("oracle", "", "say where it is to play: --env ID[,ID...] or --suite NAME"),
        ("ftp://host/v1", ENV, "begins with http:// or https://"),
        ("tiny", "", "is no run's folder (it has no config.yaml)"),
        (",", ENV, "--model: name a checkpoint folder"),
    ],
)
def test_who_and_where_are_told_where_they_cannot_be(
    model: str, env: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = str(tiny_folder()) if model == "tiny" else model
    assert evaluate(who, "--output", str(tmp_path), env=env) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "tiny", "empty", "begun"])
def test_what_is_no_checkpoint_is_told_and_no_model_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text("config: {}\n")
    assert evaluate(name) == 1
    assert name in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "empty"]


def test_without_an_output_results_go_to_a_folder_named_after_who_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate("oracle", "--baselines", "[]") == 0
    assert [path.name for path in (tmp_path / "evaluations").iterdir()] == ["oracle_Test_Parity-v0"]
