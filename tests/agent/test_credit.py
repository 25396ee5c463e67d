"""Trajectories as estimators see them, and what comes back."""

import pytest
import torch
from torch import Tensor

from agent.algorithm import Algorithm, resolve
from agent.config import AlgorithmConfig, Config, EnvironmentConfig
from agent.credit import Credit, episodes_of, estimate, to_episodes, to_tokens
from agent.engine.batching import make_batch
from agent.errors import AlgorithmFault
from agent.objective.plugin import Estimator
from agent.types import ImageSpan, Outcome, Row, Segment, Trajectory


def row(*actions: tuple[int, float | None], turn: int = 0) -> Row:
    """A row of actions with these lengths and rewards."""
    segments = [Segment("prompt", (1, 2), turn)]
    for number, (length, reward) in enumerate(actions):
        if number:
            segments.append(Segment("observation", (3,), turn + number))
        segments.append(Segment("action", (5,) * length, turn + number, (), (-1.0,) * length, None, reward))
    return Row(tuple(segments))


def trajectory(*rows: Row, end: str = "terminated", score: float | None = 0.0) -> Trajectory:
    return Trajectory("Test/Any-v0", 0, 0, rows, Outcome(end, score))  # type: ignore[arg-type]


# Two turns in one row; three turns of which the last is in a row of its own; a broken one.
TRAJECTORIES = [
    trajectory(row((2, 0.5), (1, 1.0)), score=1.5),
    trajectory(row((1, 0.0), (2, 0.25)), row((1, 2.0), turn=2), end="truncated", score=2.25),
    trajectory(row((2, 0.0)), end="failed", score=None),
]
GROUPS, VALID = torch.tensor([0, 0, 0]), torch.tensor([True, True, False])
SCORES = torch.tensor([1.5, 2.25, 0.0])


def algorithm(function: object, **options: object) -> Algorithm:
    made = resolve(Config(EnvironmentConfig("Test/Any-v0"), algorithm=AlgorithmConfig(family="ppo")))
    return Algorithm(
        Estimator(function, "a test"),
        options,
        made.loss,
        made.loss_options,
        "token_mean",
        1.0,
        made.config,  # type: ignore[arg-type]
    )


def test_an_episode_is_its_action_tokens_with_each_turns_reward_at_its_end() -> None:
    made = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)
    assert made.lengths.tolist() == [3, 4, 2]
    assert made.mask.tolist() == [[True] * 3 + [False], [True] * 4, [True] * 2 + [False] * 2]
    assert made.rewards[:2].tolist() == [[0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 0.25, 2.0]]
    assert made.turns[:2].tolist() == [[0, 0, 1, 0], [0, 1, 1, 2]]
    assert made.truncated.tolist() == [False, True, False]


def test_what_a_score_has_beyond_the_turns_rewards_arrives_at_the_last_token() -> None:
    made = episodes_of(TRAJECTORIES, GROUPS, SCORES + torch.tensor([0.0, -1.0, 0.0]), VALID)
    assert made.rewards[1].tolist() == [0.0, 0.0, 0.25, 1.0]
    torch.testing.assert_close(made.rewards[:2].sum(1), torch.tensor([1.5, 1.25]))


def test_an_episode_without_any_token_has_a_score_and_no_rewards() -> None:
    empty = trajectory(Row((Segment("prompt", (1,), 0),)), end="truncated", score=0.5)
    made = episodes_of([empty], torch.tensor([0]), torch.tensor([0.5]), torch.tensor([True]))
    assert made.scores.tolist() == [0.5] and made.lengths.tolist() == [0] and not made.mask.any()


def test_pictures_are_counted_at_the_first_action_token_after_them() -> None:
    def showing(kind: str, turn: int, pictures: int) -> Segment:
        spans = tuple(ImageSpan(place, 1, (1, 1, 1), "a picture") for place in range(pictures))
        return Segment(kind, (3,) * max(1, pictures), turn, spans)  # type: ignore[arg-type]

    def said(turn: int, length: int) -> Segment:
        return Segment("action", (5,) * length, turn, (), (-1.0,) * length, None, 0.0)

    first = (showing("prompt", 0, 1), said(0, 2), showing("observation", 1, 2), said(1, 0))
    first = (*first, showing("observation", 2, 1), said(2, 2), showing("observation", 3, 0), said(3, 1))
    again = (showing("prompt", 4, 1), said(4, 1))  # a prompt that is rebuilt shows its picture again
    silent = trajectory(Row((showing("prompt", 0, 1), said(0, 1), showing("observation", 1, 5))), end="truncated")
    made = episodes_of([trajectory(Row(first), Row(again)), silent], torch.tensor([0, 0]), torch.zeros(2), VALID[:2])
    # The turn without tokens hands its two pictures on to the next one; what nobody answered counts nowhere.
    assert made.images_before.tolist() == [[1, 0, 3, 0, 0, 1], [1, 0, 0, 0, 0, 0]]


def test_matrices_of_episodes_go_to_their_tokens_in_rows_and_back() -> None:
    episodes = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)
    rows = [(0, TRAJECTORIES[0].rows[0]), *((1, r) for r in TRAJECTORIES[1].rows)]
    batch = make_batch([r for _, r in rows], [i for i, _ in rows], [0.0] * 3, {}.__getitem__, 1)
    matrix = torch.tensor([[1.0, 2, 3, -9], [4, 5, 6, 7], [-9, -9, -9, -9]])
    tokens = to_tokens(matrix, episodes, batch)
    # Row 0: prompt prompt a a obs a; row 1: prompt prompt a obs a a; row 2: prompt prompt a.
    assert tokens.tolist() == [[0, 0, 1, 2, 0, 3], [0, 0, 4, 0, 5, 6], [0, 0, 7, 0, 0, 0]]
    assert to_episodes(tokens, episodes, batch).tolist() == [[1, 2, 3, 0], [4, 5, 6, 7], [0, 0, 0, 0]]


def test_a_batch_may_lack_a_trajectory() -> None:
    episodes = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)
    batch = make_batch(list(TRAJECTORIES[1].rows), [1, 1], [0.0] * 2, {}.__getitem__, 1)
    matrix = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 7], [0, 0, 0, 0]])
    tokens = to_tokens(matrix, episodes, batch)
    assert tokens.tolist() == [[0, 0, 4, 0, 5, 6], [0, 0, 7, 0, 0, 0]]
    assert to_episodes(tokens, episodes, batch).tolist() == [[0, 0, 0, 0], [4, 5, 6, 7], [0, 0, 0, 0]]


def test_an_advantage_of_a_trajectory_is_that_of_each_of_its_tokens_and_a_broken_one_has_none() -> None:
    episodes = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)

    def mine(scores: Tensor, valid: Tensor) -> Tensor:
        return scores + 1.0

    credit = estimate(algorithm(mine), episodes)
    assert credit.advantages.tolist() == [[2.5, 2.5, 2.5, 0], [3.25] * 4, [0, 0, 0, 0]]
    assert credit.returns is None


def test_an_estimator_is_given_what_it_names_and_its_options() -> None:
    episodes = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)
    values, final = torch.full((3, 4), 2.0), torch.tensor([1.0, 2.0, 3.0])

    def mine(
        rewards: Tensor, values: Tensor, final_values: Tensor, valid: Tensor, *, times: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        advantages = times * (rewards + values) + final_values[:, None]
        return advantages, rewards, rewards > 0

    credit = estimate(algorithm(mine, times=10.0), episodes, values, final)
    assert credit.advantages[0].tolist() == [21.0, 26.0, 31.0, 0.0]
    assert credit.returns is not None and credit.valued is not None
    assert credit.valued[0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("shape", [(4,), (3, 3), (3, 4, 1), ()])
def test_an_estimator_that_returns_another_shape_is_told_which_ones_are_allowed(shape: tuple[int, ...]) -> None:
    def mine(valid: Tensor) -> Tensor:
        return torch.zeros(shape)

    with pytest.raises(AlgorithmFault, match=r"\(3,\) or \(3, 4\).*got \("):
        estimate(algorithm(mine), episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID))


def test_an_estimator_that_returns_what_is_not_finite_is_stopped_unless_the_trajectory_is_broken() -> None:
    episodes = episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID)

    def at(index: int) -> object:
        def mine(scores: Tensor, valid: Tensor) -> Tensor:
            return scores.index_fill(0, torch.tensor([index]), float("nan"))

        return mine

    assert isinstance(estimate(algorithm(at(2)), episodes), Credit)
    with pytest.raises(AlgorithmFault, match="not finite"):
        estimate(algorithm(at(1)), episodes)


def test_an_estimator_that_takes_values_must_say_what_the_critic_learns() -> None:
    def mine(values: Tensor, valid: Tensor) -> Tensor:
        return values

    with pytest.raises(AlgorithmFault, match=r"mine takes values.*\(advantages, returns, valued\)"):
        estimate(algorithm(mine), episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID), torch.zeros(3, 4))


def test_an_estimator_that_raises_is_named_with_the_line() -> None:
    def mine(scores: Tensor, valid: Tensor) -> Tensor:
        return scores[99]

    with pytest.raises(AlgorithmFault, match=r"mine raised IndexError.*test_credit.py, line \d+"):
        estimate(algorithm(mine), episodes_of(TRAJECTORIES, GROUPS, SCORES, VALID))
