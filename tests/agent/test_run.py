"""A whole training command: what it leaves, that it can be repeated, cut off and continued, and what stops it."""

import json
import os
import resource
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.config import Config
from agent.config_algorithm import DivergenceConfig
from agent.engine.batching import make_batch
from agent.engine.checkpoint import load_state
from agent.errors import (
    AgentError,
    CheckpointError,
    ConfigError,
    EnvironmentFault,
    ObservationError,
    RunDirectoryError,
)
from agent.model.load import load_vlm
from agent.objective.advantage import grpo
from agent.records import read_trajectories
from agent.roles.actor import Actor
from agent.run import run
from tests.agent.run_fixtures import Hooks, quiet, small_config, weights

# Environment steps until then: the test before training takes 4 episodes of 2 turns; a step 2 x 3 episodes of 2 turns;
# step 2 is followed by a validation of 2 episodes.
BEFORE, STEP, VALIDATION = 8, 12, 4


@dataclass(frozen=True)
class Finished:
    config: Config
    folder: Path
    report: dict
    told: str


def finish(config: Config) -> Finished:
    console, told = quiet()
    ended = run(config, console)
    assert ended.finished and ended.report is not None
    return Finished(config, Path(config.run.folder) / config.run.name, ended.report, told.getvalue())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run from beginning to end, that nothing disturbed."""
    return finish(small_config(tmp_path_factory.mktemp("runs")))


@pytest.fixture(autouse=True)
def no_hooks(finished: Finished, monkeypatch: pytest.MonkeyPatch):
    """Only `finished` draws its page: that takes longer than everything else, and has tests of its own."""
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    Hooks.set(None)
    yield
    Hooks.set(None)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def timeless(folder: Path) -> list[dict]:
    """The lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if not name.startswith(("seconds/", "memory/"))} for line in lines
    ]


def assert_same_run(folder: Path, other: Path, step: int = 3) -> None:
    assert weights(folder, step) == weights(other, step)
    assert timeless(folder) == timeless(other)
    assert json.loads((folder / "evaluations/after.json").read_text()) == json.loads(
        (other / "evaluations/after.json").read_text()
    )


# What a run leaves.


def test_the_report_has_the_required_shape(finished: Finished) -> None:
    report = json.loads((finished.folder / "report.json").read_text())
    assert report == finished.report
    assert report["seconds"] > 0
    for row in report["rows"]:
        assert {"name", "env_id", "decoding", "metric", "value", "low", "high", "episodes", "seed"} <= set(row)
        assert row["env_id"] == "Test/Parity-v0"
        assert row["metric"] == "evenness"
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["episodes"], row["seed"]) == (4, 0)


def test_the_report_has_the_policy_before_and_after_and_the_baselines_that_there_are(finished: Finished) -> None:
    """The environment knows no "blind": it is left out and does not end the run."""
    rows = {(row["name"], row["decoding"]): row["value"] for row in finished.report["rows"]}
    assert set(rows) == {
        ("constant", "none"),
        ("random", "none"),
        ("oracle", "none"),
        ("before", "greedy"),
        ("after", "greedy"),
    }
    assert rows["oracle", "none"] == 1.0
    assert rows["constant", "none"] == 0.0


def test_a_finished_run_is_not_run_again(finished: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.safetensors")}
    Hooks.set(None)
    again = finish(finished.config)
    assert Hooks.steps == 0
    assert again.report == finished.report
    assert "is finished" in again.told
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.safetensors")} == before


def test_every_step_has_its_line_of_metrics(finished: Finished) -> None:
    lines = timeless(finished.folder)
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert {"reward", "loss", "entropy", "lr", "grad_norm", "gap/largest", "zero_variance_groups"} <= set(line)
        assert line["gap/largest"] < 1e-4
        assert line["reward/evenness"] == pytest.approx(line["reward"] / 2, abs=1)
    assert ["validation" in line for line in lines] == [False, True, True]


def test_the_rate_of_each_step_is_that_of_the_schedule(finished: Finished) -> None:
    """Linear over 3 steps from 3e-3: 1, 2/3, 1/3."""
    assert [line["lr"] for line in timeless(finished.folder)] == pytest.approx([3e-3, 2e-3, 1e-3])


def test_tensorboard_has_the_same_rewards(finished: Finished) -> None:
    events = EventAccumulator(str(finished.folder / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("reward")]
    assert shown == [(line["step"], pytest.approx(line["reward"])) for line in timeless(finished.folder)]


def test_training_moved_the_weights(finished: Finished) -> None:
    """Without this, that two runs have equal weights would say nothing."""
    assert len({weights(finished.folder, step) for step in (0, 2, 3)}) == 3


def test_checkpoints_load_like_any_model(finished: Finished) -> None:
    assert load_vlm(finished.folder / "checkpoints" / "step_3").family == "qwen2_5_vl"
    assert load_state(finished.folder / "checkpoints" / "step_3")["step"] == 3


def test_recorded_rollouts_are_enough_to_compute_the_advantages_again(finished: Finished) -> None:
    for step in (1, 2, 3):
        read = list(read_trajectories(finished.folder / "rollouts" / f"step_{step:06d}.jsonl"))
        assert len(read) == 6
        scores = torch.tensor([t.outcome.score for t, _ in read])
        recorded = [record["advantage"] for _, record in read]
        again = grpo(scores, torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([t.valid for t, _ in read]))
        assert again.tolist() == recorded
        assert any(recorded)


def test_recorded_rollouts_are_enough_to_compute_the_log_probabilities_again(finished: Finished) -> None:
    """Tokens from the JSON lines, pixels from the PNG files, weights from the checkpoint before the step."""
    read = [t for t, _ in read_trajectories(finished.folder / "rollouts" / "step_000001.jsonl")]
    vlm = load_vlm(finished.folder / "checkpoints" / "step_0")
    pictures = {}
    for path in (finished.folder / "rollouts" / "images").glob("*.png"):
        picture = vlm.processor.process(np.asarray(Image.open(path)))
        assert picture.sha256 == path.stem
        pictures[picture.sha256] = picture
    rows = [row for t in read for row in t.rows]
    batch = make_batch(rows, range(len(rows)), [0.0] * len(rows), pictures.__getitem__, vlm.processor.merge)
    with torch.no_grad():
        logprobs, _ = Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)
    torch.testing.assert_close(logprobs, batch.sampler_logprobs, atol=1e-4, rtol=0)


# Repeated.


def test_the_same_recipe_gives_the_same_run_bit_for_bit_in_another_folder(finished: Finished, tmp_path: Path) -> None:
    again = finish(small_config(tmp_path, "other"))
    assert_same_run(again.folder, finished.folder)


def test_another_seed_gives_another_run(finished: Finished, tmp_path: Path) -> None:
    other = finish(small_config(tmp_path, run={"seed": 1}))
    assert weights(other.folder, 3) != weights(finished.folder, 3)


def test_how_many_environments_are_stepped_at_once_changes_nothing(finished: Finished, tmp_path: Path) -> None:
    again = finish(small_config(tmp_path, rollout={"threads": 7}))
    assert_same_run(again.folder, finished.folder)


# Cut off.


def interrupt_at(*moments: int) -> None:
    def step(count: int) -> None:
        if count in moments:
            time.sleep(0.4 * moments.index(count))  # two at once would be one
            os.kill(os.getpid(), signal.SIGINT)

    Hooks.set(step)


@pytest.mark.parametrize("moment", [BEFORE + 3, BEFORE + STEP + 2], ids=["in step 1", "in step 2"])
def test_interrupted_and_continued_equals_uninterrupted(finished: Finished, tmp_path: Path, moment: int) -> None:
    config = small_config(tmp_path, run={"save_every": 100})
    interrupt_at(moment)
    console, told = quiet()
    ended = run(config, console)
    assert (ended.finished, ended.report) == (False, None)
    step = 1 if moment < BEFORE + STEP else 2
    assert (tmp_path / "run" / "checkpoints" / f"step_{step}").is_dir()
    assert f"saved after step {step}" in told.getvalue()
    assert not (tmp_path / "run" / "report.json").exists()
    Hooks.set(None)
    again = finish(config)
    assert f"after step {step}" in again.told
    assert_same_run(again.folder, finished.folder)


def test_interrupted_while_it_is_tested_before_training_it_continues(finished: Finished, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    interrupt_at(3)
    assert not run(config, quiet()[0]).finished
    Hooks.set(None)
    assert_same_run(finish(config).folder, finished.folder)


def test_a_second_interrupt_stops_at_once_and_loses_only_what_came_after_the_checkpoint(
    finished: Finished, tmp_path: Path
) -> None:
    config = small_config(tmp_path)
    interrupt_at(BEFORE + STEP + 1, BEFORE + STEP + 3)
    with pytest.raises(KeyboardInterrupt):
        run(config, quiet()[0])
    assert not (tmp_path / "run" / "checkpoints" / "step_2").exists()
    Hooks.set(None)
    assert_same_run(finish(config).folder, finished.folder)


def test_with_a_reference_model_too_continued_equals_uninterrupted(tmp_path: Path) -> None:
    """The reference is the policy that training began with, and not the one that it is continued from."""
    whole = finish(small_config(tmp_path / "whole", algorithm={"divergence": DivergenceConfig(0.5)}))
    assert any(line["kl/k3"] > 0 for line in timeless(whole.folder))
    config = small_config(tmp_path / "cut", algorithm={"divergence": DivergenceConfig(0.5)})
    interrupt_at(BEFORE + STEP + 2)
    run(config, quiet()[0])
    Hooks.set(None)
    assert_same_run(finish(config).folder, whole.folder)


def test_a_half_written_line_of_metrics_is_repaired_when_a_run_continues(finished: Finished, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    interrupt_at(BEFORE + STEP + 2)
    run(config, quiet()[0])
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "rew')
    Hooks.set(None)
    assert_same_run(finish(config).folder, finished.folder)


# What stops a run, or does not.


def failure(config: Config, kind: type[AgentError]) -> str:
    with pytest.raises(kind) as raised:
        run(config, quiet()[0])
    return str(raised.value)


def test_a_disk_that_is_full_in_mid_run_costs_a_checkpoint_and_not_the_run(finished: Finished, tmp_path: Path) -> None:
    """From the second step to the third no file may grow beyond 30 kB: the weights do not fit, the log does."""

    def step(count: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if count == BEFORE + STEP + 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        if count == BEFORE + STEP + STEP + VALIDATION + 1:
            assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step_0", "step_1"]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    Hooks.set(step)
    again = finish(small_config(tmp_path, run={"record_every": 100}))
    assert "warning: the checkpoint of step 2 could not be written" in again.told
    assert "step_1 is whole" in again.told
    assert weights(again.folder, 3) == weights(finished.folder, 3)


def test_rollouts_that_cannot_be_recorded_cost_the_record_and_not_the_run(finished: Finished, tmp_path: Path) -> None:
    rollouts, aside = tmp_path / "run" / "rollouts", tmp_path / "aside"

    def step(count: int) -> None:
        if count == BEFORE + STEP + 1:  # nothing can be written into what is no folder
            rollouts.rename(aside)
            rollouts.write_text("in the way")
        if count == BEFORE + 2 * STEP + VALIDATION + 1:
            rollouts.unlink()
            aside.rename(rollouts)

    Hooks.set(step)
    again = finish(small_config(tmp_path, run={"save_every": 100}, evaluation={"validate_every": 2}))
    assert "warning:" in again.told and "step 2" in again.told
    assert not (again.folder / "rollouts" / "step_000002.jsonl").exists()
    assert weights(again.folder, 3) == weights(finished.folder, 3)


def test_an_environment_that_raises_stops_the_run_and_is_named(tmp_path: Path) -> None:
    config = small_config(tmp_path, env={"train": {"fault": "raise"}}, optimizer={"steps": 30})
    message = failure(config, EnvironmentFault)
    assert "Test/Parity-v0" in message
    assert "seed" in message
    assert "RuntimeError: the author forgot something" in message


def test_a_reward_that_is_no_number_stops_the_run_and_is_named(tmp_path: Path) -> None:
    config = small_config(tmp_path, env={"train": {"fault": "nan"}}, optimizer={"steps": 30})
    message = failure(config, ObservationError)
    assert "reward must be a finite number, got nan" in message
    assert "Test/Parity-v0" in message


def test_what_was_learned_before_an_environment_broke_is_saved(tmp_path: Path) -> None:
    """With a repaired environment the run goes on from there."""

    def step(count: int) -> None:
        if count == BEFORE + STEP + 3:
            raise RuntimeError("the service is down")

    Hooks.set(step)
    config = small_config(tmp_path, run={"save_every": 100})
    assert "the service is down" in failure(config, EnvironmentFault)
    assert (tmp_path / "run" / "checkpoints" / "step_1").is_dir()


def test_after_the_environment_was_repaired_the_run_ends_as_if_nothing_had_happened(
    finished: Finished, tmp_path: Path
) -> None:
    def step(count: int) -> None:
        if count == BEFORE + STEP + 3:
            raise RuntimeError("the service is down")

    Hooks.set(step)
    config = small_config(tmp_path)
    failure(config, EnvironmentFault)
    Hooks.set(None)
    assert_same_run(finish(config).folder, finished.folder)


def test_trajectories_that_the_infrastructure_broke_are_counted_and_have_no_advantage(tmp_path: Path) -> None:
    done = finish(
        small_config(
            tmp_path, env={"train": {"fault": "sandbox"}}, rollout={"group_size": 6}, evaluation={"test_episodes": 0}
        )
    )
    failed = 0
    for step, line in enumerate(timeless(done.folder), 1):
        read = list(read_trajectories(done.folder / "rollouts" / f"step_{step:06d}.jsonl"))
        broken = [record for t, record in read if t.outcome.end == "failed"]
        assert line["failed"] == pytest.approx(len(broken) / 12)
        assert all(record["advantage"] == 0 for t, record in read if not t.valid)
        valid = [t.outcome.score for t, _ in read if t.valid]
        assert line["reward"] == pytest.approx(sum(valid) / len(valid), abs=1e-6)
        failed += len(broken)
    assert 0 < failed < 36


def test_a_test_in_which_the_infrastructure_broke_episodes_is_still_reported(tmp_path: Path) -> None:
    done = finish(small_config(tmp_path, env={"test": {"fault": "sandbox"}}, evaluation={"test_episodes": 12}))
    rows = {row["name"]: row for row in done.report["rows"]}
    assert min(rows["before"]["episodes"], rows["after"]["episodes"]) < 12
    assert rows["oracle"]["episodes"] == 12


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        ({"env": {"id": "Test/Parety-v0"}}, ["env.id", "'Test/Parety-v0'", "did you mean Test/Parity-v0"]),
        ({"env": {"id": "no namespace at all"}}, ["env.id", "no namespace at all"]),
        ({"env": {"kwargs": {"turnz": 3}}}, ["env.kwargs", "Test/Parity-v0", "turnz"]),
        ({"env": {"train": {"split": "training"}}}, ["Test/Parity-v0", "'training'", "validation"]),
        ({"env": {"test": {"split": "tset"}}}, ["Test/Parity-v0", "'tset'"]),
        ({"rollout": {"group_size": 1}}, ["rollout.group_size", "at least 2", "got 1"]),
        ({"rollout": {"temperature": 0.0}}, ["rollout.temperature", "above 0"]),
        ({"rollout": {"max_row_tokens": 5}}, ["rollout.max_row_tokens", "rollout.max_turn_tokens=5"]),
        ({"algorithm": {"policy_loss_options": {"clip_low": 1.5}}}, ["clip_low", "1.5"]),
        ({"optimizer": {"steps": -1}}, ["optimizer.steps", "at least 0"]),
        ({"run": {"save_every": 0}}, ["run.save_every", "at least 1"]),
        ({"model": {"device": "cuda:77"}}, ["model.device", "cuda:77"]),
        ({"evaluation": {"test_episodes": 51}}, ["51", "50 tasks", "evaluation.test_episodes"]),
    ],
)
def test_what_cannot_be_run_is_told_with_the_field_before_anything_is_trained(
    tmp_path: Path, areas: dict[str, dict[str, object]], told: list[str]
) -> None:
    message = failure(small_config(tmp_path, **areas), ConfigError)
    for part in told:
        assert part in message
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_module_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = replace(small_config(tmp_path), modules=["no_such_module"])
    assert "modules: 'no_such_module' cannot be imported" in failure(config, ConfigError)


def test_a_model_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    message = failure(small_config(tmp_path, model={"path": str(tmp_path / "nowhere")}), CheckpointError)
    assert "nowhere: no such folder" in message


def test_a_folder_with_a_run_of_another_configuration_is_left_alone(finished: Finished) -> None:
    other = replace(finished.config, optimizer=replace(finished.config.optimizer, lr=0.5))
    before = weights(finished.folder, 3)
    assert "optimizer.lr: was 0.003, now 0.5" in failure(other, RunDirectoryError)
    assert weights(finished.folder, 3) == before


def test_a_damaged_checkpoint_names_the_file_and_how_to_go_on(finished: Finished, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    interrupt_at(BEFORE + STEP + 2)
    run(config, quiet()[0])
    Hooks.set(None)
    damaged = tmp_path / "run" / "checkpoints" / "step_2" / "trainer.pt"
    damaged.write_bytes(damaged.read_bytes()[:100])
    message = failure(config, CheckpointError)
    assert str(damaged) in message and "delete" in message
    for path in damaged.parent.iterdir():
        path.unlink()
    damaged.parent.rmdir()
    assert_same_run(finish(config).folder, finished.folder)


def test_nothing_to_train_is_a_run_too(tmp_path: Path) -> None:
    done = finish(small_config(tmp_path, optimizer={"steps": 0}))
    rows = {row["name"]: row["value"] for row in done.report["rows"]}
    assert rows["before"] == rows["after"]


def test_without_a_test_the_report_has_no_rows(tmp_path: Path) -> None:
    done = finish(small_config(tmp_path, evaluation={"test_episodes": 0, "validate_every": 0}))
    assert done.report["rows"] == []
    assert all("validation" not in line for line in timeless(done.folder))


def test_what_the_recipe_names_is_reported_beside_the_primary_metric(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    beside = replace(config.evaluation, measures=["missing"], variants={"one turn": {"turns": 1}}, sampled=False)
    report = finish(replace(config, evaluation=beside)).report
    assert {row["metric"] for row in report["rows"]} == {"evenness"}, "what a page says first is of the primary metric"
    rows = [*report["rows"], *report["measures"]]
    found = {(row["name"], row["metric"]): row for row in rows if row["decoding"] == "greedy"}
    assert {name for name, metric in found if metric == "missing"} == {"before", "after"}
    assert found["after", "missing"]["value"] == 0.0
    varied = found["after, one turn", "evenness"]
    assert (varied["episodes"], varied["decoding"]) == (found["after", "evenness"]["episodes"], "greedy")
    # One turn in place of two, of the same worlds and the same policy: the first turns' shares alone.
    assert varied["value"] != found["after", "evenness"]["value"]


def test_a_variant_that_the_environment_refuses_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    refused = replace(config, evaluation=replace(config.evaluation, variants={"more": {"tuns": 1}}))
    with pytest.raises(ConfigError, match="tuns"):
        run(refused, quiet()[0])
    assert not (tmp_path / "runs" / "parity" / "metrics.jsonl").exists()
