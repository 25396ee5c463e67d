"""The recipes of the published sizes: every number is the paper's, and they train the family they are written for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import read_config
from agent.run import run
from tests.agent.run_fixtures import quiet

# RLLaVA (arXiv 2512.21450): what both agentic tasks share, and what each has of its own.
SHARED = {"prompts_per_step": 16, "temperature": 1.0}
OWN = {"search_3b": {"group_size": 5, "max_turns": 3}, "coding_3b": {"group_size": 8, "max_turns": 5}}
SMALL = [
    "--model.gradient_checkpointing=false",
    "--model.device=cpu",
    "--rollout.prompts_per_step=1",
    "--rollout.group_size=2",
    "--rollout.max_turn_tokens=6",
    "--rollout.max_row_tokens=4096",
    "--optimizer.steps=1",
    "--evaluation.validate_every=0",
    "--evaluation.test_episodes=1",
]


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_numbers_are_the_published_ones(name: str) -> None:
    config = read_config("train", [name])
    for key, value in (SHARED | OWN[name]).items():
        assert getattr(config.rollout, key) == value
    assert config.optimizer.lr == 1e-6 and config.optimizer.max_grad_norm == 1.0
    assert (config.algorithm.family, config.algorithm.divergence.coef) == ("grpo", 0.01)
    assert (config.algorithm.divergence.estimator, config.algorithm.divergence.where) == ("k3", "loss")
    assert config.algorithm.policy_loss_options == {"clip_low": 0.2, "clip_high": 0.2, "dual_clip": 3.0}


def test_a_row_of_search_holds_a_prompt_and_an_answer_of_the_published_lengths() -> None:
    sizes = read_config("train", ["search_3b"]).rollout
    assert (sizes.max_row_tokens, sizes.max_episode_tokens) == (4096 + 2048, 2048)


@pytest.mark.parametrize("name", sorted(OWN))
def test_it_trains_a_small_model_of_that_family(
    name: str, write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    own = ["--env.kwargs.sandbox=local"] if name == "coding_3b" else ["--rollout.max_episode_tokens=12"]
    checkpoint = write_checkpoint(tmp_path / "model", "qwen2_5_vl")
    folder = ["--run.folder", str(tmp_path), "--model.path", str(checkpoint)]
    ended = run(read_config("train", [name, *folder, *SMALL, *own]), quiet()[0])
    assert ended.report is not None
    named = {row["name"] for row in ended.report["rows"]}
    assert {"before", "after", "oracle", "blind"} < named and any(name.startswith("after, without") for name in named)
