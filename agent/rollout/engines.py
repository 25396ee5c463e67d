"""The rollout engine that a recipe names."""

from __future__ import annotations

from pathlib import Path

from ..config import Config
from ..errors import ConfigError
from ..model.load import VLM, load_vlm
from .engine import RolloutEngine
from .hf import TransformersEngine
from .vllm import VllmEngine
from .vllm_start import check_vllm, start_vllm


def make_rollout_engine(config: Config, vlm: VLM, folder: Path, device: str, dtype: str) -> RolloutEngine:
    """An engine without weights of its own, or with the trainer's; `load_weights` comes before the first request.

    Args:
        config: The recipe.
        vlm: The trainer's model.
        folder: The checkpoint folder that it was loaded from.
        device: As torch names it.
        dtype: "float32" or "bfloat16", of the sampler's weights.

    Raises:
        ConfigError: the engine is not installed, or cannot run this model.
        OutageError: it is elsewhere and does not answer.
    """
    image_token_id, merge = vlm.processor.image_token_id, vlm.processor.merge
    if config.engine.rollout == "transformers":
        shared, apart = config.engine.shared, config.engine.sharing == "none"
        model = vlm.model if shared else load_vlm(folder, dtype, device).model
        return TransformersEngine(model, image_token_id, merge, shared, apart)
    if config.engine.rollout == "remote":
        try:  # its libraries belong to an extra
            from .remote.start import start_remote
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"engine.rollout: remote needs {error.name}, which is not installed: pip install 'rllava-gym[remote]'"
            ) from error
        return start_remote(config.engine.remote, vlm, config.rollout.max_row_tokens)
    check_vllm(vlm.family, merge, config.rollout.temperature)
    llm = start_vllm(folder, dtype, device, config.rollout.max_row_tokens, config.engine.vllm)
    return VllmEngine(llm, image_token_id, patches=vlm.family != "llava")
