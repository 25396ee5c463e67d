"""The loop: rollout, reward, advantage, update, sync, evaluate, save.

Everything that a step uses is derived from its number, so a run that was cut off continues from its last checkpoint as
if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from . import agreement
from .config import Config
from .engine.batching import Batch, make_batch
from .engine.checkpoint import save_checkpoint
from .errors import AgentError, CheckpointError, MismatchError
from .evaluate import evaluate_policy, primary_metric, scores_of
from .interrupt import Interrupt
from .objective.advantage import ADVANTAGES, group_statistics
from .parts import Parts
from .progress import Progress
from .records import write_trajectories
from .roles.reward import scores_and_validity, shuffled
from .rollout.episode import Budget, EpisodeSpec
from .rollout.episodes import EpisodeDriver
from .run_directory import RunDirectory
from .seeds import derive_seed, generator
from .types import Trajectory, TrajectoryGroup
from .update import accumulate_gradient


@dataclass(frozen=True)
class Finished:
    """How far training came. `interrupted`: the user asked it to stop; a checkpoint was saved."""

    step: int
    interrupted: bool


def train(config: Config, parts: Parts, run: RunDirectory, first: int, progress: Progress, stop: Interrupt) -> Finished:
    """Reinforcement learning from step `first` (steps done so far) to the last.

    Raises:
        MismatchError: sampler and trainer disagree; a checkpoint of the weights before the bad step is saved.
    """
    run.begin(first)
    step = first
    saved = first
    while step < config.optimizer.steps and not stop.requested:
        started = time.perf_counter()
        with _kept(config, parts, run, step, saved, progress):
            groups = rollout(config, parts, step)
        trajectories = [trajectory for group in groups for trajectory in group.trajectories]
        rolled = time.perf_counter()

        scores, valid = scores_and_validity(trajectories)
        if config.algorithm.shuffle_rewards:
            scores = shuffled(scores, valid, config.run.seed, step)
        siblings = torch.arange(len(groups)).repeat_interleave(config.rollout.group_size)
        advantages = ADVANTAGES[config.algorithm.advantage](scores, siblings, valid)
        metrics = _describe(trajectories, scores, valid, siblings)

        batch = trainable(parts, trajectories, advantages)
        if batch is None:
            parts.train_engine.skip()
        else:
            # What has no gradient is left out of the computation, not out of the mean.
            tokens = sum(trajectory.action_count for trajectory in trajectories if trajectory.valid)
            micro = config.optimizer.micro_batch_tokens
            gradient = accumulate_gradient(
                parts.actor, parts.reference, parts.train_engine, batch, config.algorithm, tokens, micro
            )
            try:
                metrics |= _agree(config, parts, batch, trajectories, gradient.logprobs, progress)
            except MismatchError:
                parts.train_engine.discard()
                save(config, parts, run, step)
                raise
            metrics |= gradient.metrics | {"lr": parts.train_engine.lr, "grad_norm": parts.train_engine.step()}
        step += 1
        parts.rollout_engine.load_weights(parts.train_engine.named_tensors(), step)
        metrics |= {"seconds/rollout": rolled - started, "seconds/update": time.perf_counter() - rolled}

        if step % config.run.record_every == 0 or step == 1:
            _record_or_warn(parts, run, step, trajectories, advantages, progress)
        parts.renderer.forget()  # the pictures of this step's episodes
        every = config.evaluation.validate_every
        if every and (step % every == 0 or step == config.optimizer.steps):
            with _kept(config, parts, run, step, saved, progress):
                metrics["validation"] = validate(config, parts, config.evaluation.validation_episodes)
        metrics["seconds/step"] = time.perf_counter() - started
        run.log(step, metrics)
        progress.step(step, metrics)
        if step % config.run.save_every == 0:
            saved = _save_or_warn(config, parts, run, step, progress) or saved
    if saved != step:
        save(config, parts, run, step)
    return Finished(step, stop.requested and step < config.optimizer.steps)


def rollout(config: Config, parts: Parts, step: int) -> list[TrajectoryGroup]:
    """`prompts_per_step` tasks, `group_size` episodes of each."""
    sizes, seed = config.rollout, config.run.seed
    specs = []
    for prompt in range(sizes.prompts_per_step):
        reset_seed = derive_seed(seed, "task", step, prompt)
        task = None
        if parts.train_tasks is not None:
            task = int(generator(seed, "task", step, prompt).integers(parts.train_tasks))
        specs += [
            EpisodeSpec(task, reset_seed, derive_seed(seed, "sample", step, prompt, sibling))
            for sibling in range(sizes.group_size)
        ]
    trajectories = parts.driver("train").run(specs, budget(config, sizes.temperature))
    size = sizes.group_size
    return [TrajectoryGroup(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size)]


def trainable(parts: Parts, trajectories: list[Trajectory], advantages: torch.Tensor) -> Batch | None:
    """The rows that carry a gradient: those of trajectories with an advantage other than 0 and at least one action.

    With a divergence in the objective every valid trajectory carries one. None if there is nothing to learn from.
    """
    kept = [
        index
        for index, trajectory in enumerate(trajectories)
        if trajectory.valid
        and trajectory.action_count
        and (float(advantages[index]) != 0 or parts.reference is not None)
    ]
    rows = [(index, row) for index in kept for row in trajectories[index].rows if any(row.actions)]
    if not rows:
        return None
    return make_batch(
        [row for _, row in rows],
        [index for index, _ in rows],
        [float(advantages[index]) for index, _ in rows],
        parts.renderer.pixels,
        parts.vlm.processor.merge,
    )


def validate(config: Config, parts: Parts, episodes: int) -> float:
    """Greedy score on the validation split's first tasks."""
    driver: EpisodeDriver = parts.driver("validation")
    trajectories = evaluate_policy(driver, episodes, budget(config, 0.0), config.run.seed)
    parts.renderer.forget()
    scores = scores_of(trajectories, primary_metric(driver.pool))
    return sum(scores) / max(1, len(scores))


def budget(config: Config, temperature: float) -> Budget:
    """What an episode may use."""
    sizes = config.rollout
    return Budget(temperature, sizes.max_turn_tokens, sizes.max_row_tokens, sizes.max_turns)


def save(config: Config, parts: Parts, run: RunDirectory, step: int) -> int:
    """Write a checkpoint; returns its step."""
    state = {"engine": parts.train_engine.state_dict()}
    save_checkpoint(run.checkpoints, step, parts.vlm, state, config.run.keep)
    return step


def record(
    parts: Parts, run: RunDirectory, step: int, trajectories: list[Trajectory], advantages: torch.Tensor
) -> None:
    """Write every trajectory of a step, with its pictures and advantages."""
    extra = [{"advantage": float(advantage)} for advantage in advantages]
    write_trajectories(
        run.rollouts, f"step_{step:06d}", trajectories, parts.renderer.pixels, parts.vlm.processor.decode, extra
    )


@contextmanager
def _kept(config: Config, parts: Parts, run: RunDirectory, step: int, saved: int, progress: Progress) -> Iterator[None]:
    """If an environment breaks meanwhile, what was learned until here is saved before the run ends."""
    try:
        yield
    except AgentError:
        if saved != step:
            _save_or_warn(config, parts, run, step, progress)
        raise


def _save_or_warn(config: Config, parts: Parts, run: RunDirectory, step: int, progress: Progress) -> int | None:
    """A checkpoint in mid-run that cannot be written is no reason to lose what is in memory: say so and go on."""
    try:
        return save(config, parts, run, step)
    except CheckpointError as error:
        progress.warn(str(error))
        return None


def _record_or_warn(
    parts: Parts,
    run: RunDirectory,
    step: int,
    trajectories: list[Trajectory],
    advantages: torch.Tensor,
    progress: Progress,
) -> None:
    """Rollouts are for people: a full disk costs the record and not the run."""
    try:
        record(parts, run, step, trajectories, advantages)
    except OSError as error:
        progress.warn(f"the rollouts of step {step} could not be recorded in {run.rollouts}: {error}")


def _agree(
    config: Config,
    parts: Parts,
    batch: Batch,
    trajectories: list[Trajectory],
    logprobs: torch.Tensor,
    progress: Progress,
) -> dict[str, float]:
    found = agreement.compare(batch, logprobs, parts.max_gap)
    if found.worst is not None:
        rows = [row for index in dict.fromkeys(batch.trajectory.tolist()) for row in trajectories[index].rows]
        rows = [row for row in rows if any(row.actions)]
        told = agreement.describe(found, batch, rows, logprobs, parts.vlm.processor.decode)
        message = (
            f"sampler and trainer disagree by {found.largest:.2g} nats, more than check.max_gap={parts.max_gap:.2g}. "
            f"First: {told}. Their inputs or weights differ."
        )
        if config.check.on_failure == "stop":
            raise MismatchError(f"{message} Nothing was learned from this step.")
        progress.warn(message)
    return {"gap/largest": found.largest, "gap/mean": found.mean}


def _describe(
    trajectories: list[Trajectory], scores: torch.Tensor, valid: torch.Tensor, siblings: torch.Tensor
) -> dict[str, float]:
    """What a practitioner looks at first."""
    _, deviation, _ = group_statistics(scores, siblings, valid)
    actions = [action for trajectory in trajectories for action in trajectory.actions]
    lengths = [len(action.token_ids) for action in actions]
    cut = [a for a in actions if a.sampling is not None and a.sampling.stop_reason == "length"]
    count = max(1, len(trajectories))
    metrics = {
        "reward": float(scores[valid].mean()) if bool(valid.any()) else float("nan"),
        "group_deviation": float(deviation.mean()),
        "zero_variance_groups": float((deviation == 0).float().mean()),
        "turn_tokens": sum(lengths) / max(1, len(lengths)),
        "turns": len(actions) / count,
        "cut_turns": len(cut) / max(1, len(actions)),
        "failed": sum(not t.valid for t in trajectories) / count,
        "truncated": sum(t.outcome.end == "truncated" for t in trajectories) / count,
    }
    terms = {name for trajectory in trajectories for name in trajectory.rewards}
    for name in sorted(terms):
        values = [t.rewards[name] for t in trajectories if name in t.rewards]
        metrics[f"reward/{name}"] = sum(values) / len(values)
    return metrics
