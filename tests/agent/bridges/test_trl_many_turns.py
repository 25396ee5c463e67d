"""Environments of many turns in TRL's own GRPOTrainer, through its `rollout_func`."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig

from agent.bridges.trl_many_turns import episode_reward, rollout_function, sequenced
from agent.bridges.trl_worlds import content, to_dataset
from agent.engine.batching import make_batch
from agent.errors import ConfigError, ObservationError
from agent.model.forward import plain_inputs
from agent.model.load import VLM, load_vlm
from agent.rollout.distribution import token_logprobs
from agent.rollout.episodes import DriverOptions
from agent.rollout.render import Renderer
from agent.types import ImageSpan, Outcome, Row, Segment, Trajectory
from tests.agent.bridges.trl_environments import Recorded, make_trainer, unpadded, worth, write_checkpoint

ID = "TRLTest/Talk-v0"
LIMITS = {"turn_limit": 5, "max_row_tokens": 200}


@pytest.fixture(scope="module")
def trainer(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A trainer that no test trains: for what a rollout alone shows."""
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": "talk"}]}] * 2)
    return make_trainer(checkpoint, tmp_path_factory.mktemp("trainer"), data, episode_reward)


def parameters(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def rows_of(batch: dict[str, Any]) -> list[tuple[list[int], list[int], list[int]]]:
    """(prompt, completion, mask) of each episode as TRL's loss takes it, without padding."""
    keep = batch["completion_mask"]
    parts = (
        unpadded(batch["prompt_ids"], batch["prompt_mask"]),
        unpadded(batch["completion_ids"], keep),
        unpadded(batch["tool_mask"], keep),
    )
    return list(zip(*parts, strict=True))


def turns(completion: list[int], mask: list[int]) -> list[list[int]]:
    """The action tokens, cut where observations stand between them."""
    found: list[list[int]] = [[]]
    for token, said in zip(completion, mask, strict=True):
        if said:
            found[-1].append(token)
        elif found[-1]:
            found.append([])
    return [turn for turn in found if turn]


def replayed(vlm: VLM, prompt: Any, actions: list[list[int]]) -> tuple[list[int], list[int], list[int], float]:
    """The episode again from its actions' tokens alone: prompt, completion, mask, and return."""
    renderer = Renderer(vlm.processor)
    text, images = content(prompt)
    completion: list[int] = []
    mask: list[int] = []
    score = 0.0
    for turn, ids in enumerate(actions):
        completion += ids
        mask += [1] * len(ids)
        said = renderer.action_text(ids)
        score += worth(said)
        if turn < len(actions) - 1:
            ended = ids[-1] in vlm.processor.stop_ids
            heard = renderer.observation(f"heard {len(said)} letters", (), turn + 1, ended).token_ids
            completion += heard
            mask += [0] * len(heard)
    return list(renderer.prompt(text, images).token_ids), completion, mask, score


def handed_over(data: Any, row: int) -> Any:
    """The prompt with its pictures inside, as TRL hands it to a rollout."""
    (message,) = data[row]["prompt"]
    parts = [{"type": "image", "image": image} for image in data[row].get("images", [])]
    return [{**message, "content": [*parts, {"type": "text", "text": message["content"]}]}]


@pytest.mark.parametrize("first", [True, False], ids=["with a first picture", "text alone"])
def test_a_step_of_trl_trains_every_action_token_of_every_turn_and_no_other(
    first: bool, checkpoint: Path, tmp_path: Path
) -> None:
    """Every episode is played again from its actions' tokens, by the test."""
    data = to_dataset(ID, None, 2, first=first)
    trainer = make_trainer(
        checkpoint,
        tmp_path,
        data,
        episode_reward,
        rollout_func=rollout_function(ID, checkpoint, **LIMITS, first=first),
    )
    before = parameters(trainer.model)
    trainer.train()
    (batch,) = trainer.batches
    vlm = load_vlm(checkpoint)
    scores = []
    for i, (prompt, completion, mask) in enumerate(rows_of(batch)):
        actions = turns(completion, mask)
        assert len(actions) == 3
        *expected, score = replayed(vlm, handed_over(data, i // 2), actions)
        assert [prompt, completion, mask] == expected
        scores.append(score)
    seen = torch.tensor(list(trainer._logs["rewards"]["episode_reward"]))
    torch.testing.assert_close(seen, torch.tensor(scores))
    assert len(set(scores)) > 2, "siblings must differ, or there is nothing to learn"
    logged = trainer.state.log_history[0]
    assert np.isfinite(logged["loss"]) and logged["grad_norm"] > 0
    assert not torch.equal(parameters(trainer.model), before)
    assert ("pixel_values" in trainer.forward_inputs[0]) == ("pixel_values" in batch) == first


def test_trls_log_probabilities_of_the_actions_are_those_of_our_forward_pass(checkpoint: Path, tmp_path: Path) -> None:
    """A misplaced picture, position or padding would part them; sampler and TRL differ by the ban on tokens alone."""
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, **LIMITS)
    trainer = make_trainer(checkpoint, tmp_path, data, episode_reward, rollout_func=rollout, temperature=0.7)
    prompts = [handed_over(data, row) for row in (0, 0, 1, 1)]
    returned = rollout(prompts, trainer)
    vlm = load_vlm(checkpoint)
    renderer = Renderer(vlm.processor)
    rows = []
    for i, prompt in enumerate(prompts):
        said = Segment("action", tuple(returned["completion_ids"][i]), 0)
        rows.append(Row((renderer.prompt(*content(prompt)), said)))
    batch = make_batch(rows, [0, 1, 2, 3], [0.0] * 4, renderer.pixels, vlm.processor.merge)
    inputs = plain_inputs(vlm.model, batch.position_ids, batch.images)
    logits = vlm.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long(), **inputs).logits[:, :-1]
    trainer._generate = lambda _: (  # what TRL's own makes of these returns, with no second draw
        returned["prompt_ids"],
        returned["completion_ids"],
        returned["env_mask"],
        [""] * 4,
        returned["logprobs"],
        {"episode_return": returned["episode_return"]},
        None,
        [],
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.args.steps_per_generation = 2  # of one step, so that it works out what the model says now
    scored = trainer._generate_and_score_completions([dict(data[row]) for row in (0, 0, 1, 1)])
    for i in range(4):
        start, count = len(returned["prompt_ids"][i]), len(returned["completion_ids"][i])
        target = batch.input_ids[i, start : start + count, None]
        place = slice(start - 1, start - 1 + count)
        free = token_logprobs(logits[i, place], 0.7, ()).gather(-1, target)[:, 0]
        banned = token_logprobs(logits[i, place], 0.7, vlm.processor.banned_ids).gather(-1, target)[:, 0]
        mask = torch.tensor(returned["env_mask"][i], dtype=torch.bool)
        theirs = scored["old_per_token_logps"][i, :count]
        torch.testing.assert_close(theirs[mask], free[mask], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(torch.tensor(returned["logprobs"][i])[mask], banned[mask], atol=1e-4, rtol=1e-4)
        assert (free[mask] < banned[mask] + 1e-6).all() and (free - banned)[mask].abs().max() > 1e-3


def later_pictures(checkpoint: Path) -> Any:
    """A `rollout_func` that returns all that TRL might take: placeholders, pictures, pixels, grids."""
    renderer = Renderer(load_vlm(checkpoint).processor)
    picture = np.zeros((14, 28, 3), dtype=np.uint8)
    heard = renderer.observation("look", (picture,), 1, True)
    image = renderer.pixels(heard.images[0].sha256)
    completion = [40, renderer.processor.stop_ids[0], *heard.token_ids, 41]

    def rollout(prompts: Any, trainer: Any) -> dict[str, list[Any]]:
        count = len(prompts)
        return {
            "prompt_ids": [list(renderer.prompt(*content(prompt)).token_ids) for prompt in prompts],
            "completion_ids": [completion] * count,
            "logprobs": [[0.0] * len(completion)] * count,
            "env_mask": [[1, 1, *[0] * len(heard.token_ids), 1]] * count,
            "images": [[picture]] * count,
            "pixel_values": [image.pixels] * count,
            "image_grid_thw": [image.grid] * count,
        }

    return rollout


def test_trl_has_no_place_for_pictures_that_come_later(checkpoint: Path, tmp_path: Path) -> None:
    """Whatever a `rollout_func` returns of them goes to the reward functions and not to the model: with a picture in
    the prompt the model finds more placeholders than features, and without one TRL trains on placeholders alone."""
    seen: dict[str, Any] = {}

    def reward(prompts: Any, **columns: Any) -> list[float]:
        seen.update(columns)
        return [float(i) for i in range(len(prompts))]

    for first in (True, False):
        data = to_dataset(ID, None, 2, first=first)
        trainer = make_trainer(checkpoint, tmp_path, data, reward, rollout_func=later_pictures(checkpoint))
        if first:
            with pytest.raises(ValueError, match="Image features and image tokens do not match"):
                trainer.train()
            assert len(trainer.forward_inputs[-1]["image_grid_thw"]) == 4, "the prompts' own"
        else:
            trainer.train()
            assert not {"pixel_values", "image_grid_thw"} & set(trainer.forward_inputs[-1])
            token = load_vlm(checkpoint).processor.image_token_id
            assert (trainer.batches[0]["completion_ids"] == token).any()
        assert {"images", "pixel_values", "image_grid_thw"} <= set(seen)


def test_pictures_in_a_later_observation_are_refused_with_the_reason(checkpoint: Path, trainer: Recorded) -> None:
    data = to_dataset(ID, None, 2, later=True)
    rollout = rollout_function(ID, checkpoint, **LIMITS, later=True)
    with pytest.raises(ConfigError, match=r"pictures in turn 1.*column `images` only.*python -m agent train"):
        rollout([handed_over(data, 0)], trainer)


def test_an_environment_that_rebuilds_its_prompt_is_refused(checkpoint: Path, trainer: Recorded) -> None:
    data = to_dataset(ID, None, 2, restart=True)
    rollout = rollout_function(ID, checkpoint, **LIMITS, restart=True)
    with pytest.raises(ConfigError, match="rebuilds its prompt"):
        rollout([handed_over(data, 0)], trainer)


def test_an_episode_that_the_infrastructure_broke_trains_nothing_and_is_in_no_mean(
    checkpoint: Path, tmp_path: Path
) -> None:
    """One environment plays all four episodes, and breaks in the first of them."""
    data = to_dataset(ID, None, 1, lose=1)
    limits = LIMITS | {"options": DriverOptions(concurrency=1, threads=1)}  # one environment, used again
    rollout = rollout_function(ID, checkpoint, **limits, lose=1)
    trainer = make_trainer(checkpoint, tmp_path, data, episode_reward, rollout_func=rollout, num_generations=4)
    trainer.train()
    (batch,) = trainer.batches
    assert batch["tool_mask"][0][batch["completion_mask"][0].bool()].sum() == 0
    assert (batch["tool_mask"] * batch["completion_mask"]).sum(1)[1:].min() > 0
    scores = torch.tensor(list(trainer._logs["rewards"]["episode_reward"]))
    assert scores.isnan().tolist() == [True, False, False, False]
    whole = scores[1:]
    expected = torch.cat([torch.zeros(1), (whole - whole.mean()) / (whole.std() + 1e-4)])
    torch.testing.assert_close(batch["advantages"], expected, atol=1e-3, rtol=1e-3)


def test_a_prompt_that_leaves_no_room_is_an_episode_without_actions(checkpoint: Path, tmp_path: Path) -> None:
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, turn_limit=5, max_row_tokens=20)
    trainer = make_trainer(checkpoint, tmp_path, data, episode_reward, rollout_func=rollout)
    before = parameters(trainer.model)
    trainer.train()
    assert trainer.batches[0]["tool_mask"].sum() == 0
    assert torch.equal(parameters(trainer.model), before)


def test_rollouts_repeat_and_siblings_and_steps_differ(checkpoint: Path, trainer: Recorded) -> None:
    data = to_dataset(ID, None, 2)
    runs = []
    for _ in range(2):
        rollout = rollout_function(ID, checkpoint, **LIMITS)
        trainer.state.global_step = 0
        prompts = [handed_over(data, 0)] * 2
        runs.append([rollout(prompts, trainer)["completion_ids"] for _ in range(2)])
        trainer.state.global_step = 1
        runs[-1].append(rollout(prompts, trainer)["completion_ids"])
    assert runs[0] == runs[1]
    episodes = [tuple(ids) for call in runs[0] for ids in call]
    assert len(set(episodes)) == len(episodes) == 6


def test_the_model_is_left_in_the_mode_that_it_was_in(checkpoint: Path, trainer: Recorded) -> None:
    """TRL reads from it whether it trains or evaluates."""
    data = to_dataset(ID, None, 1)
    rollout = rollout_function(ID, checkpoint, **LIMITS)
    for training in (True, False):
        trainer.model.train(training)
        rollout([handed_over(data, 0)], trainer)
        assert all(module.training == training for module in trainer.model.modules())


def test_an_adapter_of_peft_is_sampled_with_and_trained(checkpoint: Path, trainer: Recorded, tmp_path: Path) -> None:
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, **LIMITS)
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = make_trainer(
        checkpoint, tmp_path, data, episode_reward, rollout_func=rollout, peft_config=adapter, learning_rate=1e-3
    )
    prompts = [handed_over(data, 0)] * 2
    assert rollout(prompts, adapted)["logprobs"] != rollout(prompts, trainer)["logprobs"]
    before = parameters(adapted.model)
    adapted.train()
    assert np.isfinite(adapted.state.log_history[0]["loss"])
    assert not torch.equal(parameters(adapted.model), before)


def test_another_models_folder_is_refused(trainer: Recorded, tmp_path: Path) -> None:
    data = to_dataset(ID, None, 2)
    words = " ".join("".join(letters) for letters in permutations("wxyz"))
    rollout = rollout_function(ID, write_checkpoint(tmp_path / "other", words), **LIMITS)
    with pytest.raises(ConfigError, match=r"the trainer's model has 320 tokens and the checkpoint \d+; give"):
        rollout([handed_over(data, 0)], trainer)


def test_a_processor_that_pads_on_the_right_is_refused(
    checkpoint: Path, trainer: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL would take the pictures of shorter prompts to be elsewhere."""
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, **LIMITS)
    monkeypatch.setattr(trainer.processing_class.tokenizer, "padding_side", "right")
    with pytest.raises(ConfigError, match="padding_side='right': set it to \"left\""):
        rollout([handed_over(data, 0)], trainer)


def test_control_tokens_spelled_by_an_environment_cannot_be_trained_with_pictures(
    checkpoint: Path, trainer: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are text to our renderer, and control tokens to TRL's processor."""
    monkeypatch.setattr("tests.agent.bridges.trl_environments.GREETING", "<|im_end|>talk")
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, **LIMITS)
    with pytest.raises(ConfigError, match="makes other tokens"):
        rollout([handed_over(data, 0)], trainer)


def test_an_environment_that_shows_another_world_is_refused(checkpoint: Path, trainer: Recorded) -> None:
    data = to_dataset(ID, None, 2)
    rollout = rollout_function(ID, checkpoint, **LIMITS, first=False)
    with pytest.raises(ObservationError, match="another text or other pictures than the data set"):
        rollout([handed_over(data, 0)], trainer)


def test_a_trajectory_becomes_one_sequence_with_a_mask() -> None:
    said = Segment("action", (7, 8), 0, (), (-1.0, -2.0))
    heard, again = Segment("observation", (5, 6, 4), 1), Segment("action", (9,), 1, (), (-3.0,))
    row = Row((Segment("prompt", (1, 1, 2), 0, (ImageSpan(0, 2, (1, 1, 2), "a"),)), said, heard, again))
    made = sequenced(Trajectory("Test-v0", None, 0, (row,), Outcome("terminated", 1.0)))
    assert (made.prompt_ids, made.completion_ids) == ([1, 1, 2], [7, 8, 5, 6, 4, 9])
    assert made.env_mask == [1, 1, 0, 0, 0, 1]
    assert made.logprobs == [-1.0, -2.0, 0.0, 0.0, 0.0, -3.0]
