"""Starting a vLLM engine inside this process, with everything switched off that would change what is sampled."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..config_engine import VllmConfig
from ..errors import ConfigError

GIB = 2**30
# Families whose weights and pictures vLLM takes as they are.
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava")
MISSING = (
    "engine.rollout: vllm needs vLLM, which is not installed: pip install 'rllava-gym[vllm]' (a Linux machine with an "
    "NVIDIA GPU), or generate with transformers: --engine.rollout transformers"
)


def check_vllm(family: str, merge: int, temperature: float) -> None:
    """Refuse what vLLM cannot do.

    Args:
        family: The model's `model_type`.
        merge: Patches per side that make one image token.
        temperature: Of sampling in training.

    Raises:
        ConfigError: no vLLM, or not for this model or temperature.
    """
    instead = "Generate with transformers: --engine.rollout transformers"
    if family not in FAMILIES:
        raise ConfigError(
            f"engine.rollout: vLLM has no model for the family {family!r}; it has {', '.join(FAMILIES)} (a composed "
            f"model with connector_layers: 2 is a llava). {instead}"
        )
    if family == "qwen2_vl" and merge != 2:
        raise ConfigError(f"engine.rollout: vLLM's Qwen2-VL merges 2 x 2 patches, not {merge} x {merge}. {instead}")
    if temperature > 2:
        raise ConfigError(f"rollout.temperature: vLLM takes at most 2, got {temperature}. {instead}")
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(MISSING)


def start_vllm(folder: Path, dtype: str, device: str, max_tokens: int, options: VllmConfig) -> Any:
    """A `vllm.LLM` in this process whose weights are random until they are loaded.

    Args:
        folder: A checkpoint folder: config, tokenizer and processor are read from it.
        dtype: "float32" or "bfloat16".
        device: What the trainer uses.
        max_tokens: The longest context, pictures and answers included.
        options: Sizes.

    Raises:
        ConfigError: it cannot run this model with these sizes.
    """
    on_cpu = device.startswith("cpu")
    _prepare_process(on_cpu)
    from vllm import LLM
    from vllm.engine.arg_utils import EngineArgs

    settings: dict[str, Any] = {
        "model": str(folder),
        "dtype": dtype,
        "max_model_len": max_tokens,
        "max_num_seqs": options.max_sequences,
        # A prompt is computed in one piece: no picture is cut in two, and no random number is drawn for a token that
        # is thrown away (vLLM would turn its generator back afterwards, which a CPU's cannot).
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(8192, max_tokens),
        "limit_mm_per_prompt": {"image": options.max_images, "video": 0},
        "load_format": "dummy",  # what the trainer does not send shows at once
        "generation_config": "vllm",  # not the checkpoint's: it may hold top-p and a temperature
        "logprobs_mode": "processed_logprobs",  # of the distribution that was sampled from
        "mm_processor_cache_gb": 0,  # pictures come processed
        "disable_log_stats": True,
        "enable_sleep_mode": not on_cpu,
        "enforce_eager": options.eager or on_cpu,
        "gpu_memory_utilization": options.memory,
    }
    if on_cpu:
        # The CPU's default block of 128 tokens would never let short prompts share their beginning.
        settings |= {"block_size": 32, "skip_mm_profiling": True}
    if on_cpu or options.cache_gib:
        settings["kv_cache_memory_bytes"] = int((options.cache_gib or 1.0) * GIB)
    if "mm_device_do_normalize" in {field.name for field in fields(EngineArgs)}:
        settings["mm_device_do_normalize"] = False  # else it would normalise pixels that are normalised already
    try:
        return LLM(**settings)
    except Exception as error:
        raise ConfigError(
            f"engine.vllm: vLLM cannot start with {folder}: {error}. Sizes are engine.vllm.memory, engine.vllm."
            "cache_gib, engine.vllm.max_sequences and rollout.max_row_tokens"
        ) from error


def _prepare_process(on_cpu: bool) -> None:
    """What vLLM reads from its surroundings when it is imported."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process: it shares the device with the trainer
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    if on_cpu:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # compiling takes longer than it saves
        import vllm._custom_ops as ops

        # oneDNN packs linear weights into a form that cannot be loaded into again.
        ops._supports_onednn = False
