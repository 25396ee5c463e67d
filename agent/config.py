"""What a recipe may say: one frozen dataclass an area. Nothing derived is stored here.

The docstrings are what `python -m agent train --help` prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .config_algorithm import AlgorithmConfig, CriticConfig, RewardConfig
from .config_engine import EngineConfig
from .config_model import ModelConfig


@dataclass(frozen=True)
class EnvironmentConfig:
    """The environment that the policy acts in.

    Among its arguments `boxes: auto` stands for the way in which the model's family writes boxes.

    Args:
        id: A Gymnasium id, such as "RLLaVA/Counting-v0".
        kwargs: Keyword arguments that it is made with in training and evaluation.
        train: More of them in training (over `kwargs`).
        validation: More of them in the validations of a run.
        test: More of them in the final evaluation.
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=lambda: {"split": "train"})
    validation: dict[str, Any] = field(default_factory=lambda: {"split": "validation"})
    test: dict[str, Any] = field(default_factory=lambda: {"split": "test"})


@dataclass(frozen=True)
class Demonstrations:
    """A source of demonstrations for the cold start.

    Args:
        kwargs: Over the environment's training arguments.
        weight: Share of the examples, relative to the other sources.
        demonstrator: "solve" for the environment's expert, or the name of one of its baselines.
    """

    kwargs: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    demonstrator: str = "solve"


@dataclass(frozen=True)
class ColdStartConfig:
    """Supervised steps before reinforcement learning, on the environment's own demonstrations.

    Args:
        sources: Where demonstrations come from; none: no cold start.
        max_steps: Optimizer steps at most.
        batch_size: Demonstrations a step.
        lr: Peak learning rate; it warms up over 20 steps and falls linearly to 0 at `max_steps`.
        stop_at: Greedy validation score at which the cold start ends; 1.0 or more: never before `max_steps`.
        check_every: Steps between validations.
        check_episodes: Episodes of each validation.
    """

    sources: list[Demonstrations] = field(default_factory=list)
    max_steps: int = 2000
    batch_size: int = 32
    lr: float = 4e-3
    stop_at: float = 0.5
    check_every: int = 100
    check_episodes: int = 256


@dataclass(frozen=True)
class RolloutConfig:
    """How episodes are collected.

    Args:
        prompts_per_step: Tasks a step (groups).
        group_size: Episodes of each task.
        temperature: Of sampling in training.
        max_turn_tokens: Tokens the policy may write in one turn.
        max_row_tokens: Tokens a context may hold, images and answers included.
        max_turns: Turns after which an episode is truncated, whatever its environment says.
        max_episode_tokens: Tokens the policy may write in a whole episode; 0: as many as its turns allow.
        concurrency: Episodes open at once.
        threads: Environments stepped at once, never more than are open. Those that wait for a tool need one each; for
            those that only compute, 1 is enough.
        deterministic: Admit turns in rounds, so that a run can be repeated bit for bit; False overlaps environments
            with generation.
        reset_ahead: Reset the next step's environments while the weights are updated. False where an open environment
            costs something that the update needs, or one that waits is taken away.
        observations: As what an environment's answer to a turn is shown: "user", a user message, which every model
            takes, or "tool", the tool response of the model's own chat template, where it has one.
    """

    prompts_per_step: int = 16
    group_size: int = 8
    temperature: float = 1.0
    max_turn_tokens: int = 512
    max_row_tokens: int = 4096
    max_turns: int = 16
    max_episode_tokens: int = 0
    concurrency: int = 256
    threads: int = 256
    deterministic: bool = True
    reset_ahead: bool = True
    observations: Literal["user", "tool"] = "user"

    @property
    def episode_tokens(self) -> int:
        """The most action tokens that an episode may have."""
        most = self.max_turn_tokens * self.max_turns
        return min(most, self.max_episode_tokens) if self.max_episode_tokens else most


@dataclass(frozen=True)
class RatesConfig:
    """Learning rates of the model's parts, as multiples of `optimizer.lr`; 0 freezes a part.

    Args:
        vision: The vision tower.
        connector: What joins it to the language model.
        language: The language model with its embeddings and head.
    """

    vision: float = 1.0
    connector: float = 1.0
    language: float = 1.0


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move.

    Args:
        steps: Reinforcement-learning steps; 0 trains nothing.
        lr: Peak learning rate of AdamW.
        schedule: After the warm-up: "linear" falls to 0 at the last step, "cosine" likewise, "constant" stays.
        warmup_steps: Steps from 0 to the peak.
        weight_decay: Of AdamW.
        beta1: Of AdamW.
        beta2: Of AdamW.
        max_grad_norm: Longer gradients are scaled down to this norm.
        micro_batch_tokens: Tokens of one forward and backward pass: distinct ones where siblings share their prompt in
            packed rows (`engine.sharing`), else padding included. Several processes part theirs evenly.
        logprob_chunk: Action tokens whose logits exist at once; with more of them in a micro-batch, logits are computed
            a second time in the backward pass. 0: all at once.
        rates: Learning rates of the model's parts.
    """

    steps: int = 200
    lr: float = 1e-6
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.99
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 8192
    logprob_chunk: int = 1024
    rates: RatesConfig = field(default_factory=RatesConfig)


@dataclass(frozen=True)
class ElsewhereConfig:
    """Another environment in which the policy is tested too, greedily, before training and after it.

    Args:
        name: In the report: "after, NAME".
        id: A Gymnasium id.
        kwargs: Keyword arguments that it is made with; `boxes: auto` as in `env`.
        episodes: Of its first tasks; 0: as many as `test_episodes`.
        max_turns: Turns after which an episode is truncated; 0: as in training.
        max_turn_tokens: Tokens of one turn; 0: as in training. An episode has as many as its turns allow.
    """

    name: str
    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    episodes: int = 0
    max_turns: int = 0
    max_turn_tokens: int = 0


@dataclass(frozen=True)
class EvaluationConfig:
    """When and how the policy is evaluated.

    Args:
        validate_every: Steps between validations; 0: never during training.
        validation_episodes: Episodes of each (greedy).
        test_episodes: Episodes of the test before and after training; 0: no test.
        sampled: Test with sampling at the training temperature too.
        measures: What is reported of the greedy test beside the primary metric, by its name in `info["metrics"]`.
        variants: Changes of the environment's arguments, by name, under which the trained policy is tested too, such as
            {without tool: {search: none}}; greedily.
        elsewhere: Other environments, such as a published test set, in which it is tested as well.
    """

    validate_every: int = 50
    validation_episodes: int = 256
    test_episodes: int = 512
    sampled: bool = True
    measures: list[str] = field(default_factory=list)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    elsewhere: list[ElsewhereConfig] = field(default_factory=list)


@dataclass(frozen=True)
class CheckConfig:
    """The check, for every token that a step trains on, that sampler and trainer see the same thing.

    Args:
        max_gap: Largest allowed difference of a sampled token's log-probability (nats); "auto" is 1e-4 in float32 on
            a CPU, 1e-2 in float32 on a GPU, and 1.0 in bfloat16. Tokens below probability 1e-6 are not compared.
        on_failure: "stop" ends the run with a checkpoint, naming the first bad token; "warn" goes on.
        every: Steps between those, the first among them, in which the trainer runs prompts itself, whatever the rollout
            has kept of them (`engine.keep_prompts_mib`): a fault that both have in common shows there.
    """

    max_gap: float | Literal["auto"] = "auto"
    on_failure: Literal["stop", "warn"] = "stop"
    every: int = 25


@dataclass(frozen=True)
class FailuresConfig:
    """What happens when the infrastructure breaks episodes: a sandbox is lost, a search is down, retries did not help.

    Such episodes have no score and are left out of everything that is learned, as are groups in which fewer than two
    are left. When there are too many, the run pauses instead of learning from the rest.

    Args:
        max_share: Share of a step's episodes that may fail. With more, nothing is learned from the step: after a pause
            its episodes are played again. 1.0: never pause.
        retries: How often a step is played again before the run ends with a checkpoint; the same command continues it.
        wait: Seconds of the first pause; each further one is twice as long.
    """

    max_share: float = 0.5
    retries: int = 4
    wait: float = 10.0


@dataclass(frozen=True)
class RunConfig:
    """Where the run lives on disk.

    Args:
        name: Of the run's folder.
        folder: Folder of all runs.
        seed: Root of every random draw.
        save_every: Steps between checkpoints; the last step is always saved.
        keep: Checkpoints kept, the newest.
        record_every: Steps between recordings of all trajectories.
        trackers: Where a run is shown beside TensorBoard: "wandb" and "trackio" are sent metrics, options, a few
            recorded trajectories with their pictures, and the results. One that fails stops nothing.
        project: What trackers file the run under.
    """

    name: str = "run"
    folder: str = "runs"
    seed: int = 0
    save_every: int = 50
    keep: int = 2
    record_every: int = 25
    trackers: list[Literal["wandb", "trackio"]] = field(default_factory=list)
    project: str = "rllava-gym"


@dataclass(frozen=True)
class Config:
    """A recipe.

    Args:
        env: The environment that the policy acts in.
        modules: Modules to import first, because they register environments.
        model: The policy's model.
        cold_start: Supervised steps before reinforcement learning.
        rollout: How episodes are collected.
        reward: What is added to the environment's reward.
        algorithm: What is optimised.
        critic: The value function, where the algorithm needs one.
        optimizer: How the weights move.
        evaluation: When and how the policy is evaluated.
        check: The check that sampler and trainer agree.
        failures: What happens when the infrastructure breaks episodes.
        engine: Which machine it runs on, and how.
        run: Where the run lives on disk.
    """

    env: EnvironmentConfig
    modules: list[str] = field(default_factory=list)
    model: ModelConfig = field(default_factory=ModelConfig)
    cold_start: ColdStartConfig = field(default_factory=ColdStartConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    failures: FailuresConfig = field(default_factory=FailuresConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    run: RunConfig = field(default_factory=RunConfig)
