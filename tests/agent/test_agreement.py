"""The check of sampler against trainer: what it counts, and how it names the first bad token."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.agreement import compare, describe
from agent.engine.batching import Batch, make_batch
from agent.types import Row, SampledWith, Segment

BOUND = 1e-4
SAMPLED = SampledWith(1.0, (), 8, 0, 0, "stop")
# Row 0: prompt of 3, actions at 3-5 and 7-8. Row 1: prompt of 2, action at 2-3.
ACTIONS = [(0, 3), (0, 4), (0, 5), (0, 7), (0, 8), (1, 2), (1, 3)]


def action(turn: int, *tokens: int) -> Segment:
    return Segment("action", tokens, turn, (), tuple(-0.5 - token / 10 for token in tokens), SAMPLED, 0.0)


ROWS = [
    Row((Segment("prompt", (1, 2, 3), 0), action(0, 4, 5, 6), Segment("observation", (7,), 1), action(1, 8, 9))),
    Row((Segment("prompt", (1, 2), 0), action(0, 3, 4))),
]


def batch() -> Batch:
    return make_batch(ROWS, [4, 6], [1.0, 1.0], {}.__getitem__, 1)


def trainer(**changes: float) -> torch.Tensor:
    """The sampler's own log-probabilities, with some changed: `at_0_7=...`."""
    values = batch().sampler_logprobs.clone()
    for place, value in changes.items():
        row, token = map(int, place.removeprefix("at_").split("_"))
        values[row, token] = value
    return values


def test_equal_log_probabilities_agree() -> None:
    found = compare(batch(), trainer(), BOUND)
    assert (found.largest, found.mean, found.worst) == (0.0, 0.0, None)


@given(st.sampled_from(ACTIONS), st.floats(-3, 3))
def test_the_largest_and_the_mean_difference_are_over_sampled_tokens(place: tuple[int, int], gap: float) -> None:
    values = trainer()
    values[place] += gap
    found = compare(batch(), values, BOUND)
    assert found.largest == pytest.approx(abs(gap), abs=1e-6)
    assert found.mean == pytest.approx(abs(gap) / len(ACTIONS), abs=1e-6)
    assert found.worst == (place if abs(gap) > 2 * BOUND else found.worst)


def test_the_first_token_beyond_the_bound_is_named_even_if_a_later_one_is_worse() -> None:
    found = compare(batch(), trainer(at_0_7=-2.0, at_1_2=-9.0), BOUND)
    assert found.worst == (0, 7)
    assert found.largest == pytest.approx(9.0 - 0.8)


@pytest.mark.parametrize("place", ["at_0_0", "at_0_6", "at_1_1", "at_1_7"])
def test_prompts_observations_and_padding_are_not_compared(place: str) -> None:
    for value in (5.0, math.nan, math.inf):
        assert compare(batch(), trainer(**{place: value}), BOUND).worst is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_exceeds_every_bound_whoever_said_it(value: float) -> None:
    assert compare(batch(), trainer(at_0_4=value), 1e9).worst == (0, 4)
    spoiled = batch()
    spoiled.sampler_logprobs[0, 4] = value
    assert compare(spoiled, trainer(), 1e9).worst == (0, 4)


def test_a_token_that_is_rare_to_both_is_not_compared() -> None:
    rare = batch()
    rare.sampler_logprobs[0, 4] = -20.0
    assert compare(rare, trainer(at_0_4=-15.0), BOUND).worst is None
    assert compare(rare, trainer(at_0_4=-1.0), BOUND).worst == (0, 4)


def test_a_batch_without_actions_agrees() -> None:
    silent = make_batch([Row((Segment("prompt", (1, 2), 0),))], [0], [1.0], {}.__getitem__, 1)
    found = compare(silent, torch.ones(1, 2), BOUND)
    assert (found.largest, found.mean, found.worst) == (0.0, 0.0, None)


def test_the_description_says_where_what_and_both_numbers() -> None:
    values = trainer(at_0_7=-2.0)
    told = describe(compare(batch(), values, BOUND), batch(), ROWS, values, lambda ids: " ".join(map(str, ids)))
    assert told == (
        "token 7 of trajectory 4 (turn 1), '8' after '1 2 3 4 5 6 7': the sampler gave it log-probability -1.300000, "
        "the trainer -2.000000"
    )


def test_the_description_finds_the_row() -> None:
    values = trainer(at_1_3=-2.0)
    told = describe(compare(batch(), values, BOUND), batch(), ROWS, values, lambda ids: " ".join(map(str, ids)))
    assert "token 3 of trajectory 6 (turn 0), '4' after '1 2 3'" in told
