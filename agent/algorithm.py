"""The algorithm of a run: estimator, loss and aggregation, with their options, checked against what the run has.

A family is a published combination. Whatever a recipe sets by itself wins over its family.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .config import Config
from .config_algorithm import AlgorithmConfig
from .errors import ConfigError, at_least
from .objective.kl import in_loss
from .objective.plugin import Estimator, PolicyLoss, check_options, resolve_estimator, resolve_policy_loss


@dataclass(frozen=True)
class Family:
    """Estimator, loss and aggregation of a paper, and how its optional parts are called here."""

    advantage: str
    policy_loss: str
    aggregation: str
    source: str
    advantage_options: dict[str, Any] = field(default_factory=dict)
    policy_loss_options: dict[str, Any] = field(default_factory=dict)
    beside: str = ""


FAMILIES: dict[str, Family] = {
    "grpo": Family("grpo", "ppo_clip", "sequence_mean", "arXiv 2402.03300"),
    "dr_grpo": Family("dr_grpo", "ppo_clip", "constant", "arXiv 2503.20783"),
    "dapo": Family(
        "grpo", "dapo", "token_mean", "arXiv 2503.14476", beside="selection.resample_rounds, selection.overlong_buffer"
    ),
    "gspo": Family("grpo", "gspo", "sequence_mean", "arXiv 2507.18071"),
    "gmpo": Family("grpo", "gmpo", "sequence_mean", "arXiv 2507.20673"),
    "cispo": Family("grpo", "cispo", "token_mean", "arXiv 2506.13585"),
    "sapo": Family("grpo", "sapo", "sequence_mean", "arXiv 2511.20347"),
    "clip_cov": Family("grpo", "clip_cov", "token_mean", "arXiv 2505.22617"),
    "kl_cov": Family("grpo", "kl_cov", "token_mean", "arXiv 2505.22617"),
    "gpg": Family("gpg", "reinforce", "token_mean", "arXiv 2504.02546"),
    "rloo": Family("rloo", "reinforce", "constant", "arXiv 2402.14740"),
    "remax": Family("remax", "reinforce", "constant", "arXiv 2310.10505"),
    "opo": Family("opo", "reinforce", "constant", "arXiv 2505.23585"),
    "reinforce_pp": Family("reinforce_pp", "ppo_clip", "token_mean", "arXiv 2501.03262"),
    "reinforce_pp_baseline": Family("reinforce_pp_baseline", "ppo_clip", "token_mean", "arXiv 2501.03262"),
    "ppo": Family("gae", "ppo_clip", "token_mean", "arXiv 1707.06347", beside="critic"),
    "turn_ppo": Family("turn_gae", "ppo_clip", "token_mean", "GAE with a turn as one step", beside="critic"),
}


@dataclass(frozen=True, eq=False)
class Algorithm:
    """What is optimised, with every name resolved and every option checked.

    `constant`: tokens a trajectory that the aggregation "constant" divides by.
    """

    estimator: Estimator
    estimator_options: dict[str, Any]
    loss: PolicyLoss
    loss_options: dict[str, Any]
    aggregation: str
    constant: float
    config: AlgorithmConfig

    @property
    def needs_values(self) -> bool:
        return "values" in self.estimator.needs

    @property
    def needs_greedy(self) -> bool:
        """Whether each task is also played once without chance, for a baseline."""
        return "greedy_scores" in self.estimator.needs

    @property
    def needs_reference(self) -> bool:
        return self.config.divergence.coef > 0

    @property
    def updates(self) -> int:
        """Optimizer steps of one rollout."""
        return self.config.epochs * self.config.mini_batches

    @property
    def whole_trajectories(self) -> bool:
        """Whether all rows of a trajectory must be in one micro-batch."""
        return "sequence" in self.loss.needs or self.config.correction.level != "token"

    @property
    def every_trajectory_counts(self) -> bool:
        """Whether trajectories without an advantage have a gradient as well."""
        in_loss_ = self.needs_reference and self.config.divergence.where == "loss"
        return in_loss_ or self.config.entropy_coef != 0 or self.needs_values or self.loss.select is not None


def resolve(config: Config) -> Algorithm:
    """The algorithm that a recipe means.

    Raises:
        ConfigError: an unknown name, an option of another, or a run that does not have what the algorithm needs.
    """
    chosen = config.algorithm
    family = FAMILIES.get(chosen.family)
    if family is None:
        near = get_close_matches(chosen.family, FAMILIES, 1)
        raise ConfigError(
            f"algorithm.family: there is no {chosen.family!r}"
            + (f"; did you mean {near[0]}?" if near else f"; there are {', '.join(FAMILIES)}.")
            + " `python -m agent algorithms` says what each is"
        )
    estimator = resolve_estimator(chosen.advantage or family.advantage)
    loss = resolve_policy_loss(chosen.policy_loss or family.policy_loss)
    # A family's options speak of its own parts.
    advantage_options = (
        chosen.advantage_options if chosen.advantage else family.advantage_options | chosen.advantage_options
    )
    loss_options = (
        chosen.policy_loss_options if chosen.policy_loss else family.policy_loss_options | chosen.policy_loss_options
    )
    constant = chosen.aggregation_constant or config.rollout.episode_tokens
    made = Algorithm(
        estimator,
        check_options(estimator, advantage_options),
        loss,
        check_options(loss, loss_options),
        chosen.aggregation or family.aggregation,
        float(constant),
        chosen,
    )
    _check(config, made)
    return made


def _check(config: Config, algorithm: Algorithm) -> None:
    chosen = config.algorithm
    divergence, correction, selection = chosen.divergence, chosen.correction, chosen.selection
    smallest = algorithm.estimator.smallest_group
    if config.rollout.group_size < smallest:
        raise ConfigError(
            f"rollout.group_size: must be at least {smallest} for the advantage estimator "
            f"{algorithm.estimator.function.__name__}, which compares siblings; got {config.rollout.group_size}"
        )
    at_least(
        ("algorithm.epochs", chosen.epochs, 1),
        ("algorithm.mini_batches", chosen.mini_batches, 1),
        ("algorithm.aggregation_constant", chosen.aggregation_constant, 0),
        ("algorithm.divergence.coef", divergence.coef, 0),
        ("algorithm.divergence.target", divergence.target, 0),
        ("algorithm.divergence.rate", divergence.rate, 0),
        ("algorithm.divergence.refresh_every", divergence.refresh_every, 0),
        ("algorithm.correction.low", correction.low, 0),
        ("algorithm.selection.resample_rounds", selection.resample_rounds, 0),
        ("algorithm.selection.overlong_buffer", selection.overlong_buffer, 0),
        ("algorithm.selection.overlong_at", selection.overlong_at, 0),
        ("critic.lr", config.critic.lr, 0),
        ("critic.coef", config.critic.coef, 0),
        ("critic.warmup_steps", config.critic.warmup_steps, 0),
    )
    for name, value in algorithm.loss_options.items():
        if (name == "clip_low" and not 0 <= value <= 1) or (name == "clip_high" and not value >= 0):
            raise ConfigError(
                f"algorithm.policy_loss_options.{name}: must be at least 0"
                + (" and at most 1" if name == "clip_low" else "")
                + f", got {value}: the ratio is held in [1 - clip_low, 1 + clip_high]"
            )
    if chosen.mini_batches > config.rollout.prompts_per_step:
        raise ConfigError(
            f"algorithm.mini_batches: {chosen.mini_batches} mini-batches of whole groups cannot be made of "
            f"rollout.prompts_per_step={config.rollout.prompts_per_step} groups"
        )
    if divergence.coef and divergence.where == "loss":
        in_loss(divergence.estimator)
    if divergence.target and not divergence.coef:
        raise ConfigError("algorithm.divergence.target: adapts algorithm.divergence.coef, which is 0: give it a start")
    if not correction.low < correction.high:
        raise ConfigError(
            f"algorithm.correction: low must be below high, got {correction.low} and {correction.high}; a weight of 1 "
            "means that sampler and trainer agree"
        )
    at = selection.overlong_at or config.rollout.episode_tokens
    if selection.overlong_buffer > at:
        raise ConfigError(
            f"algorithm.selection.overlong_buffer: {selection.overlong_buffer} tokens do not fit before the {at} at "
            "which the penalty is whole"
        )
