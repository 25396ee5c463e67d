"""How an episode is laid out in rows is no part of what is learned from it: trajectories and turns are counted."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.algorithm import FAMILIES, Algorithm, resolve
from agent.config import AlgorithmConfig, Config, EnvironmentConfig
from agent.credit import episodes_of, estimate, to_tokens
from agent.engine.batching import Batch, make_batch
from agent.objective.aggregation import AGGREGATIONS, trajectory_weights
from agent.objective.correction import importance_weights
from agent.objective.signature import call
from agent.types import Outcome, Row, Segment, Trajectory

# Of each turn: its action tokens with their log-probabilities, its reward, and whether a new row begins after it.
TURN = st.tuples(
    st.lists(st.floats(-3, -0.125, width=32), min_size=1, max_size=4), st.floats(-2, 2, width=32), st.booleans()
)
EPISODES = st.lists(
    st.tuples(st.lists(TURN, min_size=1, max_size=4), st.sampled_from(["terminated", "truncated", "failed"])),
    min_size=4,
    max_size=6,
)


def trajectory(turns: list[Any], end: Any, split: bool) -> Trajectory:
    """An episode in one row, or in the rows that its turns say."""
    rows = [Row((Segment("prompt", (1, 2), 0),))]
    for turn, (logprobs, reward, _) in enumerate(turns):
        if turn and split and turns[turn - 1][2]:
            rows.append(Row((Segment("prompt", (1, 2, 3, 4), turn),)))
        elif turn:
            rows[-1] = rows[-1].append(Segment("observation", (3,), turn))
        action = Segment("action", (5,) * len(logprobs), turn, (), tuple(logprobs), None, reward)
        rows[-1] = rows[-1].append(action)
    score = None if end == "failed" else sum(reward for _, reward, _ in turns)
    return Trajectory("Test/Any-v0", 0, 0, tuple(rows), Outcome(end, score))


def batch_of(trajectories: list[Trajectory]) -> Batch:
    rows = [(index, row) for index, each in enumerate(trajectories) for row in each.rows]
    return make_batch([row for _, row in rows], [index for index, _ in rows], [0.0] * len(rows), {}.__getitem__, 1)


def algorithm(family: str) -> Algorithm:
    return resolve(Config(env=EnvironmentConfig("Test/Any-v0"), algorithm=AlgorithmConfig(family=family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_advantages_losses_and_their_weights_do_not_depend_on_rows(family: str) -> None:
    made = algorithm(family)

    @settings(max_examples=10)
    @given(EPISODES)
    def check(episodes: list[Any]) -> None:
        seen = []
        for split in (False, True):
            trajectories = [trajectory(turns, end, split) for turns, end in episodes]
            scores = torch.tensor([t.outcome.score or 0.0 for t in trajectories])
            valid = torch.tensor([t.valid for t in trajectories])
            groups = torch.arange(len(trajectories)) // 2
            told = episodes_of(trajectories, groups, scores, valid)
            credit = estimate(made, told, 0.5 * told.rewards, scores, scores - 1)
            weights = trajectory_weights(told.lengths, valid, made.aggregation, made.constant)
            batch = batch_of(trajectories)
            advantages = to_tokens(credit.advantages, told, batch)
            loss = losses(made, batch, advantages)
            each = (loss * weights[batch.trajectory][:, None])[batch.action_mask]
            seen.append([credit.advantages, weights, advantages[batch.action_mask], each, each.sum()])
        for one, several in zip(*seen, strict=True):
            torch.testing.assert_close(one, several)

    check()


def losses(made: Algorithm, batch: Batch, advantages: torch.Tensor) -> torch.Tensor:
    """The loss of each token under a policy that has moved since the tokens were sampled."""
    # The move depends on the token's place among the actions, which is the same in any layout.
    moved = torch.zeros_like(batch.sampler_logprobs).masked_scatter(
        batch.action_mask, 0.3 * torch.sin(torch.arange(int(batch.action_mask.sum())).float())
    )
    tensors: dict[str, Any] = {
        "logprobs": batch.sampler_logprobs + moved,
        "old_logprobs": batch.sampler_logprobs,
        "advantages": advantages,
        "mask": batch.action_mask,
        "sequence": batch.trajectory,
        "selected": None,
    }
    if made.loss.select is not None:
        tensors["selected"] = call(made.loss.select, tensors, made.loss_options)
    given = call(made.loss.function, tensors, made.loss_options)
    return torch.where(batch.action_mask, given[0] if isinstance(given, tuple) else given, torch.zeros(()))


@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
@pytest.mark.parametrize("kind", ["truncate", "mask"])
def test_corrections_of_the_sampler_do_not_depend_on_rows(kind: str, level: str) -> None:
    @settings(max_examples=10)
    @given(EPISODES)
    def check(episodes: list[Any]) -> None:
        seen = []
        for split in (False, True):
            batch = batch_of([trajectory(turns, end, split) for turns, end in episodes])
            count = int(batch.action_mask.sum())
            moved = torch.zeros_like(batch.sampler_logprobs).masked_scatter(
                batch.action_mask, 0.5 * torch.sin(torch.arange(count).float())
            )
            weights, told = importance_weights(
                batch.sampler_logprobs + moved,
                batch.sampler_logprobs,
                batch.action_mask,
                batch.turns,
                batch.trajectory,
                kind=kind,
                level=level,
                low=0.5,
                high=2.0,
            )
            seen.append([weights[batch.action_mask], *map(torch.tensor, told.values())])
        for one, several in zip(*seen, strict=True):
            torch.testing.assert_close(one, several)

    check()


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_a_normaliser_counts_trajectories_and_their_tokens(kind: str) -> None:
    """Two episodes of four tokens, one in a row and one in three, weigh alike."""
    turns = [([-1.0], 0.0, True), ([-1.0, -1.0], 0.0, True), ([-1.0], 1.0, False)]
    trajectories = [trajectory(turns, "terminated", split) for split in (False, True)]
    assert [len(t.rows) for t in trajectories] == [1, 3]
    told = episodes_of(trajectories, torch.zeros(2, dtype=torch.long), torch.ones(2), torch.ones(2, dtype=torch.bool))
    weights = trajectory_weights(told.lengths, told.valid, kind, 10)
    assert weights[0] == weights[1]
