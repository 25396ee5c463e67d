"""Which option to change first: one that is enough, or else lowers the peak, of the largest owner that has such one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from ..config import Config
from ..errors import AgentError
from .phases import Plan

Values = Callable[[Config], Iterator[Any]]
ENOUGH = 0.99  # of the peak: what lowers it by less than a hundredth is no advice


@dataclass(frozen=True)
class Advice:
    """Set `option` to `value`, and the predicted peak becomes `peak` bytes; `owner` is whose bytes it lowers."""

    owner: str
    option: str
    value: Any
    peak: int


def advise(config: Config, plan: Plan, limit: int, predict: Callable[[Config], Plan]) -> Advice | None:
    """The option to change first so that a plan fits into `limit` bytes: one after which it does, or where there is
    none the best of the largest owner; None: no option helps.

    Args:
        config: The recipe.
        plan: Its plan.
        limit: Bytes of the device.
        predict: Makes the plan of another recipe.
    """
    owners, best = plan.phases[plan.highest], None
    for owner in sorted(owners, key=lambda name: -owners[name]):
        found = [
            advice
            for option, values in OPTIONS.get(owner, ())
            if (advice := _tried(config, owner, option, list(values(config)), limit, predict)) is not None
            and advice.peak < ENOUGH * plan.peak
        ]
        fitting = [advice for advice in found if advice.peak <= limit]
        if fitting:
            return fitting[0]
        if found and best is None:
            best = min(found, key=lambda advice: advice.peak)
    return best


def _tried(
    config: Config, owner: str, option: str, values: list[Any], limit: int, predict: Callable[[Config], Plan]
) -> Advice | None:
    """The first of the values that fits; if none does, the first that needs no more than the last."""

    def look(value: Any) -> Advice | None:
        changed = changed_option(config, option, value)
        if changed is None:
            return None
        try:
            return Advice(owner, option, value, predict(changed).peak)
        except AgentError:  # it does not go together with the rest of the recipe
            return None

    last = look(values[-1]) if values else None
    if last is None:
        return None
    enough = max(limit, last.peak)
    return next(found for value in values if (found := look(value)) is not None and found.peak <= enough)


def changed_option(config: Any, option: str, value: Any) -> Any:
    """The configuration with a dotted option set; None where there is no such option, or that is its value already."""
    name, _, rest = option.partition(".")
    if not is_dataclass(config) or name not in {field.name for field in fields(config)}:
        return None
    inner = changed_option(getattr(config, name), rest, value) if rest else value
    if inner is None or inner == getattr(config, name):
        return None
    return replace(config, **{name: inner})  # type: ignore[type-var]


def _is(*values: Any) -> Values:
    return lambda config: iter(values)


def _halved(value: Callable[[Config], int], least: Callable[[Config], int]) -> Values:
    def values(config: Config) -> Iterator[int]:
        now, smallest = value(config), least(config)
        while now // 2 >= smallest:
            now //= 2
            yield now

    return values


_checkpointing = ("model.gradient_checkpointing", _is(True))
_micro_batch = (
    "optimizer.micro_batch_tokens",
    _halved(lambda c: c.optimizer.micro_batch_tokens, lambda c: c.rollout.max_row_tokens),
)
_row = ("rollout.max_row_tokens", _halved(lambda c: c.rollout.max_row_tokens, lambda c: 2 * c.rollout.max_turn_tokens))
_chunk = ("optimizer.logprob_chunk", _halved(lambda c: c.optimizer.logprob_chunk or 4096, lambda c: 64))
_concurrency = ("rollout.concurrency", _halved(lambda c: c.rollout.concurrency, lambda c: 1))
_away = ("engine.offload", _is("optimizer", "all"))
_adapters = ("model.lora.rank", _is(16))
_bfloat16 = ("model.dtype", _is("bfloat16"))
_four_bits = (
    "model.lora.quantize",
    lambda c: iter(("nf4",) if c.model.lora.rank and c.engine.train == "local" else ()),
)
_blind = ("optimizer.rates.vision", _is(0.0))

# By owner, in the order in which one would try them. An option that this version does not have is passed over.
OPTIONS: dict[str, tuple[tuple[str, Values], ...]] = {
    "vision activations": (_checkpointing, _micro_batch, _blind),
    "language activations": (_checkpointing, _micro_batch, _row),
    "logits": (_chunk, _micro_batch, _concurrency),
    "gradients": (_adapters, _blind),
    "optimizer state": (_away, _adapters, _blind),
    "optimizer step": (_adapters, _blind),
    "trainer weights": (_bfloat16, _away, _four_bits),
    "gathered weights": (_bfloat16,),
    "reference": (_away, _adapters),
    "critic": (_away, ("critic.trunk", _is("shared"))),
    "sampler weights": (("engine.rollout", _is("transformers")),),
    "key-value cache": (
        ("engine.vllm.memory", lambda c: iter(x / 100 for x in range(int(100 * c.engine.vllm.memory) - 5, 5, -5))),
        ("engine.vllm.cache_gib", lambda c: iter(c.engine.vllm.cache_gib / 2**n for n in range(1, 5))),
        _concurrency,
        _row,
    ),
    "prompts": (_concurrency, _row),
    "kept prompts": (
        ("engine.keep_prompts_mib", lambda c: (c.engine.keep_prompts_mib * share for share in (0.5, 0.25, 0.0))),
    ),
}
