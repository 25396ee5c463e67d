"""The token-level environment, and that the batched driver computes the same episodes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agent.model.forward import hidden_states, next_token_logits
from agent.model.load import VLM
from agent.model.positions import mrope_positions
from agent.rollout.conversation import Message
from agent.rollout.distribution import draw, token_logprobs
from agent.rollout.environments import EnvironmentPool
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.hf import TransformersEngine, expand
from agent.rollout.render import Renderer
from agent.rollout.token_mdp import TokenMDP
from agent.seeds import derive_seed, uniforms
from agent.types import Row, Trajectory
from tests.agent.rollout.families import processor_of

PoolOf = Callable[..., EnvironmentPool]
BUDGET = Budget(temperature=1.0, max_turn_tokens=7, max_row_tokens=400, max_turns=10)


def world(seed: int | None, task: int | None) -> list[Any]:
    """Four turns with pictures; the prompt is rebuilt after the second. Rewards depend on what was said."""

    def turn(k: int) -> Any:
        def answer(action: str) -> Any:
            image = np.full((30 + 20 * k, 50, 3), (seed or 0) + 40 * k, dtype=np.uint8)
            observation = {"text": f"Turn {k} of {task}", "images": (image,) * (k % 3)}
            info = {"context": "restart"} if k == 2 else {}
            reward = len(action) / 7
            return (observation, info) if k == 0 else (observation, reward, k == 4, False, info)

        return answer

    return [turn(k) for k in range(5)]


@pytest.fixture
def mdp(one_renderer: Renderer, pool_of: PoolOf) -> TokenMDP:
    return TokenMDP(pool_of(world), one_renderer, BUDGET)


def say(mdp: TokenMDP, text: str) -> tuple[Any, float, bool, bool, Any]:
    """One whole turn; every token but the last is worth nothing and ends nothing."""
    *tokens, end = [*mdp.renderer.processor.encode(text), *mdp.renderer.processor.stop_ids]
    for token in tokens:
        _, reward, terminated, truncated, _ = mdp.step(token)
        assert (reward, terminated, truncated) == (0.0, False, False)
    return mdp.step(end)


def test_a_policy_that_draws_token_by_token_plays_the_drivers_episodes(
    vlm: VLM, renderer: Renderer, pool_of: PoolOf
) -> None:
    processor = vlm.processor
    specs = [EpisodeSpec(task, 30 + task, 900 + task) for task in range(3)]
    engine = TransformersEngine(vlm.model, processor.image_token_id, processor.merge)
    driver = EpisodeDriver(engine, renderer, pool_of(world), DriverOptions(threads=1))
    batched = driver.run(specs, BUDGET)

    @torch.inference_mode()
    def draw_one(state: dict[str, Any], dice: float) -> int:
        """From the model's logits on the whole state, without any cache."""
        images = [processor.process(image) for image in state["images"]]
        ids, spans = expand(state["token_ids"], images, processor.image_token_id)
        positions = torch.from_numpy(mrope_positions(len(ids), spans, processor.merge))[:, None]
        tokens = torch.tensor([ids])
        hidden = hidden_states(vlm.model, tokens, torch.ones_like(tokens), positions, images)
        logprobs = token_logprobs(next_token_logits(vlm.model, hidden[:, -1]), 1.0, processor.banned_ids)
        return int(draw(logprobs, torch.tensor([dice], dtype=torch.float64)))

    mdp = TokenMDP(pool_of(world), renderer, BUDGET)
    for spec, expected in zip(specs, batched, strict=True):
        state, info = mdp.reset(seed=spec.seed, options={"task": spec.task})
        total, over, drawn, turn = 0.0, False, 0, 0
        while not over:
            if info["turn"] != turn:
                drawn, turn = 0, info["turn"]
            dice = uniforms(derive_seed(spec.sampling_seed, turn), BUDGET.max_turn_tokens)[drawn]
            state, reward, terminated, truncated, info = mdp.step(draw_one(state, dice))
            drawn, total, over = drawn + 1, total + reward, terminated or truncated
        assert mdp.trajectory == without_sampling(expected)
        assert info["outcome"] == expected.outcome
        assert total == expected.outcome.score
        assert len(expected.rows) == 2


def without_sampling(trajectory: Trajectory) -> Trajectory:
    """The environment does not know with which probability its actions were chosen."""
    rows = tuple(
        replace(row, segments=tuple(replace(segment, logprobs=None, sampling=None) for segment in row.segments))
        for row in trajectory.rows
    )
    return replace(trajectory, rows=rows)


def test_the_first_state_is_the_prompt(mdp: TokenMDP) -> None:
    state, info = mdp.reset(seed=3, options={"task": 1})
    assert state["token_ids"] == mdp.renderer.prompt("Turn 0 of 1", []).token_ids
    assert state["images"] == ()
    assert info["turn"] == 0


def test_a_transition_appends_the_token(mdp: TokenMDP) -> None:
    before, _ = mdp.reset(seed=3, options={"task": 1})
    for token in (40, 41, 40):
        after, reward, terminated, truncated, _ = mdp.step(token)
        assert after["token_ids"] == (*before["token_ids"], token)
        assert (reward, terminated, truncated) == (0.0, False, False)
        before = after


def test_an_end_token_brings_the_answer_its_pictures_and_its_reward(mdp: TokenMDP) -> None:
    before, _ = mdp.reset(seed=3, options={"task": 1})
    after, reward, terminated, truncated, info = say(mdp, "abc")
    said = (*before["token_ids"], *mdp.renderer.processor.encode("abc"), *mdp.renderer.processor.stop_ids)
    assert after["token_ids"][: len(said)] == said
    assert [image.shape for image in after["images"]] == [(50, 50, 3)]
    assert after["token_ids"].count(mdp.renderer.processor.image_token_id) == 1
    assert (reward, terminated, truncated, info["turn"]) == (3 / 7, False, False, 1)


def test_a_turn_ends_by_itself_at_its_limit(mdp: TokenMDP) -> None:
    mdp.reset(seed=3, options={"task": 1})
    rewards = [mdp.step(40)[1] for _ in range(BUDGET.max_turn_tokens)]
    assert rewards[:-1] == [0.0] * (BUDGET.max_turn_tokens - 1)
    assert rewards[-1] > 0
    state, *_ = mdp.step(41)
    assert state["token_ids"].count(mdp.renderer.processor.stop_ids[0]) > 1  # closed by the frame


def test_a_rebuilt_prompt_is_the_whole_next_state(mdp: TokenMDP) -> None:
    mdp.reset(seed=3, options={"task": 1})
    say(mdp, "a")
    state, reward, *_ = say(mdp, "ab")
    images = [np.full((70, 50, 3), 83, dtype=np.uint8)] * 2
    prompt = mdp.renderer.prompt("Turn 2 of 1", images)
    assert len(state["token_ids"]) == len(prompt.token_ids) - sum(span.length - 1 for span in prompt.images)
    assert [(image == 83).all() for image in state["images"]] == [True, True]
    assert reward == 2 / 7


def test_an_answer_terminates_and_a_full_context_truncates(one_renderer: Renderer, pool_of: PoolOf) -> None:
    mdp = TokenMDP(pool_of(world), one_renderer, BUDGET)
    mdp.reset(seed=3, options={"task": 1})
    ends = [say(mdp, "a")[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(True, False)]
    small = replace(BUDGET, max_row_tokens=60)
    cut = TokenMDP(pool_of(world), one_renderer, small)
    cut.reset(seed=3, options={"task": 1})
    *_, terminated, truncated, info = say(cut, "a")
    assert (terminated, truncated, info["outcome"].reason) == (False, True, "context")


def test_a_failure_of_the_infrastructure_truncates_and_says_so(one_renderer: Renderer, pool_of: PoolOf) -> None:
    lost = RuntimeError("gone")
    lost.infrastructure_failure = True  # type: ignore[attr-defined]
    mdp = TokenMDP(pool_of(lambda seed, task: [world(seed, task)[0], lost]), one_renderer, BUDGET)
    mdp.reset(seed=3)
    _, reward, terminated, truncated, info = say(mdp, "a")
    assert (reward, terminated, truncated, info["outcome"].end) == (0.0, False, True, "failed")


def test_banned_and_unknown_tokens_are_refused(mdp: TokenMDP) -> None:
    _, info = mdp.reset(seed=3)
    allowed = set(np.flatnonzero(info["action_mask"]).tolist())
    assert allowed == set(range(mdp.renderer.processor.vocabulary)) - set(mdp.renderer.processor.banned_ids)
    for token in (mdp.renderer.processor.image_token_id, -1, mdp.renderer.processor.vocabulary):
        with pytest.raises(ValueError, match="cannot be chosen"):
            mdp.step(token)


def test_nothing_can_be_done_before_reset_or_after_the_end(mdp: TokenMDP) -> None:
    with pytest.raises(RuntimeError, match="call reset"):
        mdp.step(40)
    mdp.reset(seed=3, options={"task": 1})
    for _ in range(4):
        say(mdp, "a")
    with pytest.raises(RuntimeError, match="call reset"):
        mdp.step(40)


def test_a_prompt_beyond_the_budget_is_an_error_at_reset(one_renderer: Renderer, pool_of: PoolOf) -> None:
    mdp = TokenMDP(pool_of(world), one_renderer, replace(BUDGET, max_row_tokens=10))
    with pytest.raises(RuntimeError, match=r"over before its first token.*context"):
        mdp.reset(seed=3)


def test_a_second_reset_gives_the_environment_back_first(mdp: TokenMDP) -> None:
    env = mdp.pool.sample
    for seed in range(3):
        mdp.reset(seed=seed)
        mdp.step(40)
    mdp.close()
    assert env.closed  # type: ignore[attr-defined]
    assert mdp.pool._free == []


def test_it_is_an_environment_of_gymnasium(mdp: TokenMDP) -> None:
    assert isinstance(mdp, gymnasium.Env)
    state, info = mdp.reset(seed=3)
    rng = np.random.default_rng(0)
    over = False
    while not over:
        assert mdp.observation_space.contains(state)
        token = int(rng.choice(np.flatnonzero(info["action_mask"])))
        assert mdp.action_space.contains(token)
        state, reward, terminated, truncated, info = mdp.step(token)
        assert isinstance(reward, float)
        over = terminated or truncated
    assert mdp.observation_space.contains(mdp.observation_space.sample())


def test_where_history_is_rewritten_the_next_state_is_the_new_prompt(pool_of: PoolOf, tmp_path: Path) -> None:
    renderer = Renderer(processor_of(tmp_path, "thinking"))
    mdp = TokenMDP(pool_of(world), renderer, BUDGET)
    mdp.reset(seed=3, options={"task": 1})
    state, reward, *_, info = say(mdp, "a")
    prompt = renderer.conversation([Message("user", "Turn 0 of 1"), Message("assistant", "a"), shown_first(3)], 1)
    assert state["token_ids"] == Row((prompt,)).collapsed
    assert (len(state["images"]), info["turn"], reward) == (1, 1, 1 / 7)


def shown_first(seed: int) -> Message:
    """What the world answers to the first turn."""
    return Message("user", "Turn 1 of 1", (np.full((50, 50, 3), seed + 40, dtype=np.uint8),))
