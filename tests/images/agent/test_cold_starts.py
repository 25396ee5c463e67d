"""The cold starts that the agent's image ships."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agent.model.load import load_vlm

FOLDERS = [Path(__file__).parents[3] / "images" / "agent" / "cold_starts" / name for name in ("search", "coding")]

pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_a_cold_start_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.6e6


def test_its_weights_are_bfloat16_and_its_config_says_so(folder: Path) -> None:
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_it_is_loaded_in_float32_with_every_value_as_stored(folder: Path) -> None:
    vlm = load_vlm(folder, dtype="float32")
    stored = load_file(folder / "model.safetensors")
    loaded = vlm.model.state_dict()
    assert {value.dtype for value in loaded.values() if value.is_floating_point()} == {torch.float32}
    for name, value in stored.items():
        found = [loaded[key] for key in loaded if key.endswith(name.removeprefix("model."))]
        assert any(torch.equal(value.float(), one) for one in found if one.shape == value.shape), name


def test_its_card_says_how_it_was_made_and_what_it_scores(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert f"python images/agent/cold_starts/make.py {folder.name}" in card
    assert "dirty" not in card
    assert "| before | greedy | f1 |" in card and "| blind | none | f1 |" in card
