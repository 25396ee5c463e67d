"""What a recipe's numbers must be, told before anything is built."""

from __future__ import annotations

from .config import Config
from .errors import ConfigError, at_least
from .failures import check as check_failures


def check_options(config: Config) -> None:
    """Raises ConfigError for the first number that is not allowed; the message names the option."""
    check_failures(config.failures)
    sizes = config.rollout
    at_least(
        ("rollout.prompts_per_step", sizes.prompts_per_step, 1),
        ("rollout.group_size", sizes.group_size, 1),
        ("rollout.max_turn_tokens", sizes.max_turn_tokens, 1),
        ("rollout.max_turns", sizes.max_turns, 1),
        ("rollout.max_episode_tokens", sizes.max_episode_tokens, 0),
        ("rollout.concurrency", sizes.concurrency, 1),
        ("rollout.threads", sizes.threads, 1),
        ("model.torch_threads", config.model.torch_threads, 0),
        ("optimizer.steps", config.optimizer.steps, 0),
        ("optimizer.micro_batch_tokens", config.optimizer.micro_batch_tokens, 1),
        ("optimizer.logprob_chunk", config.optimizer.logprob_chunk, 0),
        ("evaluation.validation_episodes", config.evaluation.validation_episodes, 1),
        ("evaluation.test_episodes", config.evaluation.test_episodes, 0),
        ("check.every", config.check.every, 1),
        ("run.save_every", config.run.save_every, 1),
        ("run.record_every", config.run.record_every, 1),
        ("run.keep", config.run.keep, 1),
        ("cold_start.max_steps", config.cold_start.max_steps, 1),
        ("cold_start.batch_size", config.cold_start.batch_size, 1),
        ("cold_start.check_every", config.cold_start.check_every, 1),
        ("cold_start.check_episodes", config.cold_start.check_episodes, 1),
        ("evaluation.validate_every", config.evaluation.validate_every, 0),
        ("optimizer.warmup_steps", config.optimizer.warmup_steps, 0),
    )
    for name, rate in (
        ("optimizer.lr", config.optimizer.lr),
        ("optimizer.max_grad_norm", config.optimizer.max_grad_norm),
        ("cold_start.lr", config.cold_start.lr),
    ):
        if not 0 < rate < float("inf"):
            raise ConfigError(f"{name}: must be a positive number, got {rate}")
    if not 0 <= config.engine.keep_prompts_mib < float("inf"):
        raise ConfigError(f"engine.keep_prompts_mib: must be at least 0, got {config.engine.keep_prompts_mib}")
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


def check_quantized(config: Config) -> None:
    """Refuse four bits where there is no adapter above them, or where weights are kept in float32 shards."""
    if config.model.lora.quantize == "none":
        return
    if not config.model.lora.rank:
        raise ConfigError(
            "model.lora.quantize: nf4 is for weights under an adapter, and model.lora.rank is 0: give a rank, such as "
            "--model.lora.rank 16, or --model.lora.quantize none"
        )
    if config.engine.train == "fsdp2":
        raise ConfigError(
            "model.lora.quantize: nf4 goes with engine.train: local; fsdp2 keeps its shards in float32. Use one of them"
        )
