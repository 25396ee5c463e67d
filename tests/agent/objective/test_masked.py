"""Masks, and sums over segments that lie in several rows."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.objective.masked import segment_sum, sequence_mean, zeroed

INF, NAN = float("inf"), float("nan")


def test_what_is_outside_the_mask_is_zero_and_gets_no_gradient_even_if_it_is_not_a_number() -> None:
    values = torch.tensor([[1.0, NAN, INF, -INF, 2.0]], requires_grad=True)
    kept = zeroed(values, torch.tensor([[True, False, False, False, True]]))
    kept.square().sum().backward()
    assert kept.tolist() == [[1.0, 0.0, 0.0, 0.0, 2.0]]
    assert values.grad is not None and values.grad.tolist() == [[2.0, 0.0, 0.0, 0.0, 4.0]]


def test_tokens_of_a_segment_share_its_sum_whichever_rows_they_stand_in() -> None:
    """Segment (7, 0) has 1 and 8 in two rows, (7, 1) has 2, (-3, 0) has 4: its own trajectory."""
    values = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    segments = torch.tensor([[[7, 0], [7, 1]], [[-3, 0], [7, 0]]])
    assert segment_sum(values, segments).tolist() == [[9.0, 2.0], [4.0, 9.0]]


def test_the_mean_of_a_sequence_is_over_the_action_tokens_of_all_its_rows() -> None:
    """Trajectory 5 has rows 0 and 2 with 1, 2 and 6: mean 3. Trajectory 2 has row 1 with 10: mean 10."""
    values = torch.tensor([[1.0, 2.0], [10.0, NAN], [INF, 6.0]])
    mask = torch.tensor([[True, True], [True, False], [False, True]])
    mean = sequence_mean(values, mask, torch.tensor([5, 2, 5]))
    assert mean.tolist() == [[3.0, 3.0], [10.0, 10.0], [3.0, 3.0]]


def test_a_sequence_without_action_tokens_has_mean_zero() -> None:
    assert sequence_mean(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool), torch.tensor([0])).tolist() == [[0, 0]]


@given(st.integers(0, 2**20), st.integers(1, 5), st.integers(1, 4))
def test_a_sum_of_segments_equals_the_slow_loop(seed: int, rows: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-9, 9, (rows, width), generator=generator).float()
    segments = torch.randint(-1, 2, (rows, width, 2), generator=generator)
    names = segments.tolist()
    expected = [
        [sum(values[a, b].item() for a in range(rows) for b in range(width) if names[a][b] == name) for name in row]
        for row in names
    ]
    assert segment_sum(values, segments).tolist() == expected
