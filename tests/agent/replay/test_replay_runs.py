"""Runs of several processes, killed and continued ones, a user's own functions; and the command."""

import json
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.replay.recording import read_tensors, write_tensors
from tests.agent.engine.forked import run_forked
from tests.agent.replay.recorded_runs import recorded_run, replayed, told
from tests.agent.run_fixtures import tiny_folder

SHARED = {
    "model": {"path": str(tiny_folder())},
    "engine": {"train": "fsdp2"},
    "algorithm": {"family": "ppo", "divergence": {"coef": 0.05}, "mini_batches": 2},
    "evaluation": {"validate_every": 0, "test_episodes": 0},
    "optimizer": {"steps": 2, "lr": 3e-3, "micro_batch_tokens": 64},
    "rollout": {"prompts_per_step": 3},
    "run": {"save_every": 1, "record_every": 1},
}


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, one of which was killed in the second step, continued."""
    folder = tmp_path_factory.mktemp("two")
    killed = 6 + 2  # process 1 has one of the three groups: three episodes of two turns a step
    assert "exit codes" in run_forked(folder, "run", {**SHARED, "crash": killed}, 2)
    assert not (folder / "run" / "rollouts" / "step_000002.jsonl").exists()
    assert run_forked(folder, "run", {**SHARED}, 2) == ""
    return folder / "run"


@pytest.mark.xdist_group("processes")
def test_what_two_processes_learned_is_worked_out_again_also_where_one_was_killed(of_two: Path) -> None:
    found = replayed(of_two)
    assert told(found) == [] and [one.episodes.played for one in found] == [9, 9]
    shares, around = read_tensors(of_two / "rollouts" / "step_000002.safetensors")
    assert around.processes == 2 and all(shares)


@pytest.mark.xdist_group("processes")
def test_what_another_process_recorded_is_named_with_it(of_two: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(of_two, tmp_path / "run"))
    path = run / "rollouts" / "step_000001.safetensors"
    shares, around = read_tensors(path)
    key = next(key for key in shares[1] if "/value_loss/" in key)
    shares[1][key] += 1
    write_tensors(path, shares, around)
    (line,) = told(replayed(run))
    assert line.startswith(f"step 1: losses, process 1, value loss of update {key[7]}, micro-batch 0 (trajectories 3")


def test_a_users_estimator_and_loss_are_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mine_again", raising=False)
    module = tmp_path / "mine_again.py"
    text = """
        def ahead(scores, valid, *, times: float = 1.0):
            return times * (scores - scores[valid].mean())

        def plain(logprobs, advantages):
            return -advantages * logprobs
    """
    module.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    algorithm = {"advantage": "mine_again:ahead", "policy_loss": "mine_again:plain"}
    run = recorded_run(tmp_path, algorithm=algorithm)
    assert told(replayed(run)) == []
    sys.modules["mine_again"].plain = lambda logprobs, advantages: -2.0 * advantages * logprobs  # type: ignore[attr-defined]
    assert told(replayed(run))[0].startswith("step 1: losses, policy loss of update 0, micro-batch 0")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps, of which the first and every second are recorded."""
    folder = tmp_path_factory.mktemp("command")
    return recorded_run(folder, optimizer={"steps": 3}, run={"record_every": 2}, algorithm={"family": "remax"})


def test_only_recorded_steps_have_files(run: Path) -> None:
    names = sorted(path.name for path in (run / "rollouts").iterdir() if path.is_file())
    expected = [f"{kind}_00000{step}" for kind in ("greedy", "step") for step in (1, 2)]
    assert names == sorted(
        [f"{name}.jsonl" for name in expected] + [f"step_00000{step}.safetensors" for step in (1, 2)]
    )


def test_the_command_shows_a_table_and_needs_no_weights(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in (*copy.glob("checkpoints/*/*.safetensors"), *copy.glob("checkpoints/*/trainer.pt")):
        path.unlink()
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["replay", str(copy)]) == 0
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "equal" in line and "│" in line]
    # 2 x 3 sampled episodes and 2 greedy ones, of a picture each.
    assert [[cell.strip() for cell in line[1:4]] for line in lines] == [["1", "8", "8"], ["2", "8", "8"]]
    assert all(int(line[5]) > 10 for line in lines)


def test_a_difference_is_told_and_is_status_1(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    path = copy / "rollouts" / "greedy_000002.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[1]["outcome"]["score"] = 7.0
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["replay", str(copy)]) == 1
    told_ = capsys.readouterr().out
    assert "episodes, greedy trajectory 1, outcome, score: recorded 7.0, now" in told_
    assert "step 1 differs" not in told_ and "step 2 differs" in told_
    assert main(["replay", str(copy), "--step", "1"]) == 0
    assert main(["replay", str(copy), "--step=2"]) == 1


def test_what_is_no_run_and_no_recorded_step_is_explained(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        (["replay", str(tmp_path)], "is no run's folder: it has no config.yaml"),
        (["replay", str(run), "--step", "3"], "--step: 3 was not recorded; recorded are 1, 2"),
        (["replay", str(run), "--step", "first"], "--step: must be the number of a step"),
        (["replay", str(run), "--quick"], "replay takes one run's folder and --step N"),
    ]
    for arguments, expected in cases:
        assert main(arguments) == 1
        assert expected in capsys.readouterr().err
    assert main(["replay"]) == 2 and "usage: python -m agent replay RUN" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert main(["replay", str(tmp_path)]) == 1
    assert "has no recorded steps" in capsys.readouterr().err
