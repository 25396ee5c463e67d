"""The Reward: scores as the environments paid them, and the control that shuffles them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.roles.reward import scores_and_validity, shuffled
from agent.types import Outcome, Row, Segment, Trajectory

ROW = Row((Segment("prompt", (1,), 0),))


def trajectory(outcome: Outcome) -> Trajectory:
    return Trajectory("Test/Any-v0", 0, 0, (ROW,), outcome)


def test_a_trajectory_is_worth_its_return_and_a_broken_one_does_not_count() -> None:
    scores, valid = scores_and_validity(
        [
            trajectory(Outcome("terminated", 0.75)),
            trajectory(Outcome("truncated", -2.0, "turns")),
            trajectory(Outcome("failed", None, "container lost")),
            trajectory(Outcome("terminated", 0.0)),
        ]
    )
    assert scores[valid].tolist() == [0.75, -2.0, 0.0]
    assert valid.tolist() == [True, True, False, True]


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=12), st.integers(0, 9))
def test_shuffling_keeps_the_scores_and_exchanges_them_among_valid_trajectories_only(
    given_scores: list[tuple[int, bool]], step: int
) -> None:
    scores = torch.tensor([float(score) for score, _ in given_scores])
    valid = torch.tensor([v for _, v in given_scores])
    moved = shuffled(scores, valid, 0, step)
    assert sorted(moved[valid].tolist()) == sorted(scores[valid].tolist())
    assert torch.equal(moved[~valid], scores[~valid])


def test_shuffling_changes_the_order_and_does_so_anew_at_each_step_and_seed() -> None:
    scores, valid = torch.arange(64.0), torch.ones(64, dtype=torch.bool)
    orders = {tuple(shuffled(scores, valid, seed, step).tolist()) for seed in range(2) for step in range(3)}
    assert len(orders) == 6
    assert tuple(scores.tolist()) not in orders


def test_shuffling_is_the_same_whenever_it_is_done() -> None:
    scores, valid = torch.arange(8.0), torch.ones(8, dtype=torch.bool)
    assert torch.equal(shuffled(scores, valid, 3, 5), shuffled(scores, valid, 3, 5))
    assert scores.tolist() == list(range(8))


def test_shuffled_scores_tell_nothing_about_their_group() -> None:
    """Groups of 8 whose scores are all equal within the group: after shuffling over the whole batch they are mixed."""
    scores, valid = torch.arange(8.0).repeat_interleave(8), torch.ones(64, dtype=torch.bool)
    moved = shuffled(scores, valid, 0, 0).view(8, 8)
    assert all(len(set(group.tolist())) > 1 for group in moved)
