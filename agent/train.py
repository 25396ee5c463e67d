"""The loop: rollout, reward, advantage, update, sync, evaluate, save.

Everything that a step uses is derived from its number, so a run that was cut off continues from its last checkpoint as
if nothing had happened.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from . import agreement
from .collect import budget, collect_or_wait, reset_ahead
from .config import Config
from .describe import describe, mean_of, peak_memory
from .engine.checkpoint import save_checkpoint
from .engine.experience import Experience
from .engine.memory import Phase
from .errors import AgentError, CheckpointError, MismatchError, OutageError
from .evaluate import evaluate_policy, primary_metric, scores_of
from .illness import Watch
from .interrupt import Interrupt
from .lesson import Lesson, mini_batches, prepare, rewards_of, taught
from .model.states import packs
from .objective.aggregation import trajectory_weights
from .objective.kl import adapted
from .parts import Parts
from .progress import Progress
from .replay.record import record, recording_of
from .replay.recording import Recording
from .roles.critic import told
from .roles.reference import Reference
from .rollout.episodes import EpisodeDriver
from .run_directory import RunDirectory
from .types import Trajectory
from .update import Learner, accumulate_gradient, selected


@dataclass(frozen=True)
class Finished:
    """How far training came. `interrupted`: the user asked it to stop; a checkpoint was saved."""

    step: int
    interrupted: bool


def train(config: Config, parts: Parts, run: RunDirectory, first: int, progress: Progress, stop: Interrupt) -> Finished:
    """Reinforcement learning from step `first` (steps done so far) to the last.

    Raises:
        MismatchError: sampler and trainer disagree; a checkpoint of the weights before the bad step is saved.
        OutageError: most of a step's episodes fail at the infrastructure; a checkpoint likewise.
    """
    run.begin(first)
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # the collector need not look at everything that was imported again whenever rows are made
    step = saved = first
    learner, watch = learner_of(config, parts), Watch()
    # While a pause goes on, processes do not look at each other: all of them wait to its end.
    halted = (lambda: stop.requested) if parts.ranks.size == 1 else (lambda: False)
    while step < config.optimizer.steps and not parts.ranks.any(stop.requested):
        started = time.perf_counter()
        parts.memory.enter(Phase.ROLLOUT)
        if step % config.check.every:  # in the others the trainer computes all itself, to be compared with the sampler
            parts.keep_prompts()
        with _kept(config, parts, run, step, saved, progress):
            collected = collect_or_wait(config, parts, step, progress.warn, halted)
        if collected is None:
            break
        rolled = time.perf_counter()

        parts.memory.enter(Phase.UPDATE)
        recording = recording_of(parts) if (step + 1) % config.run.record_every == 0 or step == 0 else None
        heard = replace(learner, listener=recording, kept=parts.kept)
        with _kept(config, parts, run, step, saved, progress):
            rewards = rewards_of(config, parts, collected.trajectories, collected.siblings, step)
            lesson = prepare(
                heard,
                parts,
                collected.trajectories,
                collected.siblings,
                rewards,
                collected.greedy_scores,
                parts.kl_coef,
                foresee=not _warming(learner, step),
            )
        ahead, lesson = lesson.ahead, replace(lesson, ahead=None)  # its graph lives no longer than the update
        metrics = describe(lesson) | collected.metrics
        prepared = time.perf_counter()
        updates = parts.train_engine.steps_taken
        if config.rollout.reset_ahead and step + 1 < config.optimizer.steps:
            reset_ahead(config, parts, step + 1)
        try:
            metrics |= learn(config, parts, replace(heard, ahead=ahead), lesson, step, progress)
            ahead = None
        except AgentError:
            parts.train_engine.discard()
            if parts.train_engine.steps_taken == updates:  # half a step is not a state to continue from
                save(config, parts, run, step)
            raise
        parts.drop_prompts()
        step += 1
        updated = time.perf_counter()
        with _kept(config, parts, run, step, saved, progress):
            parts.sync(step)
        parts.memory.enter(Phase.ROLLOUT)
        learner = _moved_reference(config, parts, learner, step)
        metrics |= {
            "seconds/rollout": rolled - started,
            "seconds/credit": prepared - rolled,
            "seconds/update": updated - prepared,
            "seconds/sync": time.perf_counter() - updated,
            "memory/peak_mib": parts.memory.peak_mib or peak_memory(),
        }
        metrics |= parts.memory.metrics

        if recording is not None:
            _record_or_warn(parts, run, step, lesson, collected.greedy, recording, progress)
        parts.renderer.forget()  # the pictures of this step's episodes
        every = config.evaluation.validate_every
        if every and (step % every == 0 or step == config.optimizer.steps):
            with _kept(config, parts, run, step, saved, progress):
                metrics["validation"] = validate(config, parts, config.evaluation.validation_episodes)
        metrics["seconds/step"] = time.perf_counter() - started
        run.log(step, metrics)
        progress.step(step, metrics)
        for illness in watch.look(metrics):
            progress.warn(f"step {step}: {illness}")
        if step % config.run.save_every == 0:
            saved = _save_or_warn(config, parts, run, step, progress) or saved
    parts.driver("train").abandon()
    if saved != step:
        save(config, parts, run, step)
    return Finished(step, stop.requested and step < config.optimizer.steps)


def learner_of(config: Config, parts: Parts) -> Learner:
    """Who takes part in the updates of a run."""
    return Learner(
        parts.actor,
        parts.reference,
        parts.critic,
        parts.train_engine,
        parts.algorithm,
        config.optimizer.micro_batch_tokens,
        packs(parts.vlm.model),
    )


def _warming(learner: Learner, step: int) -> bool:
    """Whether nothing but the critic learns yet."""
    return learner.critic is not None and step < learner.critic.config.warmup_steps


def learn(
    config: Config, parts: Parts, learner: Learner, lesson: Lesson, step: int, progress: Progress
) -> dict[str, float]:
    """The updates of one step: `epochs` passes over its mini-batches; returns their mean metrics.

    Raises:
        MismatchError: sampler and trainer disagree; no weight has moved.
    """
    algorithm, experience = learner.algorithm, lesson.experience
    kept = set(taught(algorithm, lesson))
    metrics: dict[str, float] = {"taught": float(len(kept)), "lr": parts.train_engine.lr}
    if experience is not None and experience.old_logprobs is not None:
        metrics |= _agree(config, parts, experience, lesson, experience.old_logprobs, progress)
    warming = _warming(learner, step)
    pieces = []
    for number, chosen in enumerate(mini_batches(lesson, algorithm, config.run.seed, step)):
        if learner.listener is not None:
            learner.listener.update(number)
        here = sorted(kept.intersection(chosen))
        if experience is None or not here:
            parts.train_engine.skip()
            if learner.critic is not None:
                learner.critic.skip()
            continue
        part = selected(learner, experience.of_trajectories(here))
        if learner.critic is not None and not learner.critic.shared:
            pieces.append(learner.critic.update(part, learner.micro_batch_tokens, learner.listener, learner.packed))
        if warming and learner.critic is not None and not learner.critic.shared:
            parts.train_engine.skip()
            continue
        weights = _weights(learner, lesson, chosen)
        first, learner = learner, replace(learner, kept=None, ahead=None)  # after this update the weights are others
        if first.kept is not None:
            first = replace(first, kept=first.kept.worth(part.batch.prompts()))
        gradient = accumulate_gradient(first, part, weights, parts.kl_coef, value_only=warming)
        if part.old_logprobs is None:
            metrics |= _agree(config, parts, part, lesson, gradient.logprobs, progress)
        norms = parts.gradient_norms()
        pieces.append(gradient.metrics | norms | {"grad_norm": parts.train_engine.step()})
    credit = lesson.credit
    if lesson.values is not None and credit.returns is not None and credit.valued is not None:
        metrics |= told(lesson.values, credit.returns, credit.valued & lesson.episodes.valid[:, None])
    metrics |= mean_of(pieces)
    if learner.reference is not None:
        metrics["kl_coef"] = parts.kl_coef
        divergence = algorithm.config.divergence
        if divergence.target and "kl/k1" in metrics:
            parts.kl_coef = adapted(parts.kl_coef, metrics["kl/k3"], divergence.target, horizon_ratio=divergence.rate)
    return metrics


def validate(config: Config, parts: Parts, episodes: int) -> float:
    """Greedy score on the validation split's first tasks; not a number where the infrastructure broke them all."""
    parts.memory.enter(Phase.ROLLOUT)
    driver: EpisodeDriver = parts.driver("validation")
    trajectories = evaluate_policy(driver, episodes, budget(config, 0.0), config.run.seed, ranks=parts.ranks)
    parts.renderer.forget()
    scores = scores_of(trajectories, primary_metric(driver.pool))
    return sum(scores) / len(scores) if scores else float("nan")


def save(config: Config, parts: Parts, run: RunDirectory, step: int) -> int:
    """Write a checkpoint; returns its step."""
    save_checkpoint(
        run.checkpoints, step, parts.vlm, parts.state_dict(), config.run.keep, parts.sharded_engines or None
    )
    return step


def _weights(learner: Learner, lesson: Lesson, chosen: list[int]) -> Float[Tensor, " trajectories"]:
    """What each token of a trajectory counts, over the valid trajectories of a mini-batch: what has no gradient is left
    out of the computation, not out of the mean."""
    algorithm = learner.algorithm
    counted = torch.zeros_like(lesson.episodes.valid)
    counted[chosen] = lesson.episodes.valid[chosen]
    if algorithm.config.selection.drop_truncated:
        counted &= ~lesson.episodes.truncated
    constant = algorithm.constant if algorithm.aggregation == "constant" else 0
    return trajectory_weights(lesson.trained, counted, algorithm.aggregation, constant)


def _moved_reference(config: Config, parts: Parts, learner: Learner, step: int) -> Learner:
    every = config.algorithm.divergence.refresh_every
    if parts.reference is None or not every or step % every:
        return learner
    if parts.sharded_engines:
        parts.reference.follow(parts.train_engine.named_tensors())
        return learner
    parts.reference = Reference(parts.actor)
    return learner_of(config, parts)


@contextmanager
def _kept(config: Config, parts: Parts, run: RunDirectory, step: int, saved: int, progress: Progress) -> Iterator[None]:
    """If an environment or a generation server breaks meanwhile, what was learned until here is saved before the run
    ends."""
    try:
        yield
    except AgentError as error:
        # Saving takes all processes, and what an environment raised is known to one of them alone.
        together = parts.ranks.size == 1 or isinstance(error, OutageError | MismatchError)
        if saved != step and together:
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
    lesson: Lesson,
    greedy: Sequence[Trajectory] | None,
    recording: Recording,
    progress: Progress,
) -> None:
    """Rollouts are for people: a full disk costs the record and not the run."""
    try:
        record(parts, run.rollouts, step, lesson, greedy, recording, run.show)
    except OSError as error:
        progress.warn(f"the rollouts of step {step} could not be recorded in {run.rollouts}: {error}")


def _agree(
    config: Config,
    parts: Parts,
    experience: Experience,
    lesson: Lesson,
    logprobs: Float[Tensor, "rows tokens"],
    progress: Progress,
) -> dict[str, float]:
    """Compare what sampler and trainer say of a step's action tokens; all processes hear of a difference in any."""
    largest, mean, message = _compared(parts, experience, lesson, logprobs)
    found = parts.ranks.gathered((largest, mean, len(experience.batch), message))
    messages = [message for *_, message in found if message]
    if messages:
        if config.check.on_failure == "stop":
            raise MismatchError(f"{messages[0]} Nothing was learned from this step.")
        progress.warn(messages[0])
    rows = sum(count for _, _, count, _ in found)
    return {
        "gap/largest": max(of_one for of_one, *_ in found),
        "gap/mean": sum(of_one * count for _, of_one, count, _ in found) / rows,
    }


def _compared(
    parts: Parts, experience: Experience, lesson: Lesson, logprobs: Float[Tensor, "rows tokens"]
) -> tuple[float, float, str]:
    """The largest difference, the mean one, and what is wrong, if something is."""
    batch, message = experience.batch, ""
    if not len(batch):
        return 0.0, 0.0, ""
    found = agreement.compare(batch, logprobs, parts.max_gap)
    if found.worst is not None:
        indices = dict.fromkeys(batch.trajectory.tolist())
        rows = [row for index in indices for row in lesson.trajectories[index].rows if any(row.actions)]
        described = agreement.describe(found, batch, rows, logprobs, parts.vlm.processor.decode)
        message = (
            f"sampler and trainer disagree by {found.largest:.2g} nats, more than check.max_gap={parts.max_gap:.2g}. "
            f"First: {described}. Their inputs or weights differ."
        )
    return found.largest, found.mean, message
