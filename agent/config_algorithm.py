"""What a recipe may say of the algorithm: what is rewarded, how credit is given, what is minimised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class DivergenceConfig:
    """The divergence KL(policy || reference), which keeps the policy near where it began.

    Args:
        coef: Its weight; 0 needs no reference model.
        estimator: How it is estimated from sampled tokens; `python -m agent algorithms` says what their gradients are.
        where: "loss" adds it to the loss; "reward" takes it from the reward of each token.
        target: Adapt `coef` so that the divergence per token (nats) comes to this; 0: `coef` stays as it is.
        rate: With `target`, how far `coef` moves in a step for a given error.
        refresh_every: Steps after which the policy as it is becomes the reference; 0: never.
    """

    coef: float = 0.0
    estimator: Literal["k1", "k2", "k3"] = "k3"
    where: Literal["loss", "reward"] = "loss"
    target: float = 0.0
    rate: float = 0.1
    refresh_every: int = 0


@dataclass(frozen=True)
class CorrectionConfig:
    """Importance weights for what is left of the difference between sampler and trainer.

    Args:
        kind: "truncate" holds the weight below `high`; "mask" drops what lies outside of [low, high]; "none": weight 1.
        level: Whether a weight belongs to a token, a turn or a whole trajectory.
        low: Smallest weight that "mask" keeps.
        high: Largest weight.
    """

    kind: Literal["none", "truncate", "mask"] = "none"
    level: Literal["token", "turn", "sequence"] = "token"
    low: float = 0.5
    high: float = 2.0


@dataclass(frozen=True)
class SelectionConfig:
    """Which episodes are learned from.

    Args:
        resample_rounds: How often groups whose scores are all equal are replaced by groups of other tasks; 0: never.
        turns: Which turns are trained: "all", or "last", as trainers do that keep only an episode's last answer; it is
            here to be compared with.
        drop_truncated: Leave truncated trajectories out of the loss; their scores still count for their siblings.
        overlong_buffer: Action tokens before `overlong_at` over which a penalty grows from 0; 0: no penalty.
        overlong_at: Action tokens of an episode at which the penalty is whole; 0: max_turn_tokens * max_turns.
        overlong_penalty: The largest penalty.
    """

    resample_rounds: int = 0
    turns: Literal["all", "last"] = "all"
    drop_truncated: bool = False
    overlong_buffer: int = 0
    overlong_at: int = 0
    overlong_penalty: float = 1.0


@dataclass(frozen=True)
class AlgorithmConfig:
    """What is optimised. `python -m agent algorithms` lists families, estimators and losses with their options.

    Args:
        family: Chooses estimator, loss, aggregation and their options together; what is set below wins over it.
        advantage: Advantage estimator: a name of the list, an entry point, or "package.module:function".
        advantage_options: Options of the estimator.
        policy_loss: Policy loss, named likewise.
        policy_loss_options: Options of the loss.
        aggregation: How token losses become one number: the mean over all tokens, the mean over trajectories of their
            means, or a sum over a constant.
        aggregation_constant: Tokens a trajectory that "constant" divides by; 0: max_turn_tokens * max_turns.
        epochs: Passes over each rollout.
        mini_batches: Optimizer steps a pass; groups are dealt out to them.
        entropy_coef: Weight of the entropy bonus.
        divergence: From a reference policy.
        correction: For the difference between sampler and trainer.
        selection: Which episodes are learned from.
        reward_scaling: Divide scores by their deviation, of the group or of the batch, before advantages are estimated.
        shuffle_rewards: A control: permute the rewards over the whole batch, so that nothing can be learned from them.
    """

    family: str = "grpo"
    advantage: str | None = None
    advantage_options: dict[str, Any] = field(default_factory=dict)
    policy_loss: str | None = None
    policy_loss_options: dict[str, Any] = field(default_factory=dict)
    aggregation: Literal["token_mean", "sequence_mean", "constant"] | None = None
    aggregation_constant: int = 0
    epochs: int = 1
    mini_batches: int = 1
    entropy_coef: float = 0.0
    divergence: DivergenceConfig = field(default_factory=DivergenceConfig)
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    reward_scaling: Literal["none", "group", "batch"] = "none"
    shuffle_rewards: bool = False


@dataclass(frozen=True)
class CriticConfig:
    """The value function; made only where the advantage estimator asks for values.

    Args:
        trunk: "own" is a copy of the policy's model as it is when reinforcement learning begins; "shared" puts a
            head on the policy's own last layer.
        lr: Peak learning rate of an own trunk and of the head.
        loss: Of the values.
        clip: For "clipped", how far a value may move from that of the rollout before its gradient stops; for "huber",
            the error from which on it no longer grows.
        coef: Weight of the value loss beside the policy's, with a shared trunk.
        warmup_steps: Steps in which the critic learns and the policy stays.
        max_grad_norm: Longer gradients are scaled down to this norm.
    """

    trunk: Literal["own", "shared"] = "own"
    lr: float = 1e-5
    loss: Literal["squared", "clipped", "huber"] = "clipped"
    clip: float = 0.2
    coef: float = 0.5
    warmup_steps: int = 0
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class RewardConfig:
    """What is added to the environment's reward; each term is logged by itself.

    Args:
        terms: By name: {weight: number, kind: "length" | "format" | "model" | "info" | "package.module:function", and
            the kind's options}. See `agent.roles.reward`.
    """

    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
