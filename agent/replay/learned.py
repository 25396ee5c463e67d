"""Advantages and losses of a step, worked out again from its scores and what the models said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ..collect import greedy_scores_of
from ..config import Config
from ..credit import episodes_of, estimate, last_turns
from ..describe import describe
from ..engine.ranks import Ranks
from ..errors import AgentError
from ..lesson import Lesson, Rewards, prepare
from ..progress import Progress
from ..train import learn
from .compared import field_differences, in_words, loss_differences, of_tokens, token_differences
from .differences import EXACT, OTHER_MACHINE, Difference, mapping_differences
from .played import PlayedParts, Tape, UnplayableError, played
from .processes import together
from .recording import Circumstances, Recording, circumstances, fields_of
from .run_folder import RecordedStep

# Gradients need a model: their norms are logged and not repeated.
NOT_REPEATED = ("grad_norm", "critic_grad_norm")


@dataclass(eq=False)
class LearnedAgain:
    """What came of it.

    Attributes:
        losses: Losses and logged numbers that were compared.
        near: The machine that it was recorded on, where that is another and numbers may be apart by rounding.
        unchecked: Parts that could not be checked, with the reason.
    """

    differences: list[Difference] = field(default_factory=list)
    losses: int = 0
    near: str = ""
    unchecked: dict[str, str] = field(default_factory=dict)


def learned_again(config: Config, parts: PlayedParts, recorded: RecordedStep, groups: Tensor) -> LearnedAgain:
    """The step by the trainer's own `prepare` and `learn`, which ask the record instead of models."""
    around, shares = recorded.around, recorded.shares
    assert around is not None and shares is not None
    device = torch.device("cuda" if around.device.startswith("cuda") and torch.cuda.is_available() else "cpu")
    here = circumstances(around.kl_coef, around.processes, device, around.packed)
    again = LearnedAgain(near="" if here.machine == around.machine else around.machine)
    threads = torch.get_num_threads()
    torch.set_num_threads(around.threads)  # in how many parts numbers are added up

    def one(ranks: Ranks) -> tuple[Lesson, dict[str, float], Recording]:
        return _one_process(config, parts, recorded, groups, Tape(shares[ranks.rank], device), around, ranks)

    try:
        done = together(around.processes, one)
    except UnplayableError as error:
        again.differences.append(Difference("losses", in_words(error.what), error.recorded, error.again))
        return again
    # Whatever a changed record leads to; a user's own functions are blamed by an AgentError.
    except (AgentError, ValueError, OSError, KeyError, IndexError, RuntimeError) as error:
        again.differences.append(Difference("losses", "computation", "numbers", f"{type(error).__name__}: {error}"))
        return again
    finally:
        torch.set_num_threads(threads)
    tolerance = OTHER_MACHINE if again.near else EXACT
    lesson, metrics, _ = done[0]
    looked = {index: told for *_, recording in done for index, told in recording.trainer_logprobs.items()}
    again.differences += field_differences(recorded.episodes, fields_of(lesson, looked), tolerance)
    for process, (*_, recording) in enumerate(done):
        number = process if len(done) > 1 else None
        again.differences += loss_differences(shares[process], recording, tolerance, number)
        again.losses += len(recording.about)
    if recorded.logged is None:
        again.unchecked["metrics"] = "metrics.jsonl has no line of this step"
        return again
    again.losses += len(metrics)
    logged = {name: recorded.logged.get(name, "nothing") for name in metrics}
    for name, old, new in mapping_differences(logged, metrics, tolerance):
        again.differences.append(Difference("losses", f"{name} in metrics.jsonl", old, new))
    return again


def advantages_alone(
    config: Config, parts: PlayedParts, recorded: RecordedStep, groups: Tensor, rewards: Rewards
) -> LearnedAgain:
    """Of a step without tensors: what scores alone are enough for."""
    reason = recorded.unreadable or "what the models said was not recorded (the run is of an earlier version)"
    again = LearnedAgain(unchecked={"losses": reason})
    algorithm, divergence = parts.algorithm, config.algorithm.divergence
    if algorithm.needs_values or (algorithm.needs_reference and divergence.where == "reward"):
        again.unchecked["advantages"] = f"they need more than scores, and {reason}"
        return again
    if algorithm.needs_greedy and recorded.greedy is None:
        again.unchecked["advantages"] = "the greedy episodes were not recorded (the run is of an earlier version)"
        return again
    trajectories = [trajectory for trajectory, _ in recorded.episodes]
    try:
        episodes = episodes_of(trajectories, groups, rewards.scores, rewards.valid)
        credit = estimate(algorithm, episodes, greedy_scores=_greedy_scores(parts, recorded, groups))
    except AgentError as error:
        again.differences.append(Difference("advantages", "computation", "numbers", str(error)))
        return again
    advantages = credit.advantages
    if config.algorithm.selection.turns == "last":
        advantages = advantages.where(last_turns(episodes), 0.0)
    for index, (row, (trajectory, record)) in enumerate(zip(advantages.tolist(), recorded.episodes, strict=True)):
        old, new = of_tokens(record, "advantage", trajectory), row[: trajectory.action_count]
        if old is None:
            again.unchecked["advantages"] = "they were not recorded (the run is of an earlier version)"
            break
        again.differences += token_differences("advantages", "advantage", old, new, trajectory, index)
    return again


class _Echo(Recording):
    """Records a step that is played from a tape, and tells the tape which update it is."""

    def __init__(self, around: Circumstances, tape: Tape) -> None:
        super().__init__(around)
        self._tape = tape

    def update(self, number: int) -> None:
        super().update(number)
        self._tape.time = f"update_{number}"


def _one_process(
    config: Config,
    parts: PlayedParts,
    recorded: RecordedStep,
    groups: Tensor,
    tape: Tape,
    around: Circumstances,
    ranks: Ranks,
) -> tuple[Lesson, dict[str, float], Recording]:
    """What one process of the run learned: lesson, metrics and all that was heard, recorded once more."""
    step, recording = recorded.step - 1, _Echo(around, tape)
    learner, own = played(config, parts, tape, around, ranks, step)
    learner = replace(learner, listener=recording)
    stands: Any = own  # for `Parts`
    trajectories, greedy = [trajectory for trajectory, _ in recorded.episodes], _greedy_scores(parts, recorded, groups)
    rewards = recorded_rewards(recorded)
    lesson = prepare(learner, stands, trajectories, groups, rewards, greedy, around.kl_coef)
    quiet = Progress(Console(quiet=True))
    try:
        metrics = describe(lesson) | learn(config, stands, learner, lesson, step, quiet)
    finally:
        quiet.stop()
    repeated = {n: v for n, v in metrics.items() if n not in NOT_REPEATED and not n.startswith("grad_norm/")}
    return lesson, repeated, recording


def recorded_rewards(recorded: RecordedStep) -> Rewards:
    """Scores and terms as they were recorded."""
    records = [record for _, record in recorded.episodes]
    terms = {name: torch.tensor([record["terms"][name] for record in records]) for name in records[0]["terms"]}
    valid = torch.tensor([trajectory.valid for trajectory, _ in recorded.episodes], dtype=torch.bool)
    return Rewards(torch.tensor([record["scored"] for record in records]), valid, terms)


def _greedy_scores(parts: Any, recorded: RecordedStep, groups: Tensor) -> Tensor | None:
    """The score of each trajectory's greedy episode, if there are such."""
    if recorded.greedy is None:
        return None
    scores = greedy_scores_of(parts, [trajectory for trajectory, _ in recorded.greedy])
    sizes: Sequence[int] = [len(list(members)) for _, members in groupby(groups.tolist())]
    return scores.repeat_interleave(torch.tensor(sizes))
