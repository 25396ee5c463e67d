"""Warnings of a run that is ill, and none of one that is not."""

import pytest

from agent.illness import STEPS, Watch

WELL = {"entropy": 1.0, "zero_variance_groups": 0.2, "taught": 12.0, "grad_norm": 0.5, "kl/k3": 0.01, "reward": 0.4}


def looked(*steps: dict[str, float]) -> list[str]:
    watch = Watch()
    return [words for step in steps for words in watch.look(WELL | step)]


def test_a_healthy_run_is_not_talked_about() -> None:
    assert looked(*[{}] * 50) == []


def test_entropy_that_collapses_is_told_once_with_what_to_try() -> None:
    gone = {"entropy": 0.019, "zero_variance_groups": 0.6}
    (told,) = looked({}, gone, gone)
    assert "entropy collapse" in told and "algorithm.entropy_coef" in told and "0.019" in told


def test_little_entropy_is_no_illness_while_siblings_still_differ() -> None:
    assert looked({}, {"entropy": 0.019, "zero_variance_groups": 0.5}) == []
    assert looked({}, {"entropy": 0.021, "zero_variance_groups": 1.0}) == []


def test_steps_without_anything_to_learn_are_told_when_they_are_many_in_a_row() -> None:
    idle = {"taught": 0.0, "reward": 0.0}
    assert looked(*[idle] * (STEPS - 1)) == []
    assert looked(*[idle] * (STEPS - 1), {}, *[idle] * (STEPS - 1)) == []
    (told,) = looked(*[idle] * (STEPS + 5))
    assert f"nothing to learn for {STEPS} steps" in told and "resample_rounds" in told


@pytest.mark.parametrize("far", [10.0, 1e9, float("nan")])
def test_a_divergence_that_explodes_is_told(far: float) -> None:
    (told,) = looked({"kl/k3": 9.9}, {"kl/k3": far})
    assert "reference" in told and "algorithm.divergence.coef" in told


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_told(norm: float) -> None:
    (told,) = looked({"grad_norm": norm})
    assert "thrown away" in told


def test_a_part_that_is_trained_and_gets_no_gradient_is_named() -> None:
    (told,) = looked({"grad_norm/vision": 0.0, "grad_norm/language": 0.5})
    assert "the vision is trained but gets no gradient" in told and "optimizer.rates.vision=0" in told
    assert looked({"grad_norm/vision": 0.0, "grad_norm": 0.0}) == []


def test_what_comes_back_after_a_recovery_is_told_again() -> None:
    assert len(looked({"kl/k3": 20.0}, {}, {"kl/k3": 20.0})) == 2
