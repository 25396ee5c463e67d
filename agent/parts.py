"""Everything that a run is made of, built once from its configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from .config import Config, ModelConfig
from .engine.checkpoint import load_state
from .engine.local import LocalEngine
from .errors import CheckpointError, ConfigError
from .evaluate import task_count
from .model.boxes import with_boxes
from .model.load import VLM, load_vlm
from .model.tiny import make_tiny_vlm
from .roles.actor import Actor
from .roles.reference import Reference
from .rollout.engine import RolloutEngine
from .rollout.environments import EnvironmentPool, EnvironmentSpec, import_modules, make_environment, optional
from .rollout.episodes import DriverOptions, EpisodeDriver
from .rollout.hf import TransformersEngine
from .rollout.render import Renderer
from .seeds import derive_seed

# Largest difference of a sampled token's log-probability that is only rounding (nats). bfloat16 keeps 8 bits.
GAPS = {("float32", "cpu"): 1e-4, ("float32", "cuda"): 1e-2, ("bfloat16", "cpu"): 1.0, ("bfloat16", "cuda"): 1.0}
TOKENIZER_TEXTS = 600


@dataclass(eq=False)
class Parts:
    """The roles, engines and environments of a run."""

    config: Config
    vlm: VLM
    renderer: Renderer
    actor: Actor
    reference: Reference | None
    train_engine: LocalEngine
    rollout_engine: RolloutEngine
    _drivers: dict[str, EpisodeDriver] = field(default_factory=dict)

    @property
    def max_gap(self) -> float:
        """Bound of the difference between sampler and trainer."""
        bound = self.config.check.max_gap
        if bound != "auto":
            return float(bound)
        dtype = "float32" if self.vlm.model.dtype == torch.float32 else "bfloat16"
        return GAPS[dtype, self.vlm.model.device.type]

    @property
    def train_tasks(self) -> int | None:
        """Numbered training tasks, or None where the environment has none."""
        return task_count(self.driver("train").pool)

    def driver(self, split: str) -> EpisodeDriver:
        """The episode driver of "train", "validation" or "test"."""
        if split not in self._drivers:
            sizes = self.config.rollout
            pool = EnvironmentPool(environment_spec(self.config, split))
            options = DriverOptions(sizes.concurrency, sizes.threads, sizes.deterministic)
            self._drivers[split] = EpisodeDriver(self.rollout_engine, self.renderer, pool, options)
        return self._drivers[split]

    def close(self) -> None:
        for driver in self._drivers.values():
            driver.pool.close()


def environment_spec(config: Config, split: str) -> EnvironmentSpec:
    """The environment of a split: the shared arguments, then the split's own.

    An environment that has only the required parts takes no `split` argument: the default of each split is then left
    out, and training and evaluation differ by their seeds alone.
    """
    env = config.env
    own = {"train": env.train, "validation": env.validation, "test": env.test}[split]
    if own == {"split": split} and not _accepts_split(EnvironmentSpec(env.id, env.kwargs)):
        own = {}
    return EnvironmentSpec(env.id, {**env.kwargs, **own})


def _accepts_split(spec: EnvironmentSpec) -> bool:
    env = make_environment(spec)
    env.close()
    return optional(env, "num_tasks") is not None or optional(env, "split") is not None


def build(config: Config, folder: Path, checkpoint: Path | None) -> Parts:
    """Build the parts of a run.

    Args:
        config: The recipe.
        folder: Where a model that is made on the spot is put.
        checkpoint: Continue from here; None: from the recipe's model.

    Raises:
        AgentError: the recipe, the model or the environment is not acceptable.
    """
    import_modules(config.modules)
    _check(config)
    config = with_boxes(config)
    make_environment(environment_spec(config, "train")).close()
    start = _model_folder(config, folder)
    device, dtype = placement(config.model)
    if config.model.torch_threads:
        torch.set_num_threads(config.model.torch_threads)
    vlm = load_vlm(checkpoint or start, dtype, device)
    if config.model.gradient_checkpointing:
        vlm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    banned = vlm.processor.banned_ids
    actor = Actor(vlm.model, config.rollout.temperature, banned)
    reference = None
    if config.algorithm.kl_coef:
        # After a cold start the reference is the policy that reinforcement learning begins with: checkpoint step_0.
        origin = checkpoint.parent / "step_0" if checkpoint is not None else start
        reference = Reference(Actor(load_vlm(origin, dtype, device).model, config.rollout.temperature, banned))
    train_engine = LocalEngine(vlm.model, config.optimizer)
    rollout_engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
    if checkpoint is not None:
        state = load_state(checkpoint)
        train_engine.load_state_dict(state["engine"])
        rollout_engine.load_weights(train_engine.named_tensors(), state["step"])
    return Parts(config, vlm, Renderer(vlm.processor), actor, reference, train_engine, rollout_engine)


def placement(model: ModelConfig) -> tuple[str, str]:
    """Device and dtype that "auto" stands for on this machine.

    Raises:
        ConfigError: the device is not there.
    """
    device = model.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"model.device: {device!r} is not available ({error}); use auto or cpu") from error
    dtype = model.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    return device, dtype


def _model_folder(config: Config, folder: Path) -> Path:
    if config.model.path != "tiny":
        return Path(config.model.path)
    made = folder / "initial_model"
    if not (made / "preprocessor_config.json").exists():
        texts = tokenizer_texts(config)
        try:
            make_tiny_vlm(made, texts, derive_seed(config.run.seed, "tiny model"), config.model.tiny)
        except Exception as error:  # safetensors reports a full disk as its own exception
            raise CheckpointError(
                f"the tiny model could not be made in {made}: {error}; free some space or change model.tiny"
            ) from error
    return made


def tokenizer_texts(config: Config) -> list[str]:
    """Material for the tiny model's tokenizer: what the environment says and what its expert answers."""
    kinds = [source.kwargs for source in config.cold_start.sources] or [{}]
    texts: list[str] = []
    for kwargs in kinds:
        spec = environment_spec(config, "train")
        env = make_environment(EnvironmentSpec(spec.id, {**spec.kwargs, **kwargs}))
        for index in range(TOKENIZER_TEXTS // len(kinds)):
            observation, _ = env.reset(seed=derive_seed(config.run.seed, "tokenizer", index))
            texts.append(str(observation["text"]))
            if optional(env, "solve") is not None:
                texts += map(str, optional(env, "solve")())
        env.close()
    return texts


def _check(config: Config) -> None:
    sizes = config.rollout
    for name, value, least in (
        ("rollout.prompts_per_step", sizes.prompts_per_step, 1),
        ("rollout.group_size", sizes.group_size, 2),
        ("rollout.max_turn_tokens", sizes.max_turn_tokens, 1),
        ("rollout.max_turns", sizes.max_turns, 1),
        ("rollout.concurrency", sizes.concurrency, 1),
        ("rollout.threads", sizes.threads, 1),
        ("model.torch_threads", config.model.torch_threads, 0),
        ("optimizer.steps", config.optimizer.steps, 0),
        ("optimizer.micro_batch_tokens", config.optimizer.micro_batch_tokens, 1),
        ("evaluation.validation_episodes", config.evaluation.validation_episodes, 1),
        ("evaluation.test_episodes", config.evaluation.test_episodes, 0),
        ("run.save_every", config.run.save_every, 1),
        ("run.record_every", config.run.record_every, 1),
        ("run.keep", config.run.keep, 1),
        ("cold_start.max_steps", config.cold_start.max_steps, 1),
        ("cold_start.batch_size", config.cold_start.batch_size, 1),
        ("cold_start.check_every", config.cold_start.check_every, 1),
        ("cold_start.check_episodes", config.cold_start.check_episodes, 1),
        ("evaluation.validate_every", config.evaluation.validate_every, 0),
        ("optimizer.warmup_steps", config.optimizer.warmup_steps, 0),
    ):
        if value < least:
            raise ConfigError(f"{name}: must be at least {least}, got {value}")
    for name, rate in (
        ("optimizer.lr", config.optimizer.lr),
        ("optimizer.max_grad_norm", config.optimizer.max_grad_norm),
        ("cold_start.lr", config.cold_start.lr),
    ):
        if not 0 < rate < float("inf"):
            raise ConfigError(f"{name}: must be a positive number, got {rate}")
    if sizes.temperature <= 0:
        raise ConfigError(
            f"rollout.temperature: must be above 0, got {sizes.temperature}; greedy episodes of a group are all the "
            "same and teach nothing (evaluation decodes greedily by itself)"
        )
    if sizes.max_row_tokens <= sizes.max_turn_tokens:
        raise ConfigError(
            f"rollout.max_row_tokens: {sizes.max_row_tokens} leaves no room for a prompt beside "
            f"rollout.max_turn_tokens={sizes.max_turn_tokens}"
        )
    if not 0 <= config.algorithm.clip_low < 1 or config.algorithm.clip_high < 0:
        raise ConfigError(
            "algorithm.clip_low must be in [0, 1) and algorithm.clip_high at least 0, got "
            f"{config.algorithm.clip_low} and {config.algorithm.clip_high}"
        )
