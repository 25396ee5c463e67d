"""A model composed in the recipe: cold start, reinforcement learning, checkpoint, and on from there."""

from pathlib import Path

import pytest

from agent.config import ColdStartConfig, Demonstrations
from agent.config_model import ComposeConfig, ModelConfig
from agent.errors import ConfigError
from agent.model.load import load_vlm
from agent.model.tiny import make_tokenizer
from agent.run import run
from tests.agent.run_fixtures import quiet, small_config

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7, **SIZES}
LANGUAGE = {"model_type": "llama", "vocab_size": 320, "num_key_value_heads": 1, **SIZES}


@pytest.fixture
def model(tmp_path: Path) -> ModelConfig:
    tokenizer = make_tokenizer(["even odd more"] * 8, 300)
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
        "{% else %} {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    composed = ComposeConfig(VISION, LANGUAGE, tokenizer=str(tmp_path / "tokenizer"))
    return ModelConfig("composed", composed=composed, device="cpu", dtype="float32")


def test_a_composed_model_goes_through_a_whole_run(tmp_path: Path, model: ModelConfig) -> None:
    config = small_config(tmp_path, optimizer={"steps": 2}, rollout={"max_row_tokens": 96})
    start = ColdStartConfig([Demonstrations()], max_steps=2, batch_size=4, stop_at=1.0)
    config = type(config)(**{**vars(config), "model": model, "cold_start": start})
    assert run(config, quiet()[0]).finished
    checkpoint = tmp_path / "run" / "checkpoints" / "step_2"
    assert load_vlm(checkpoint).family == "llava"


def test_parts_that_are_not_named_are_asked_for(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    config = type(config)(**{**vars(config), "model": ModelConfig("composed")})
    with pytest.raises(ConfigError, match=r"model\.composed.*vision.*language"):
        run(config, quiet()[0])
