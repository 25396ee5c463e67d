"""Losses of the critic and explained variance, by hand and against torch."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.objective.value import VALUE_LOSSES, clipped, explained_variance, huber, squared


def one(function, value: float, old: float, target: float, **options: float) -> tuple[float, float]:
    """Loss and gradient by the value."""
    values = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    losses = function(
        values, torch.tensor([[old]], dtype=torch.float64), torch.tensor([[target]], dtype=torch.float64), **options
    )
    (gradient,) = torch.autograd.grad(losses.sum(), values)
    return float(losses.detach()), float(gradient)


def test_the_squared_error_is_halved_and_pulls_towards_the_return() -> None:
    """V = 3, R = 1: loss (3 - 1)^2 / 2 = 2, gradient 2; what the value was and the clip do not matter."""
    assert one(squared, 3.0, 0.0, 1.0) == (2.0, 2.0)
    assert one(squared, 3.0, 9.0, 1.0, clip=0.1) == (2.0, 2.0)


# old value 1, clip 0.5: held in [0.5, 1.5]. Value, return, loss, gradient.
CLIPPED = {
    "near the old value": (1.4, 3.0, 1.28, -1.6),
    "moved up to the return and past the bound: (1.5 - 3)^2 / 2, no gradient": (2.0, 3.0, 1.125, 0.0),
    "moved up and away from the return: the larger error (2 - 0)^2 / 2": (2.0, 0.0, 2.0, 2.0),
    "moved down to the return and past the bound: (0.5 + 1)^2 / 2": (0.0, -1.0, 1.125, 0.0),
    "moved down and away from the return": (0.0, 2.0, 2.0, -2.0),
}


@pytest.mark.parametrize("name", CLIPPED)
def test_each_situation_of_the_clipped_loss_is_worked_out_by_hand(name: str) -> None:
    value, target, loss, gradient = CLIPPED[name]
    assert one(clipped, value, 1.0, target, clip=0.5) == pytest.approx((loss, gradient))


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(-4, 4), st.floats(0.01, 2))
def test_the_clipped_loss_equals_the_formula_in_plain_numbers(
    value: float, old: float, target: float, clip: float
) -> None:
    held = min(max(value, old - clip), old + clip)
    expected = max((value - target) ** 2, (held - target) ** 2) / 2
    assert one(clipped, value, old, target, clip=clip)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_huber_is_a_parabola_and_then_a_line() -> None:
    """clip = 2: at error 1 loss 1/2, gradient 1; at error -2 loss 2, gradient -2; at error 5 loss 2 * (5 - 1) = 8 and
    gradient 2, where half the square would be 12.5."""
    assert one(huber, 1.0, 9.0, 0.0, clip=2.0) == (0.5, 1.0)
    assert one(huber, 0.0, 9.0, 2.0, clip=2.0) == (2.0, -2.0)
    assert one(huber, 5.0, 9.0, 0.0, clip=2.0) == (8.0, 2.0)


def test_the_defaults_are_the_usual_ones() -> None:
    defaults = {name: inspect.signature(f).parameters["clip"].default for name, f in VALUE_LOSSES.items()}
    assert defaults == {"squared": 0.0, "clipped": 0.2, "huber": 1.0}


def test_every_loss_is_registered_under_its_name() -> None:
    assert {"squared": squared, "clipped": clipped, "huber": huber} == VALUE_LOSSES


def test_no_loss_is_averaged() -> None:
    for function in VALUE_LOSSES.values():
        assert function(torch.ones(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)).shape == (2, 3)


def variance(values: list[float], returns: list[float], mask: list[bool] | None = None) -> float:
    marks = [True] * len(values) if mask is None else mask
    return explained_variance(torch.tensor([values]), torch.tensor([returns]), torch.tensor([marks]))


def test_explained_variance_is_worked_out_by_hand() -> None:
    """Returns 0, 2, 4: variance 8 / 3. Values 1, 2, 3 leave -1, 0, 1: variance 2 / 3. 1 - 1 / 4 = 0.75."""
    assert variance([1.0, 2.0, 3.0], [0.0, 2.0, 4.0]) == pytest.approx(0.75)
    assert variance([0.0, 2.0, 4.0], [0.0, 2.0, 4.0]) == 1.0
    assert variance([7.0, 7.0, 7.0], [0.0, 2.0, 4.0]) == 0.0
    assert variance([5.0, 7.0, 9.0], [0.0, 2.0, 4.0]) == 1.0, "an offset does not count"
    assert variance([4.0, 2.0, 0.0], [0.0, 2.0, 4.0]) == pytest.approx(-3.0)


def test_explained_variance_of_returns_without_variance_is_not_a_number() -> None:
    assert math.isnan(variance([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]))
    assert math.isnan(variance([1.0], [2.0]))
    assert math.isnan(variance([1.0], [2.0], [False]))


def test_what_is_not_trained_changes_no_explained_variance() -> None:
    assert variance([1.0, math.nan, 2.0, 3.0], [0.0, math.inf, 2.0, 4.0], [True, False, True, True]) == pytest.approx(
        0.75
    )


def test_explained_variance_keeps_its_digits_far_from_zero() -> None:
    """In float32 the variance of 10000 +- 0.01 is mostly rounding; what is given in float32 is exact in float64."""
    returns = [10000.0, 10000.0078125]
    assert variance([0.0, 0.0], returns) == 0.0
    assert variance([10000.0, 10000.00390625], returns) == pytest.approx(0.75)
