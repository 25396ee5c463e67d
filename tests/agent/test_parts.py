"""What a run is made of, built from its configuration."""

from pathlib import Path
from typing import ClassVar

import gymnasium
import pytest
import torch
from gymnasium import spaces

from agent.beginning import environment_spec, tokenizer_texts
from agent.config import EnvironmentConfig
from agent.config_algorithm import DivergenceConfig
from agent.config_model import ModelConfig
from agent.engine.checkpoint import save_checkpoint
from agent.errors import CheckpointError, ConfigError
from agent.model.load import load_vlm
from agent.parts import Parts, build, placement
from tests.agent.run_fixtures import SHAPE, TASKS, Parity, small_config, tiny_folder

TINY = {"model": {"path": "tiny", "tiny": SHAPE}}


def state(parts: Parts) -> dict[str, torch.Tensor]:
    return parts.vlm.model.state_dict()


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_each_split_has_its_own_arguments_over_the_shared_ones(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, env={"kwargs": {"turns": 3, "fault": "x"}, "validation": {"split": "validation", "turns": 1}}
    )
    assert environment_spec(config, "train").kwargs == {"turns": 3, "fault": "x", "split": "train"}
    assert environment_spec(config, "validation").kwargs == {"turns": 1, "fault": "x", "split": "validation"}
    assert environment_spec(config, "test").kwargs == {"turns": 3, "fault": "x", "split": "test"}


def test_sampler_and_trainer_work_on_the_same_weights(tmp_path: Path) -> None:
    parts = build(small_config(tmp_path), tmp_path, None)
    assert parts.rollout_engine.model is parts.train_engine.model is parts.actor.model
    assert parts.actor.temperature == 1.0
    assert parts.actor.banned_ids == parts.vlm.processor.banned_ids
    parts.close()


def test_answers_of_tools_as_tool_responses_are_refused_where_the_template_has_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tool"):
        build(small_config(tmp_path, rollout={"observations": "tool"}), tmp_path, None)


def test_without_a_divergence_there_is_no_reference(tmp_path: Path) -> None:
    assert build(small_config(tmp_path), tmp_path, None).reference is None
    assert (
        build(small_config(tmp_path, algorithm={"divergence": DivergenceConfig(0.1)}), tmp_path, None).reference
        is not None
    )


def test_the_bound_of_the_check_is_the_recipes_or_that_of_the_dtype(tmp_path: Path) -> None:
    parts = build(small_config(tmp_path), tmp_path, None)
    assert 0 < parts.max_gap <= 1e-3
    assert build(small_config(tmp_path, check={"max_gap": 0.25}), tmp_path, None).max_gap == 0.25


def test_training_tasks_are_numbered_as_the_environment_says(tmp_path: Path) -> None:
    assert build(small_config(tmp_path), tmp_path, None).train_tasks == TASKS


def test_a_driver_is_made_once_a_split(tmp_path: Path) -> None:
    parts = build(small_config(tmp_path), tmp_path, None)
    assert parts.driver("train") is parts.driver("train")
    assert parts.driver("train") is not parts.driver("test")
    parts.close()


def test_the_tiny_model_is_the_same_wherever_it_is_made_and_another_for_another_seed(tmp_path: Path) -> None:
    first = state(build(small_config(tmp_path, **TINY), tmp_path / "a", None))
    again = state(build(small_config(tmp_path, **TINY), tmp_path / "b", None))
    other = state(build(small_config(tmp_path, **TINY, run={"seed": 1}), tmp_path / "c", None))
    assert equal(first, again)
    assert not equal(first, other)


def test_a_tiny_model_that_was_only_half_made_is_made_again(tmp_path: Path) -> None:
    whole = state(build(small_config(tmp_path, **TINY), tmp_path / "a", None))
    (tmp_path / "b" / "initial_model").mkdir(parents=True)
    (tmp_path / "b" / "initial_model" / "config.json").write_text("{")
    assert equal(state(build(small_config(tmp_path, **TINY), tmp_path / "b", None)), whole)


def test_the_tokenizer_learns_from_what_the_environment_and_its_expert_say(tmp_path: Path) -> None:
    texts = tokenizer_texts(small_config(tmp_path))
    assert any(text.startswith("even ") for text in texts)
    assert "bdfh" in texts
    assert texts == tokenizer_texts(small_config(tmp_path))


def test_a_checkpoint_is_continued_with_its_weights_its_moments_and_its_step(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    parts = build(config, tmp_path, None)
    for parameter in parts.vlm.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    parts.train_engine.step()
    saved = save_checkpoint(tmp_path / "checkpoints", 1, parts.vlm, parts.state_dict(), 2)
    again = build(config, tmp_path, saved)
    assert equal(state(again), state(parts))
    assert not equal(state(again), load_vlm(tiny_folder()).model.state_dict())
    assert again.train_engine.steps_taken == 1
    assert again.rollout_engine.weight_version == 1
    ours, theirs = again.train_engine.optimizer.state_dict(), parts.train_engine.optimizer.state_dict()
    assert all(torch.equal(ours["state"][0][name], value) for name, value in theirs["state"][0].items())


def test_the_reference_of_a_continued_run_is_the_policy_it_began_with(tmp_path: Path) -> None:
    config = small_config(tmp_path, algorithm={"divergence": DivergenceConfig(0.1)})
    parts = build(config, tmp_path, None)
    folder = tmp_path / "checkpoints"
    save_checkpoint(folder, 0, parts.vlm, parts.state_dict(), 2)
    start = {name: tensor.clone() for name, tensor in state(parts).items()}
    with torch.no_grad():
        for parameter in parts.vlm.model.parameters():
            parameter.add_(0.1)
    saved = save_checkpoint(folder, 1, parts.vlm, parts.state_dict(), 2)
    again = build(config, tmp_path, saved)
    assert again.reference is not None
    assert equal(again.reference._actor.model.state_dict(), start)
    assert not equal(state(again), start)


@pytest.mark.parametrize("device", ["cuda:77", "gpu", "tpu"])
def test_a_device_that_is_not_there_is_told(device: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.device: '{device}' is not available"):
        placement(ModelConfig(device=device))


def test_auto_is_float32_on_a_cpu() -> None:
    assert placement(ModelConfig(device="cpu")) == ("cpu", "float32")
    assert placement(ModelConfig(device="cpu", dtype="bfloat16")) == ("cpu", "bfloat16")


@pytest.mark.parametrize(
    ("areas", "field"),
    [
        ({"rollout": {"prompts_per_step": 0}}, "rollout.prompts_per_step"),
        ({"rollout": {"max_turn_tokens": 0}}, "rollout.max_turn_tokens"),
        ({"rollout": {"max_turns": 0}}, "rollout.max_turns"),
        ({"rollout": {"concurrency": 0}}, "rollout.concurrency"),
        ({"rollout": {"threads": 0}}, "rollout.threads"),
        ({"optimizer": {"micro_batch_tokens": 0}}, "optimizer.micro_batch_tokens"),
        ({"evaluation": {"validation_episodes": 0}}, "evaluation.validation_episodes"),
        ({"evaluation": {"test_episodes": -1}}, "evaluation.test_episodes"),
        ({"run": {"record_every": 0}}, "run.record_every"),
        ({"run": {"keep": 0}}, "run.keep"),
        ({"algorithm": {"policy_loss_options": {"clip_high": -0.1}}}, "clip_high"),
    ],
)
def test_a_size_that_makes_no_sense_is_told_with_its_field(
    tmp_path: Path, areas: dict[str, dict[str, object]], field: str
) -> None:
    with pytest.raises(ConfigError, match=field.replace(".", r"\.")):
        build(small_config(tmp_path, **areas), tmp_path, None)


def test_an_environment_without_splits_is_made_without_one(tmp_path: Path) -> None:
    class Bare(gymnasium.Env):
        metadata: ClassVar = {"render_modes": []}
        observation_space, action_space = Parity.observation_space, spaces.Text(10)

    gymnasium.register("Test/Bare-v0", Bare)
    config = small_config(tmp_path, env={"id": "Test/Bare-v0"})
    assert config.env == EnvironmentConfig("Test/Bare-v0")
    for split in ("train", "validation", "test"):
        assert environment_spec(config, split).kwargs == {}
    gymnasium.registry.pop("Test/Bare-v0")
