"""What the sampler needs, beside what the trainer keeps on the device: the engines of vLLM and of servers, or ours."""

from __future__ import annotations

from ..config import Config
from ..errors import ConfigError
from ..rollout.vllm_start import GIB
from .copied_cache import copied_moments
from .shared_cache import shared_moments, shares_cache
from .skeleton import Skeleton

CPU_CACHE = GIB  # of vLLM where there is no device's share to take


def rollout_bytes(
    config: Config,
    skeleton: Skeleton,
    patches: tuple[int, ...],
    accelerator: bool,
    device_memory: int | None,
    kept: int = 0,
) -> list[dict[str, int]]:
    """Bytes by owner of each moment of a rollout that may be its peak.

    Args:
        config: The recipe.
        skeleton: The sampler's model.
        patches: Of each picture of a row.
        accelerator: The device is a GPU.
        device_memory: What it has; needed where vLLM takes a share of it.
        kept: Bytes of prompts that are kept for the update.

    Raises:
        ConfigError: vLLM's share is not known, or too small.
    """
    if config.engine.rollout == "vllm":
        return [_vllm(config, skeleton, accelerator, device_memory)]
    if config.engine.rollout == "remote":
        return [{}]
    own = {} if config.engine.shared else {"sampler weights": skeleton.weight_bytes}
    if shares_cache(config, skeleton):
        moments = shared_moments(config, skeleton, patches, accelerator, kept)
    else:
        moments = copied_moments(config, skeleton, patches)
    return [own | moment for moment in moments]


def _vllm(config: Config, skeleton: Skeleton, accelerator: bool, device_memory: int | None) -> dict[str, int]:
    options, weights = config.engine.vllm, skeleton.weight_bytes
    cache = int(options.cache_gib * GIB)
    if not cache and accelerator:
        if device_memory is None:
            raise ConfigError(
                "engine.vllm.memory is a share of a device whose memory is not known: give --device-memory, such as "
                "24GiB, or a size of the cache: --engine.vllm.cache_gib 4"
            )
        cache = int(options.memory * device_memory) - weights
        if cache <= 0:
            raise ConfigError(
                f"engine.vllm.memory: {options.memory} of {device_memory / GIB:.1f} GiB does not hold vLLM's "
                f"weights, {weights / GIB:.1f} GiB, with a cache beside them; give it more"
            )
    return {"sampler weights": weights, "key-value cache": cache or CPU_CACHE}
