"""`boxes: auto`: what each family's boxes are, and that what a picture is resized to is known without the model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from agent.__main__ import main
from agent.config import Config, Demonstrations
from agent.config_model import ModelConfig, TinyShape
from agent.errors import ConfigError
from agent.model.boxes import model_boxes, with_boxes
from agent.parts import build
from agent.run import run
from envs.core.boxes import FORMATS, from_argument
from envs.core.images import smart_resize
from tests.agent.run_fixtures import SHAPE, Parity, quiet, small_config, tiny_folder

# The published preprocessor_config.json of each family, as far as it decides a size.
PUBLISHED: dict[str, dict[str, Any]] = {
    "qwen2_vl": {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056},
    "qwen2_5_vl": {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056},
    "qwen3_vl": {
        "patch_size": 16,
        "merge_size": 2,
        "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    },
}
FAMILY = pytest.mark.parametrize("family", list(PUBLISHED))


def seen_size(processor: Qwen2VLImageProcessorPil, width: int, height: int) -> tuple[int, int]:
    """The (width, height) to which the family's own processor scales a picture."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    out = processor(images=[picture], return_tensors="np", input_data_format="channels_last")
    _, rows, columns = out["image_grid_thw"][0]
    return int(columns) * processor.patch_size, int(rows) * processor.patch_size


@FAMILY
def test_smart_resize_gives_the_size_of_the_familys_own_processor(family: str) -> None:
    # Bounds that pictures of a testable size reach on both sides; the rule is the same at the published ones.
    published = PUBLISHED[family]
    factor = published["patch_size"] * published["merge_size"]
    bounds = {"min_pixels": 4 * factor**2, "max_pixels": 40 * factor**2}
    own = Qwen2VLImageProcessorPil(patch_size=published["patch_size"], merge_size=2, **bounds)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 260), st.integers(1, 260))
    def check(width: int, height: int) -> None:
        if max(width, height) <= 200 * min(width, height):
            assert smart_resize(width, height, factor, **bounds) == seen_size(own, width, height)

    check()


@FAMILY
def test_the_named_format_has_the_sizes_of_the_published_processor(family: str) -> None:
    own = Qwen2VLImageProcessorPil(**PUBLISHED[family])
    named = FORMATS[family]
    assert named.factor == own.patch_size * own.merge_size
    assert (named.min_pixels, named.max_pixels) == (own.size["shortest_edge"], own.size["longest_edge"])
    resized = smart_resize(333, 250, named.factor, named.min_pixels, named.max_pixels)
    assert resized == seen_size(own, 333, 250)


def test_a_loaded_models_boxes_are_its_familys_in_its_own_processors_size(
    family: str, write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "m", family)
    boxes = model_boxes(ModelConfig(path=str(folder)))
    assert json.loads(json.dumps(boxes)) == boxes  # plain data, fit for a recipe
    made = from_argument(boxes)
    assert (made.kind, made.syntax) == (FORMATS[family].kind, FORMATS[family].syntax)
    side = made.factor
    assert side == {"qwen2_vl": 14, "qwen2_5_vl": 28, "qwen3_vl": 32}[family]
    assert (made.min_pixels, made.max_pixels) == (side**2, 16 * side**2)


def test_the_tiny_models_boxes_are_known_before_it_is_made(tmp_path: Path) -> None:
    shape = TinyShape(patch=8, merge=2, max_pixels=9000)
    assert model_boxes(ModelConfig(path="tiny", tiny=shape)) == {
        "kind": "absolute_resized",
        "syntax": "list",
        "factor": 16,
        "min_pixels": 256,
        "max_pixels": 9000,
    }


def test_the_tiny_models_boxes_are_those_of_its_folder(tmp_path: Path) -> None:
    config = small_config(tmp_path, model={"path": "tiny", "tiny": SHAPE})
    parts = build(config, tmp_path, None)
    assert model_boxes(ModelConfig(path=str(parts.vlm.processor.folder))) == model_boxes(config.model)
    parts.close()


def test_another_familys_boxes_must_be_written_out(write_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", "qwen2_vl")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "llava"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"'llava'; write it out, as in \{kind: absolute_resized"):
        model_boxes(ModelConfig(path=str(folder)))


# In a recipe.

EVERYWHERE = {
    "env": {
        "kwargs": {"boxes": "auto"},
        "train": {"split": "train", "boxes": "auto"},
        "validation": {"split": "validation", "boxes": "pixels"},
        "test": {"split": "test", "boxes": "auto"},
    },
    "model": {"path": "tiny", "tiny": SHAPE},
}


def test_auto_is_replaced_wherever_it_stands_and_nothing_else_is(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, **EVERYWHERE, cold_start={"sources": [Demonstrations({"boxes": "auto", "turns": 1})]}
    )
    filled = with_boxes(config)
    boxes = model_boxes(config.model)
    assert filled.env.kwargs == {"boxes": boxes}
    assert filled.env.train == {"split": "train", "boxes": boxes}
    assert filled.env.validation == {"split": "validation", "boxes": "pixels"}
    assert filled.env.test == {"split": "test", "boxes": boxes}
    assert [source.kwargs for source in filled.cold_start.sources] == [{"boxes": boxes, "turns": 1}]
    assert with_boxes(filled) == filled


def test_a_recipe_that_does_not_ask_is_left_alone_whatever_its_model(tmp_path: Path) -> None:
    config: Config = small_config(tmp_path, model={"path": str(tmp_path / "nowhere")})
    assert with_boxes(config) is config


class Boxed(Parity):
    """An environment that says where things are; it takes plain data and nothing else."""

    given: list[Any]

    def __init__(self, boxes: Any, split: str = "train", turns: int = 2) -> None:
        if not isinstance(boxes, dict):
            raise ValueError(f"boxes must be plain data, got {boxes!r}")
        type(self).given.append(boxes)
        super().__init__(split, turns)


gymnasium.register("Test/Boxed-v0", Boxed)


def test_an_evaluation_gets_the_checkpoints_boxes_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Boxed, "given", [], raising=False)
    options = ["--env", "Test/Boxed-v0", "--kwargs", "{boxes: auto}", "--modules", "[tests.agent.run_fixtures]"]
    sizes = ["--episodes", "1", "--rollout.max_turn_tokens", "4", "--device", "cpu", "--output", str(tmp_path)]
    assert main(["eval", "--model", str(tiny_folder()), *options, *sizes]) == 0
    boxes = model_boxes(ModelConfig(path=str(tiny_folder())))
    assert Boxed.given and all(given == boxes for given in Boxed.given)
    sittings = json.loads((tmp_path / "settings.json").read_text())["sittings"]
    assert sittings and all(told["env"]["kwargs"]["boxes"] == boxes for told in sittings.values())


def test_every_environment_of_a_run_gets_the_models_boxes_and_the_run_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Boxed, "given", [], raising=False)
    monkeypatch.setattr("agent.run.write_report", lambda *_: None)
    config = small_config(
        tmp_path,
        env={"id": "Test/Boxed-v0", "kwargs": {"boxes": "auto"}},
        model={"path": "tiny", "tiny": SHAPE},
        optimizer={"steps": 1},
        evaluation={"test_episodes": 1, "validate_every": 0, "validation_episodes": 1, "sampled": False},
        cold_start={"sources": [Demonstrations({"turns": 1})], "max_steps": 1, "stop_at": 2.0, "batch_size": 2},
    )
    assert run(config, quiet()[0]).finished
    boxes = model_boxes(config.model)
    assert len(Boxed.given) > 3
    assert all(given == boxes for given in Boxed.given)
    recorded = yaml.safe_load((Path(config.run.folder) / config.run.name / "config.yaml").read_text())
    assert recorded["config"]["env"]["kwargs"] == {"boxes": boxes}
    # The same command, which says "auto", finds its run again.
    assert run(config, quiet()[0]).finished
