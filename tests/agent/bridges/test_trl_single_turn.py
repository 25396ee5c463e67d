"""Single-turn environments in TRL's own GRPOTrainer."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from datasets import Dataset

from agent.bridges.trl_single_turn import reward_function
from agent.bridges.trl_worlds import coordinates, to_dataset
from agent.errors import ConfigError, EnvironmentFault, ObservationError
from agent.model.load import load_vlm
from agent.rollout.render import Renderer
from tests.agent.bridges.trl_environments import Letters, make_trainer, unpadded, worth

ID = "TRLTest/Letters-v0"


def parameters(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_step_of_trl_learns_from_the_environments_own_rewards(checkpoint: Path, tmp_path: Path) -> None:
    """The rewards are worked out again from the tokens that TRL trains, in an environment of the test's own."""
    data = to_dataset(ID, "train", 2)
    trainer = make_trainer(checkpoint, tmp_path, data, reward_function(ID, checkpoint))
    before = parameters(trainer.model)
    trainer.train()
    (batch,) = trainer.batches
    renderer = Renderer(load_vlm(checkpoint).processor)
    said = unpadded(batch["completion_ids"], batch["completion_mask"])
    expected = torch.tensor([worth(renderer.action_text(ids)) for ids in said])
    assert len(set(expected.tolist())) > 2, "rewards that are all equal would show nothing"
    seen = torch.tensor(list(trainer._logs["rewards"]["EnvironmentReward"]))
    torch.testing.assert_close(seen, expected)
    groups = expected.view(2, 2)
    advantages = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    torch.testing.assert_close(batch["advantages"], advantages, atol=1e-4, rtol=1e-4)
    logged = trainer.state.log_history[0]
    assert np.isfinite(logged["loss"]) and logged["grad_norm"] > 0
    assert not torch.equal(parameters(trainer.model), before)


def test_trl_trains_on_the_very_prompts_that_our_renderer_makes(checkpoint: Path, tmp_path: Path) -> None:
    data = to_dataset(ID, "train", 2)
    trainer = make_trainer(checkpoint, tmp_path, data, reward_function(ID, checkpoint))
    trainer.train()
    (batch,) = trainer.batches
    renderer = Renderer(load_vlm(checkpoint).processor)
    env = Letters()
    prompts = []
    for task in (0, 0, 1, 1):
        shown = env.reset(options={"task": task})[0]
        prompts.append(renderer.prompt(shown["text"], shown["images"]))
    assert unpadded(batch["prompt_ids"], batch["prompt_mask"]) == [list(prompt.token_ids) for prompt in prompts]
    pixels = torch.cat([renderer.pixels(prompt.images[0].sha256).pixels for prompt in prompts])
    assert torch.equal(batch["pixel_values"], pixels)
    pictured = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1) == renderer.processor.image_token_id
    assert torch.equal(batch["mm_token_type_ids"].bool(), pictured)
    assert len(set(batch["prompt_mask"].sum(1).tolist())) == 2, "prompts of one length would not show their padding"


def test_what_the_infrastructure_lost_is_in_no_mean_and_trains_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """With four siblings one of which is lost, the other three have the advantages of a group of three."""
    data = to_dataset(ID, "train", 1, lose=1)
    reward = reward_function(ID, checkpoint, lose=1)
    trainer = make_trainer(checkpoint, tmp_path, data, reward, num_generations=4)
    trainer.train()
    (batch,) = trainer.batches
    renderer = Renderer(load_vlm(checkpoint).processor)
    said = unpadded(batch["completion_ids"], batch["completion_mask"])[1:]
    scores = torch.tensor([worth(renderer.action_text(ids)) for ids in said])
    advantages = (scores - scores.mean()) / (scores.std() + 1e-4)
    assert advantages.abs().max() > 0.1
    torch.testing.assert_close(batch["advantages"], torch.cat([torch.zeros(1), advantages]), atol=1e-3, rtol=1e-3)


def test_the_data_set_holds_first_observations_and_says_which_worlds_they_are_of() -> None:
    data = to_dataset(ID, "test", 3, seed=7)
    env = Letters(split="test")
    for task, row in enumerate(data):
        shown = env.reset(options={"task": task})[0]
        (message,) = row["prompt"]
        assert (message["role"], message["content"]) == ("user", shown["text"])
        assert [np.array_equal(np.asarray(image), shown["images"][0]) for image in row["images"]] == [True]
        assert (coordinates(row["prompt"]).split, coordinates(row["prompt"]).task) == ("test", task)
    seeds = [coordinates(row["prompt"]).seed for row in data]
    assert len(set(seeds)) == 3 and seeds == [
        coordinates(row["prompt"]).seed for row in to_dataset(ID, "test", 3, seed=7)
    ]


def test_an_environment_without_pictures_gives_a_data_set_without_the_column() -> None:
    assert to_dataset("TRLTest/Talk-v0", None, 2, first=False).column_names == ["prompt"]


def test_more_rows_than_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="fewer than 7 tasks in split 'test'"):
        to_dataset(ID, "test", 7)


def answers(data: Dataset, reward: Any, count: int = 1) -> Any:
    return reward(prompts=[row["prompt"] for row in data][:count], completion_ids=[[40, 41]] * count, completions=[])


def test_an_environment_of_several_turns_is_refused_by_the_name_of_what_plays_it(checkpoint: Path) -> None:
    data = to_dataset("TRLTest/Talk-v0", None, 1, first=False)
    with pytest.raises(ConfigError, match=r"not over after one turn.*rollout_func="):
        answers(data, reward_function("TRLTest/Talk-v0", checkpoint, first=False))


def test_an_environment_that_asks_something_else_than_the_data_set_is_refused(checkpoint: Path) -> None:
    data = to_dataset("TRLTest/Talk-v0", None, 1, first=False)
    with pytest.raises(ObservationError, match="keyword arguments that the data set was made with"):
        answers(data, reward_function("TRLTest/Talk-v0", checkpoint, first=True))


def test_a_prompt_that_says_no_world_is_refused(checkpoint: Path) -> None:
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": "letters?"}]}])
    with pytest.raises(ConfigError, match="does not say which world"):
        answers(data, reward_function(ID, checkpoint))


def test_what_an_environment_raises_is_its_authors_fault_and_names_the_world(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = to_dataset("TRLTest/Talk-v0", None, 1, first=False)
    monkeypatch.setattr(gymnasium.registry["TRLTest/Talk-v0"].entry_point, "step", lambda self, action: 1 / 0)
    with pytest.raises(EnvironmentFault, match=r"Talk-v0 \(Coordinates.*ZeroDivisionError"):
        answers(data, reward_function("TRLTest/Talk-v0", checkpoint, first=False))
