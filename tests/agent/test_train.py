"""The loop: what a step trains on, its controls, and the check that stops it."""

import io
import math
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from agent.collect import rollout
from agent.config import Config
from agent.config_algorithm import DivergenceConfig
from agent.engine.batching import Batch
from agent.engine.checkpoint import latest_checkpoint, load_state
from agent.engine.local import whole
from agent.engine.memory import Phase
from agent.errors import ConfigError, MismatchError
from agent.interrupt import Interrupt
from agent.lesson import Lesson, Rewards, prepare, taught
from agent.model.kept_prompts import KeptPrompts
from agent.model.load import load_vlm
from agent.objective.advantage import grpo
from agent.parts import Parts, build
from agent.progress import Progress
from agent.records import read_trajectories
from agent.roles.critic import Critic
from agent.rollout.hf import TransformersEngine
from agent.run_directory import RunDirectory
from agent.train import Finished, learn, learner_of, train
from agent.types import Trajectory
from agent.update import Learner, Pass
from tests.agent.run_fixtures import ENGINE, Hooks, Parity, small_config


def prepared(tmp_path: Path, **areas: dict[str, object]) -> tuple[Config, Parts]:
    options = {"evaluation": {"validate_every": 0}, **areas}
    config = small_config(tmp_path, **options)  # type: ignore[arg-type]
    return config, build(config, tmp_path, None)


def trained(config: Config, parts: Parts, first: int = 0) -> tuple[list[dict[str, float]], str, Finished | Exception]:
    """Metrics, what was told, and how it ended."""
    told = io.StringIO()
    progress = Progress(Console(file=told, width=300))
    directory = RunDirectory(config)
    try:
        ended: Finished | Exception = train(config, parts, directory, first, progress, Interrupt())
    except MismatchError as error:
        ended = error
    finally:
        directory.close()
        progress.stop()
        parts.close()
    return directory.metrics(), told.getvalue(), ended


def lesson_of(config: Config, parts: Parts, trajectories: list[Trajectory], scores: torch.Tensor) -> Lesson:
    """The lesson of two groups of three, with these scores in place of their own."""
    valid = torch.tensor([t.valid for t in trajectories])
    siblings = torch.tensor([0, 0, 0, 1, 1, 1])
    return prepare(learner_of(config, parts), parts, trajectories, siblings, Rewards(scores, valid, {}), None, 0.0)


def copied(parts: Parts) -> dict[str, torch.Tensor]:
    return {name: whole(tensor).clone() for name, tensor in parts.vlm.model.state_dict().items()}


def moved(parts: Parts, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(whole(tensor), before[name]) for name, tensor in parts.vlm.model.state_dict().items())


def test_siblings_share_their_task_and_their_world_and_differ_in_their_dice(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout={"prompts_per_step": 3, "group_size": 4})
    groups = rollout(config, parts, 0)
    assert [len(group.trajectories) for group in groups] == [4, 4, 4]
    for group in groups:
        assert len({(t.task, t.seed) for t in group.trajectories}) == 1
        assert len({t.rows[0].segments[0].token_ids for t in group.trajectories}) == 1
        assert len({action.sampling.seed for t in group.trajectories for action in t.actions if action.sampling}) == 8
    assert len({group.trajectories[0].seed for group in groups}) == 3


def test_each_step_has_its_own_tasks_and_always_the_same(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)

    def tokens(step: int) -> list[tuple[int, ...]]:
        return [row.token_ids for group in rollout(config, parts, step) for t in group.trajectories for row in t.rows]

    first = tokens(0)
    assert tokens(1) != first
    assert tokens(0) == first


def test_no_two_actions_of_a_run_are_drawn_with_the_same_dice(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    groups = [group for step in range(3) for group in rollout(config, parts, step)]
    seeds = [action.sampling.seed for group in groups for t in group.trajectories for action in t.actions]
    assert len(seeds) == len(set(seeds)) == 3 * 6 * 2


def test_only_trajectories_with_an_advantage_are_trained(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    trajectories = [t for group in rollout(config, parts, 0) for t in group.trajectories]
    scores = torch.tensor([0.0, 1.0, 1.0, 0.5, 0.5, 0.5])  # the second group says nothing
    lesson = lesson_of(config, parts, trajectories, scores)
    assert taught(parts.algorithm, lesson) == [0, 1, 2]
    assert lesson.experience is not None
    batch = lesson.experience.of_trajectories([0, 2]).batch
    assert batch.trajectory.tolist() == [0, 2]
    for row, index in enumerate((0, 2)):
        (advantage,) = batch.advantages[row][batch.action_mask[row]].unique().tolist()
        assert advantage == pytest.approx(lesson.advantages[index][0]) and abs(advantage) > 0.5
    assert taught(parts.algorithm, lesson_of(config, parts, trajectories, torch.zeros(6))) == []


def test_with_a_divergence_every_valid_trajectory_is_trained(tmp_path: Path) -> None:
    config, parts = prepared(
        tmp_path, algorithm={"divergence": DivergenceConfig(0.1)}, env={"train": {"fault": "sandbox"}}
    )
    trajectories = [t for step in range(4) for group in rollout(config, parts, step) for t in group.trajectories]
    assert not all(t.valid for t in trajectories)
    parts.renderer.forget = lambda keep=(): None  # type: ignore[method-assign]
    trajectories = [t for group in rollout(config, parts, 0) for t in group.trajectories]
    lesson = lesson_of(config, parts, trajectories, torch.zeros(6))
    assert taught(parts.algorithm, lesson) == [i for i, t in enumerate(trajectories) if t.valid and t.action_count]


def test_groups_of_equal_rewards_teach_nothing_and_are_counted(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, env={"kwargs": {"fault": "constant"}})
    before = copied(parts)
    metrics, _, ended = trained(config, parts)
    assert [line["zero_variance_groups"] for line in metrics] == [1.0, 1.0, 1.0]
    assert [line["group_deviation"] for line in metrics] == [0.0, 0.0, 0.0]
    assert not moved(parts, before)
    assert parts.train_engine.steps_taken == 3
    assert ended == Finished(3, False)


def test_a_share_of_equal_groups_is_counted_as_that_share(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout={"prompts_per_step": 4}, env={"kwargs": {"fault": "odd worlds"}})
    metrics, _, _ = trained(config, parts)
    for step, line in enumerate(metrics, 1):
        read = [t for t, _ in read_trajectories(tmp_path / "run" / "rollouts" / f"step_{step:06d}.jsonl")]
        groups = [{t.outcome.score for t in read[i : i + 3]} for i in range(0, 12, 3)]
        assert line["zero_variance_groups"] == sum(len(group) == 1 for group in groups) / 4
    assert {line["zero_variance_groups"] for line in metrics} - {0.0, 1.0}


def test_the_metrics_of_a_step_are_those_of_its_recorded_trajectories(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    metrics, _, _ = trained(config, parts)
    for step, line in enumerate(metrics, 1):
        read = [t for t, _ in read_trajectories(tmp_path / "run" / "rollouts" / f"step_{step:06d}.jsonl")]
        actions = [action for t in read for action in t.actions]
        lengths = [len(action.token_ids) for action in actions]
        assert line["reward"] == pytest.approx(sum(t.outcome.score for t in read) / 6, abs=1e-6)
        assert line["turn_tokens"] == pytest.approx(sum(lengths) / len(lengths))
        assert line["turns"] == len(actions) / 6 == 2
        assert line["stop/length"] == sum(a.sampling.stop_reason == "length" for a in actions) / len(actions)
        assert line["end/truncated"] == line["failed"] == 0.0 and line["end/terminated"] == 1.0
        # -log of a sampled token's probability is an estimate of the entropy: the same up to chance.
        surprise = -sum(lp for a in actions for lp in a.logprobs) / sum(lengths)
        assert line["entropy"] == pytest.approx(surprise, rel=0.3)


def test_shuffled_rewards_are_the_same_rewards_elsewhere(tmp_path: Path) -> None:
    """The control: what is recorded as each trajectory's score stays, what is learned from is permuted."""
    plain, shuffled = {}, {}
    for name, store in (("plain", plain), ("shuffled", shuffled)):
        config, parts = prepared(
            tmp_path / name, algorithm={"shuffle_rewards": name == "shuffled"}, optimizer={"steps": 1}
        )
        store["metrics"], _, _ = trained(config, parts)
        store["read"] = list(read_trajectories(tmp_path / name / "run" / "rollouts" / "step_000001.jsonl"))
    scores = [t.outcome.score for t, _ in plain["read"]]
    assert [t.outcome.score for t, _ in shuffled["read"]] == scores
    assert [r["advantage"] for _, r in shuffled["read"]] != [r["advantage"] for _, r in plain["read"]]
    assert shuffled["metrics"][0]["reward"] == pytest.approx(plain["metrics"][0]["reward"], abs=1e-6)
    # The advantages are those of some permutation of the scores.
    groups, valid = torch.tensor([0, 0, 0, 1, 1, 1]), torch.ones(6, dtype=torch.bool)
    target = torch.tensor([r["advantage"] for _, r in shuffled["read"]])
    assert any(torch.allclose(grpo(torch.tensor(p), groups, valid), target, atol=1e-5) for p in permutations(scores))


def other_weights(parts: Parts) -> None:
    """Plant the fault: the sampler works with other weights than the trainer."""
    model = load_vlm(parts.config.model.path).model
    with torch.no_grad():
        model.get_output_embeddings().weight.add_(
            0.05 * torch.randn(model.get_output_embeddings().weight.shape, generator=torch.Generator().manual_seed(0))
        )
    processor = parts.vlm.processor
    parts.rollout_engine = TransformersEngine(model, processor.image_token_id, processor.merge)


def test_a_sampler_with_other_weights_stops_the_run_names_the_token_and_saves(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    other_weights(parts)
    before = copied(parts)
    metrics, _, ended = trained(config, parts)
    assert isinstance(ended, MismatchError)
    message = str(ended)
    assert "check.max_gap" in message
    assert "First: token" in message and "the sampler gave it log-probability" in message and "the trainer" in message
    assert metrics == []
    checkpoint = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None and checkpoint.name == "step_0"
    saved = load_vlm(checkpoint).model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in saved.items())
    assert load_state(checkpoint)["step"] == 0


def test_the_token_that_is_named_is_the_first_bad_one(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    other_weights(parts)
    _, _, ended = trained(config, parts)
    said = str(ended)
    position, trajectory = (
        int(said.split("First: token ")[1].split()[0]),
        int(said.split("of trajectory ")[1].split()[0]),
    )
    sampler = float(said.split("gave it log-probability ")[1].split(",")[0])
    config, parts = prepared(tmp_path / "again")
    other_weights(parts)
    trajectories = [t for group in rollout(config, parts, 0) for t in group.trajectories]
    row = trajectories[trajectory].rows[0]
    first = row.action_mask.index(True)
    logprobs = next(row.actions).logprobs
    assert logprobs is not None
    assert logprobs[position - first] == pytest.approx(sampler, abs=1e-6)


def test_a_mismatch_that_is_only_warned_of_does_not_stop_the_run(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, check={"on_failure": "warn"}, optimizer={"steps": 2})
    other_weights(parts)
    before = copied(parts)
    metrics, told, ended = trained(config, parts)
    assert ended == Finished(2, False)
    assert "warning: sampler and trainer disagree" in told
    assert metrics[0]["gap/largest"] > 1e-3
    # After the first step the sampler was given the trainer's weights: the fault is gone.
    assert metrics[1]["gap/largest"] < 1e-4
    assert moved(parts, before)


def test_a_wide_enough_bound_lets_the_same_fault_pass(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, check={"max_gap": 100.0}, optimizer={"steps": 1})
    other_weights(parts)
    metrics, told, ended = trained(config, parts)
    assert ended == Finished(1, False)
    assert "warning" not in told
    assert metrics[0]["gap/largest"] > 1e-3


def test_without_any_valid_trajectory_the_step_is_skipped(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, env={"kwargs": {"fault": "always sandbox"}}, optimizer={"steps": 2})
    before = copied(parts)
    metrics, _, ended = trained(config, parts)
    assert ended == Finished(2, False)
    assert [line["failed"] for line in metrics] == [1.0, 1.0]
    assert all(math.isnan(line["reward"]) for line in metrics)
    assert not moved(parts, before)


def test_the_last_step_is_saved_whatever_save_every_says(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, run={"save_every": 2})
    trained(config, parts)
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step_2", "step_3"]


def test_rollouts_are_recorded_at_the_first_step_and_at_the_interval(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, run={"record_every": 2}, optimizer={"steps": 5})
    trained(config, parts)
    names = sorted(p.stem for p in (tmp_path / "run" / "rollouts").glob("*.jsonl"))
    assert names == ["step_000001", "step_000002", "step_000004"]


def test_tokens_say_which_weights_drew_them_also_after_a_skipped_step(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, env={"kwargs": {"fault": "constant"}})
    trained(config, parts)
    for step in (1, 2, 3):
        read = [t for t, _ in read_trajectories(tmp_path / "run" / "rollouts" / f"step_{step:06d}.jsonl")]
        assert {action.sampling.weight_version for t in read for action in t.actions} == {step - 1}


def test_validation_that_asks_for_more_tasks_than_there_are_is_refused(tmp_path: Path) -> None:
    config = small_config(tmp_path, evaluation={"validate_every": 1, "validation_episodes": 51})
    with pytest.raises(ConfigError, match="validation_episodes"):
        trained(config, build(config, tmp_path, None))


def test_a_stop_that_was_asked_for_ends_after_the_step_and_is_saved(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, run={"save_every": 100})
    stop = Interrupt()
    told = Progress(Console(file=io.StringIO()))

    def ask(count: int) -> None:
        stop.requested = count >= 15

    Hooks.set(ask)
    directory = RunDirectory(config)
    ended = train(config, parts, directory, 0, told, stop)
    directory.close()
    Hooks.set(None)
    assert ended == Finished(2, True)
    assert latest_checkpoint(tmp_path / "run" / "checkpoints") == tmp_path / "run" / "checkpoints" / "step_2"
    assert replace(ended, interrupted=False) == Finished(2, False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_next_environments_are_reset_while_the_weights_are_updated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    resets: list[int] = []
    plain = Parity.reset

    def counted(self: Parity, **asked: Any) -> Any:
        resets.append(1)
        return plain(self, **asked)

    before: list[int] = []

    def waited(*arguments: Any) -> dict[str, float]:
        config, step = arguments[0], arguments[4]
        each = config.rollout.prompts_per_step * config.rollout.group_size
        patience = iter(range(10_000))
        while len(resets) < each * min(step + 2, config.optimizer.steps) and next(patience, None) is not None:
            time.sleep(0.001)
        before.append(len(resets) // each)
        return learn(*arguments)

    config, parts = prepared(tmp_path, rollout={"deterministic": deterministic})
    monkeypatch.setattr(Parity, "reset", counted)
    monkeypatch.setattr("agent.train.learn", waited)
    trained(config, parts)
    assert before == [2, 3, 3]  # nothing is begun behind the last step


def test_a_run_that_resets_ahead_is_one_that_does_not(tmp_path: Path) -> None:
    found = []
    for ahead in (True, False):
        config, parts = prepared(tmp_path / str(ahead), rollout={"reset_ahead": ahead})
        trained(config, parts)
        found.append(copied(parts))
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


@pytest.mark.skipif(ENGINE.train != "local", reason="prompts are kept where one process has the whole model")
@pytest.mark.parametrize(("family", "epochs"), [("grpo", 1), ("ppo", 1), ("grpo", 2)])
def test_a_step_that_goes_on_from_the_rollouts_prompts_learns_what_it_learns_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, epochs: int
) -> None:
    led_back = []
    original = KeptPrompts.backward

    def counted(kept: KeptPrompts) -> None:
        led_back.append(len(kept))
        original(kept)

    monkeypatch.setattr(KeptPrompts, "backward", counted)
    told = {}
    for mib in (1024.0, 0.0):
        config, parts = prepared(
            tmp_path / str(mib),
            engine={"keep_prompts_mib": mib},
            algorithm={"family": family, "entropy_coef": 0.01, "epochs": epochs},
            critic={"trunk": "shared"},
        )
        told[mib], _, ended = trained(config, parts)
        assert isinstance(ended, Finished) and parts.kept is None
    assert len(told[0.0]) > 1 and led_back == [2] * (len(told[0.0]) - 1)  # not in the first step, which is recorded
    for with_kept, without in zip(told[1024.0], told[0.0], strict=True):
        for name in ("loss", "grad_norm", "entropy", "reward"):
            assert with_kept[name] == pytest.approx(without[name], rel=1e-3, abs=1e-5), name
        assert with_kept["gap/largest"] < 1e-4


def passes_of_ppo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foresee: bool = True, **areas: dict[str, object]
) -> tuple[list[int], list[dict[str, float]]]:
    """Rows of each pass of a run's learner with a graph, and the run's metrics."""
    rows: list[int] = []
    original = Learner.forward

    def counted(learner: Learner, micro: Batch, value_only: bool = False) -> Pass:
        assert torch.is_grad_enabled()
        rows.append(len(micro))
        return original(learner, micro, value_only)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "forward", counted)
        if not foresee:
            patched.setattr(Learner, "foresee", lambda *_: None)
        options = {"algorithm": {"family": "ppo", "entropy_coef": 0.01}, "critic": {"trunk": "shared"}} | areas
        config, parts = prepared(tmp_path, **options)
        metrics, _, ended = trained(config, parts)
    assert isinstance(ended, Finished)
    return rows, metrics


def test_values_before_the_only_update_come_from_its_own_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = Critic.values
    monkeypatch.setattr(Critic, "values", lambda *args: asked.append(1) or original(*args))
    rows, ahead = passes_of_ppo(tmp_path / "ahead", monkeypatch)
    assert rows == [6] * len(ahead) and not asked
    rows, plain = passes_of_ppo(tmp_path / "plain", monkeypatch, foresee=False)
    assert rows == [6] * len(plain) and len(asked) == len(plain)
    for one, other in zip(ahead, plain, strict=True):
        for name in ("loss", "value_loss", "grad_norm", "entropy", "reward", "value"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("areas", "passes"),
    [
        ({"optimizer": {"steps": 1, "micro_batch_tokens": 32}}, 6),  # a row each
        ({"optimizer": {"steps": 1}, "algorithm": {"family": "ppo", "epochs": 2}}, 2),
        ({"optimizer": {"steps": 1}, "critic": {"trunk": "shared", "warmup_steps": 1}}, 1),
    ],
)
def test_where_a_pass_would_not_be_the_updates_values_are_computed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, areas: dict[str, dict[str, object]], passes: int
) -> None:
    asked: list[int] = []
    original = Critic.values
    monkeypatch.setattr(Critic, "values", lambda *args: asked.append(1) or original(*args))
    rows, _ = passes_of_ppo(tmp_path, monkeypatch, **areas)
    assert asked == [1] and len(rows) == passes


@pytest.mark.skipif(ENGINE.train != "local", reason="prompts are kept where one process has the whole model")
def test_what_is_kept_of_a_rollout_ends_with_its_update(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path)
    parts.memory.enter(Phase.ROLLOUT)
    parts.keep_prompts()
    rollout(config, parts, 1)
    kept = parts.kept
    assert kept is not None and len(kept) == 2
    parts.memory.enter(Phase.UPDATE)
    assert parts.memory.ledger().owners["kept prompts"] == kept.nbytes > 0
    parts.memory.enter(Phase.SYNC)
    assert parts.kept is None and not kept.nbytes and not len(kept)


@pytest.mark.parametrize(
    "options",
    [
        {"engine": {"sharing": "none"}},
        {"engine": {"sharing": "prefix"}},
        {"engine": {"offload": "all"}},
        {"model": {"gradient_checkpointing": True}},
    ],
)
def test_prompts_are_not_kept_where_the_update_could_not_use_them(tmp_path: Path, options: dict[str, Any]) -> None:
    _, parts = prepared(tmp_path, **options)
    parts.keep_prompts()
    assert parts.kept is None
