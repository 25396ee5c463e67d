"""Loading, saving, and folders that cannot be loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from agent.engine.batching import make_batch
from agent.errors import CheckpointError
from agent.model.load import VLM, load_vlm
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import Row


@pytest.fixture
def folder(one_vlm: VLM, tmp_path: Path) -> Path:
    """A copy of a good checkpoint, to be spoiled."""
    return shutil.copytree(one_vlm.processor.folder, tmp_path / "model")


def edit(path: Path, **fields: Any) -> None:
    settings = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def logprobs(vlm: VLM, picture: np.ndarray) -> torch.Tensor:
    renderer = Renderer(vlm.processor)
    row = Row((renderer.prompt("How many?", [picture]),)).append(renderer.demonstration("three circles", 0))
    batch = make_batch([row], [0], [1.0], renderer.pixels, vlm.processor.merge)
    return Actor(vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)[0]


def test_a_family_loads_trains_a_step_saves_and_loads_again_as_it_was(
    family: str, write_checkpoint: Callable[..., Path], tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    vlm = load_vlm(write_checkpoint(tmp_path / "origin", family, seed=4))
    assert vlm.family == family
    before = logprobs(vlm, picture(60, 90))
    optimizer = torch.optim.AdamW(vlm.model.parameters(), lr=1e-2)
    (-before.sum()).backward()
    optimizer.step()
    after = logprobs(vlm, picture(60, 90))
    assert after.sum() > before.sum()

    (tmp_path / "trained").mkdir()
    vlm.save(tmp_path / "trained")
    again = load_vlm(tmp_path / "trained")
    assert torch.equal(logprobs(again, picture(60, 90)), after)
    assert Renderer(again.processor).family == Renderer(vlm.processor).family
    for name, tensor in vlm.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_every_part_of_the_model_gets_a_gradient_through_text_and_picture(
    vlm: VLM, picture: Callable[..., np.ndarray]
) -> None:
    logprobs(vlm, picture(60, 90)).sum().backward()
    without = [name for name, weight in vlm.model.named_parameters() if weight.grad is None or not weight.grad.any()]
    vlm.model.zero_grad(set_to_none=True)
    # Adding the same to every key of a softmax changes nothing, so the key's bias has no gradient but rounding.
    assert [name for name in without if "k_proj.bias" not in name] == []


def test_bfloat16_weights_load_as_such(folder: Path) -> None:
    assert load_vlm(folder, dtype="bfloat16").model.dtype == torch.bfloat16


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_vlm(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder")


def test_a_folder_without_a_config_is_no_checkpoint(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, "config.json", "is missing")


def test_a_config_that_is_not_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    refused(folder, "config.json", "cannot be read as JSON")


def test_a_folder_with_a_bare_tokenizer_is_refused_because_pictures_would_be_dropped(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "no preprocessor_config.json", "bare tokenizer", "pictures would be dropped")


def test_the_processor_of_another_family_is_named_with_those_that_are_supported(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", image_processor_type="CLIPImageProcessor")
    refused(folder, "'CLIPImageProcessor'", "supported are Qwen2VLImageProcessor")


def test_a_processor_that_does_not_say_what_it_is_is_refused(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", image_processor_type=None)
    refused(folder, "None", "supported are Qwen2VLImageProcessor")


@pytest.mark.parametrize(("name", "value"), [("patch_size", 16), ("merge_size", 1), ("temporal_patch_size", 1)])
def test_a_processor_of_another_model_is_recognised_by_its_sizes(folder: Path, name: str, value: int) -> None:
    edit(folder / "preprocessor_config.json", **{name: value})
    refused(folder, f"{name}={value}", "belongs to another model")


def test_a_folder_without_a_chat_template_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    refused(folder, "no chat template", "instruction-tuned")


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    refused(folder, "tokenizer")


def test_the_tokenizer_of_another_model_is_recognised_by_its_image_token(folder: Path) -> None:
    edit(folder / "config.json", image_token_id=7)
    refused(folder, "image_token_id=7", "belong to different models")


def test_a_text_only_model_is_refused_even_with_a_processor_beside_it(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=384, num_key_value_heads=1, **shape)).save_pretrained(folder)
    refused(folder, "model_type is 'qwen2'", "supported are qwen2_vl, qwen2_5_vl, qwen3_vl")


def test_a_text_only_models_tokenizer_is_refused(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(content.replace("<|image_pad|>", "<|other_pad|>"))
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_text((folder / name).read_text().replace("<|image_pad|>", "<|other_pad|>"))
    refused(folder, "does not know <|image_pad|>", "text-only")


def test_missing_weights_are_counted_and_named(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    kept = {name: tensor for name, tensor in load_file(file).items() if "visual.merger" not in name}
    save_file(kept, file, {"format": "pt"})
    refused(folder, "weights are missing", "visual.merger")


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("layers.0.mlp.up_proj.weight"))
    save_file(tensors | {name: tensors[name][:-8].contiguous()}, file, {"format": "pt"})
    refused(folder, "weights cannot be loaded")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    refused(folder, "weights cannot be loaded")


def test_damaged_weights_are_refused(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    refused(folder, "weights cannot be loaded")
