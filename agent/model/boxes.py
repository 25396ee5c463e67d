"""What `boxes: auto` in a recipe stands for.

Where something is in a picture, each family says in its own unit: a coordinate is a property of the model. A recipe
that asks for boxes writes `boxes: auto` among its environment's arguments, and the environment gets plain data instead:
the unit (`kind`), its spelling (`syntax`), and the three numbers that decide to which size the model's image processor
scales a picture (`factor`, `min_pixels`, `max_pixels`; see `agent.model.processor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import Config
from ..config_model import ModelConfig
from ..errors import ConfigError
from .processor import load_image_processor, read_json
from .tiny import FAMILY as TINY_FAMILY
from .tiny import image_processor_settings

# Family -> what its published checkpoints were taught. Qwen2-VL: thousandths in its box tokens; Qwen2.5-VL: pixels of
# the resized picture; Qwen3-VL: thousandths in JSON.
UNITS: dict[str, dict[str, str]] = {
    "qwen2_vl": {"kind": "relative_1000", "syntax": "tokens"},
    "qwen2_5_vl": {"kind": "absolute_resized", "syntax": "list"},
    "qwen3_vl": {"kind": "relative_1000", "syntax": "bbox_2d"},
}
BY_HAND = (
    "write it out, as in {kind: absolute_resized, syntax: list, factor: 28, min_pixels: 3136, max_pixels: 12845056}. "
    "kind is the unit: pixels (of the picture), absolute_resized (of the picture as the model sees it) or "
    "relative_1000; factor is patch size x merge size"
)


def with_boxes(config: Config) -> Config:
    """The recipe with every `boxes: auto` among its environments' arguments replaced by the model's box format.

    Training, validation, test and cold-start arguments alike, and those of tests elsewhere. A recipe without any is
    returned as it is, and the model's folder is not looked at.

    Raises:
        ConfigError: the model is of a family whose boxes are not known.
        CheckpointError: the model's folder is incomplete.
    """
    env, sources, others = config.env, config.cold_start.sources, config.evaluation.elsewhere
    beside = (given.kwargs for given in (*sources, *others))
    if not any(map(_asks, (env.kwargs, env.train, env.validation, env.test, *beside))):
        return config
    boxes = model_boxes(config.model)

    def filled(kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {**kwargs, "boxes": dict(boxes)} if _asks(kwargs) else dict(kwargs)

    return replace(
        config,
        env=replace(
            env,
            kwargs=filled(env.kwargs),
            train=filled(env.train),
            validation=filled(env.validation),
            test=filled(env.test),
        ),
        cold_start=replace(
            config.cold_start, sources=[replace(source, kwargs=filled(source.kwargs)) for source in sources]
        ),
        evaluation=replace(
            config.evaluation, elsewhere=[replace(other, kwargs=filled(other.kwargs)) for other in others]
        ),
    )


def model_boxes(model: ModelConfig) -> dict[str, Any]:
    """The box format of a recipe's model as plain data, from its family and its image processor."""
    if model.path == "tiny":
        settings = image_processor_settings(model.tiny)
        return _format(TINY_FAMILY, settings["patch_size"], settings["merge_size"], settings["size"])
    folder = Path(model.path)
    family = _known(read_json(folder / "config.json", "the model's config").get("model_type"))
    images = load_image_processor(folder)
    return _format(family, images.patch_size, images.merge_size, images.size)


def _known(family: Any) -> str:
    if family not in UNITS:
        raise ConfigError(
            f"boxes: 'auto' is known for the families {', '.join(UNITS)}, and this model is {family!r}; {BY_HAND}"
        )
    return str(family)


def _format(family: str, patch: int, merge: int, size: Any) -> dict[str, Any]:
    return {
        **UNITS[family],
        "factor": patch * merge,
        "min_pixels": int(size["shortest_edge"]),
        "max_pixels": int(size["longest_edge"]),
    }


def _asks(kwargs: Mapping[str, Any]) -> bool:
    return kwargs.get("boxes") == "auto"
