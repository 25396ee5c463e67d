"""Everything that a run is made of, built once from its configuration."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .algorithm import Algorithm, resolve
from .allocator import settle_allocator
from .beginning import environment_spec, model_folder
from .config import Config
from .config_checks import check_options, check_quantized
from .config_engine import FIXED
from .config_model import ModelConfig
from .engine.checkpoint import load_state
from .engine.engines import TrainEngines, check_sharded
from .engine.fsdp2 import ShardedEngine
from .engine.local import LocalEngine
from .engine.memory import MIB, Phase, PhaseMachine
from .engine.owners import owners_of
from .engine.ranks import ALONE, Ranks
from .errors import ConfigError
from .evaluate import task_count
from .model import lora
from .model.boxes import with_boxes
from .model.four_bit import quantize
from .model.kept_prompts import KeptPrompts
from .model.load import VLM, load_vlm
from .model.states import keepable, share
from .model.trainable import freeze, gradient_norms, parameter_groups
from .roles.actor import Actor
from .roles.critic import Critic
from .roles.reference import Reference
from .roles.reward import Term, make_terms
from .rollout.engine import RolloutEngine
from .rollout.engines import make_rollout_engine
from .rollout.environments import EnvironmentPool, EnvironmentSpec, import_modules, make_environment
from .rollout.episodes import DriverOptions, EpisodeDriver
from .rollout.hf import TransformersEngine
from .rollout.render import Renderer
from .seeds import derive_seed

# Largest difference of a sampled token's log-probability that is only rounding (nats). bfloat16 keeps 8 bits.
GAPS = {("float32", "cpu"): 1e-4, ("float32", "cuda"): 1e-2, ("bfloat16", "cpu"): 1.0, ("bfloat16", "cuda"): 1.0}


@dataclass(eq=False)
class Parts:
    """The roles, engines and environments of a run. `kept`: the prompts of the rollout that was begun last, if they are
    kept for the update."""

    config: Config
    vlm: VLM
    renderer: Renderer
    actor: Actor
    reference: Reference | None
    critic: Critic | None
    train_engine: LocalEngine
    rollout_engine: RolloutEngine
    algorithm: Algorithm
    terms: tuple[Term, ...]
    kl_coef: float
    ranks: Ranks = ALONE
    kept: KeptPrompts | None = None
    memory: PhaseMachine = field(init=False)
    _drivers: dict[str, EpisodeDriver] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = PhaseMachine(torch.device(placement(self.config.model)[0]), owners_of(self))

    @property
    def max_gap(self) -> float:
        """Bound of the difference between sampler and trainer."""
        bound = self.config.check.max_gap
        if bound != "auto":
            return float(bound)
        device, dtype = placement(self.config.model)
        return GAPS[dtype, torch.device(device).type]

    @property
    def train_tasks(self) -> int | None:
        """Numbered training tasks, or None where the environment has none."""
        return task_count(self.driver("train").pool)

    def driver(self, split: str, variant: str = "") -> EpisodeDriver:
        """The episode driver of "train", "validation" or "test"; of the test also under one of the recipe's variants.

        Raises:
            ConfigError: the environment refuses the variant's arguments.
        """
        key = f"{split} {variant}"
        if key in self._drivers:  # asked for in every step, and what it plays takes an environment to find out
            return self._drivers[key]
        spec = environment_spec(self.config, split)
        if variant:
            spec = replace(spec, kwargs={**spec.kwargs, **self.config.evaluation.variants[variant]})
        return self.driver_of(key, spec)

    def driver_of(self, key: str, spec: EnvironmentSpec) -> EpisodeDriver:
        """The episode driver that is kept under this key, of these environments when it is asked for first."""
        if key not in self._drivers:
            sizes = self.config.rollout
            options = DriverOptions(sizes.concurrency, sizes.threads, sizes.deterministic)
            self._drivers[key] = EpisodeDriver(self.rollout_engine, self.renderer, EnvironmentPool(spec), options)
        return self._drivers[key]

    def begin_learning(self) -> None:
        """After the cold start: reinforcement learning begins with the policy as it is now."""
        self.train_engine.take_weights()
        self.sync(0)
        if self.reference is not None:
            self.reference = Reference(self.actor)
        if self.critic is not None:
            device, dtype = placement(self.config.model)
            engines = TrainEngines(self.config, self.ranks, device, dtype, self.vlm.processor)
            self.critic = make_critic(self.config, self.vlm, self.algorithm, engines)
            self.train_engine = _train_engine(self.config, self.vlm, self.algorithm, self.critic, engines)

    def keep_prompts(self) -> None:
        """Let the rollout that begins keep its prompts for the update, where that is possible."""
        engine, options = self.rollout_engine, self.config.engine
        alike = isinstance(engine, TransformersEngine) and options.shared and options.offload == "none"
        if alike and options.keep_prompts_mib and keepable(self.vlm.model):
            kept = KeptPrompts(options.keep_prompts_mib * MIB)
            self.kept = kept if engine.keep_prompts(kept) else None

    def drop_prompts(self) -> None:
        """Free what was kept."""
        if self.kept is not None:
            self.kept.clear()
        self.kept = None

    def sync(self, version: int) -> None:
        """Give the rollout engine the policy's weights as they are after `version` updates."""
        self.memory.enter(Phase.SYNC)
        self.rollout_engine.load_weights(self.train_engine.named_tensors(), version)

    def gradient_norms(self) -> dict[str, float]:
        """Of each part of the model that is trained, as gradients stand now."""
        return {f"grad_norm/{part}": norm for part, norm in gradient_norms(self.vlm.model).items()}

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs beside the policy's weights."""
        state: dict[str, Any] = {"engine": self.train_engine.state_dict(), "kl_coef": self.kl_coef}
        if self.critic is not None:
            state["critic"] = self.critic.state_dict()
        if self.reference is not None and self.config.algorithm.divergence.refresh_every:
            state["reference"] = self.reference.state_dict()
        return state

    @property
    def sharded_engines(self) -> dict[str, ShardedEngine]:
        """The train engines whose tensors are saved in shards, by name."""
        found = {"policy": self.train_engine, "critic": None if self.critic is None else self.critic.engine}
        return {name: engine for name, engine in found.items() if isinstance(engine, ShardedEngine)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave, with the policy's weights loaded already."""
        self.train_engine.load_state_dict(state["engine"])
        self.kl_coef = state["kl_coef"]
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])
        if self.reference is not None and "reference" in state:
            self.reference.load_state_dict(state["reference"])
        self.sync(state["step"])

    def close(self) -> None:
        for driver in self._drivers.values():
            driver.close()
        self.rollout_engine.close()


def build(config: Config, folder: Path, checkpoint: Path | None, ranks: Ranks = ALONE, trains: bool = True) -> Parts:
    """Build the parts of a run.

    Args:
        config: The recipe.
        folder: Where a model that is made on the spot is put.
        checkpoint: Continue from here; None: from the recipe's model.
        ranks: The processes of the run.
        trains: Weights will change. Otherwise generation servers may keep those that they were started with.

    Raises:
        AgentError: the recipe, the model or the environment is not acceptable.
    """
    if trains and config.engine.fixed:
        raise ConfigError(FIXED)
    import_modules(config.modules)
    check_options(config)
    config = with_boxes(config)
    make_environment(environment_spec(config, "train")).close()
    if ranks.first:
        model_folder(config, folder)
    ranks.wait()
    start = model_folder(config, folder)
    device, dtype = placement(config.model)
    settle_allocator()
    if config.model.torch_threads:
        torch.set_num_threads(config.model.torch_threads)
    algorithm, terms = resolve(config), make_terms(config.reward.terms)
    check_sharded(config, ranks)
    check_quantized(config)
    adapted, sharded = config.model.lora.rank > 0, config.engine.train == "fsdp2"
    origin = start if checkpoint is None or adapted else checkpoint
    # What is sharded begins in float32, which the optimizer moves, and in host memory: the device holds shards only.
    quantized = config.model.lora.quantize != "none"
    vlm = load_vlm(origin, "float32" if sharded else dtype, "cpu" if sharded or quantized else device)
    share(vlm.model, config.engine.sharing)
    _choose_trained(config, vlm)
    if quantized:
        quantize(vlm.model, device)
    if adapted and checkpoint is not None:
        lora.load_adapter(vlm.model, checkpoint / lora.FOLDER)
    if config.model.gradient_checkpointing:
        vlm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    actor = Actor(vlm.model, config.rollout.temperature, vlm.processor.banned_ids, config.optimizer.logprob_chunk)
    engines = TrainEngines(config, ranks, device, dtype, vlm.processor)
    critic = make_critic(config, vlm, algorithm, engines)
    parts = Parts(
        config,
        vlm,
        Renderer(vlm.processor, config.rollout.observations),
        actor,
        _reference(config, actor, start, checkpoint) if algorithm.needs_reference else None,
        critic,
        _train_engine(config, vlm, algorithm, critic, engines),
        make_rollout_engine(config, vlm, start, device, dtype),
        algorithm,
        terms,
        config.algorithm.divergence.coef,
        ranks,
    )
    if checkpoint is not None:
        parts.load_state_dict(load_state(checkpoint, parts.sharded_engines))
    elif not config.engine.fixed:
        parts.sync(0)
    parts.memory.enter(Phase.ROLLOUT)
    return parts


def make_critic(config: Config, vlm: VLM, algorithm: Algorithm, engines: TrainEngines) -> Critic | None:
    """A critic that begins from the policy as it is, if the algorithm asks for values."""
    if not algorithm.needs_values:
        return None
    return Critic(vlm.model, config.critic, config.optimizer, algorithm.updates, engines.make)


def _choose_trained(config: Config, vlm: VLM) -> None:
    """Adapters or whole weights, and the frozen parts."""
    rates, options = asdict(config.optimizer.rates), config.model.lora
    for part, rate in rates.items():
        if not 0 <= rate < float("inf"):
            raise ConfigError(f"optimizer.rates.{part}: must be a number of at least 0, got {rate}")
    frozen = [part for part, rate in rates.items() if not rate]
    if options.rank:
        on = [part for part in rates if part not in frozen]
        seed = derive_seed(config.run.seed, "lora") % 2**31
        lora.attach(vlm.model, options.rank, options.alpha, target=options.target, seed=seed, on=on)
    else:
        freeze(vlm.model, frozen)


def _train_engine(
    config: Config, vlm: VLM, algorithm: Algorithm, critic: Critic | None, engines: TrainEngines
) -> LocalEngine:
    def groups() -> list[dict[str, Any]]:
        found = parameter_groups(vlm.model, asdict(config.optimizer.rates))
        if critic is not None and critic.shared:
            found.append({"params": list(critic.model.parameters()), "rate": config.critic.lr / config.optimizer.lr})
        return found

    beside = critic.model if critic is not None and critic.shared else None
    return engines.make(vlm.model, config.optimizer, algorithm.updates, groups, beside)


def _reference(config: Config, actor: Actor, start: Path, checkpoint: Path | None) -> Reference:
    """The policy that reinforcement learning began with: the checkpoint step_0, or the recipe's model."""
    sharded = config.engine.train == "fsdp2"  # processes look at the reference as often as they like: it is whole
    if config.model.lora.rank and not config.cold_start.sources:
        if not sharded:
            return Reference(actor, adapter_off=True)
        checkpoint = None
    origin = start if checkpoint is None else checkpoint.parent / "step_0"
    if config.model.lora.rank and checkpoint is None and not sharded:
        return Reference(actor)
    device, dtype = placement(config.model)
    model = load_vlm(origin, dtype, device).model
    share(model, config.engine.sharing)
    return Reference(replace(actor, model=model), copied=False)


def placement(model: ModelConfig) -> tuple[str, str]:
    """Device and dtype that "auto" stands for on this machine.

    Raises:
        ConfigError: the device is not there.
    """
    device = model.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and "LOCAL_RANK" in os.environ:  # started by torchrun: one device a process
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"model.device: {device!r} is not available ({error}); use auto or cpu") from error
    dtype = model.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    return device, dtype
