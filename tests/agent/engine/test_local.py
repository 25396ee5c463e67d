"""The train engine: the schedule by hand, clipping, gradients that are no numbers, and its state."""

import copy

import pytest
import torch

from agent.config import OptimizerConfig
from agent.engine.local import LocalEngine, schedule


class Line(torch.nn.Module):
    """y = w . x with weights (3, 4), enough of a model for an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        self.frozen = torch.nn.Parameter(torch.tensor([7.0]), requires_grad=False)


def engine_of(**options: object) -> LocalEngine:
    return LocalEngine(Line(), OptimizerConfig(**{"steps": 10, "lr": 0.1, "schedule": "constant", **options}))  # type: ignore[arg-type]


def pull(engine: LocalEngine, gradient: tuple[float, float]) -> float:
    """One step with this gradient."""
    engine.backward((engine.model.weight * torch.tensor(gradient)).sum())
    return engine.step()


@pytest.mark.parametrize(
    ("kind", "warmup", "expected"),
    [
        # Steps 0 to 4 of 4; linear without warm-up: 1 - step / 4.
        ("linear", 0, [1.0, 0.75, 0.5, 0.25, 0.0]),
        # Warm-up of 2: (step + 1) / 3, then 1 - (step - 2) / 2.
        ("linear", 2, [1 / 3, 2 / 3, 1.0, 0.5, 0.0]),
        # (1 + cos(pi step / 4)) / 2.
        ("cosine", 0, [1.0, 0.853553, 0.5, 0.146447, 0.0]),
        ("constant", 0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("constant", 3, [0.25, 0.5, 0.75, 1.0, 1.0]),
    ],
)
def test_the_schedule_has_the_values_worked_out_by_hand(kind: str, warmup: int, expected: list[float]) -> None:
    assert [schedule(step, 4, warmup, kind) for step in range(5)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 5, 9])
def test_no_step_of_a_run_has_a_rate_of_zero_or_above_the_peak(kind: str, warmup: int) -> None:
    assert all(0 < schedule(step, 5, warmup, kind) <= 1 for step in range(5))


def test_the_first_step_moves_each_weight_by_the_learning_rate() -> None:
    """AdamW's first step: m / sqrt(v) = sign of the gradient after bias correction, so w moves by lr. No decay here."""
    engine = engine_of()
    pull(engine, (0.3, -0.4))
    torch.testing.assert_close(engine.model.weight.detach(), torch.tensor([2.9, 4.1]), atol=1e-5, rtol=0)


def test_weight_decay_pulls_towards_zero_as_adamw_defines_it() -> None:
    """w <- w - lr decay w, before the gradient's step of lr: 3 (1 - 0.1 x 0.5) - 0.1 = 2.75, 4 x 0.95 + 0.1 = 3.9."""
    engine = engine_of(weight_decay=0.5)
    pull(engine, (0.3, -0.4))
    torch.testing.assert_close(engine.model.weight.detach(), torch.tensor([2.75, 3.9]), atol=1e-5, rtol=0)


def test_the_rate_that_is_shown_is_the_rate_of_the_next_step() -> None:
    engine = engine_of(schedule="linear", steps=4)
    for rate in (0.1, 0.075, 0.05, 0.025):
        before = engine.model.weight.detach().clone()
        assert engine.lr == pytest.approx(rate)
        pull(engine, (1.0, 1.0))
        torch.testing.assert_close(before - engine.model.weight.detach(), torch.full((2,), rate), atol=1e-4, rtol=0)


def test_a_long_gradient_is_scaled_down_and_its_own_length_is_told() -> None:
    """The gradient (30, 40) has length 50 and becomes (0.6, 0.8): Adam's second moment remembers which one it saw."""
    engine = engine_of(max_grad_norm=1.0)
    assert pull(engine, (30.0, 40.0)) == pytest.approx(50.0)
    (state,) = engine.optimizer.state.values()
    torch.testing.assert_close(state["exp_avg"] / (1 - 0.9), torch.tensor([0.6, 0.8]), atol=1e-4, rtol=0)


def test_a_short_gradient_is_left_alone() -> None:
    engine = engine_of(max_grad_norm=1.0)
    assert pull(engine, (0.3, 0.4)) == pytest.approx(0.5)
    (state,) = engine.optimizer.state.values()
    torch.testing.assert_close(state["exp_avg"] / (1 - 0.9), torch.tensor([0.3, 0.4]), atol=1e-6, rtol=0)


def test_gradients_add_up_until_a_step_takes_them() -> None:
    engine = engine_of()
    for _ in range(2):
        engine.backward((engine.model.weight * torch.tensor([0.1, 0.2])).sum())
    assert engine.step() == pytest.approx(5**0.5 * 0.2)
    assert engine.model.weight.grad is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_gradient_that_is_not_finite_leaves_weights_and_moments_as_they_are(bad: float) -> None:
    engine = engine_of()
    pull(engine, (0.3, -0.4))
    weight = engine.model.weight.detach().clone()
    moments = copy.deepcopy(engine.optimizer.state_dict()["state"])
    norm = pull(engine, (bad, 1.0))
    assert not torch.isfinite(torch.tensor(norm))
    assert torch.equal(engine.model.weight.detach(), weight)
    after = engine.optimizer.state_dict()["state"]
    assert all(torch.equal(after[0][name], value) for name, value in moments[0].items())
    pull(engine, (0.3, -0.4))
    assert torch.isfinite(engine.model.weight).all()
    assert not torch.equal(engine.model.weight.detach(), weight)


def test_a_skipped_step_advances_the_schedule_and_nothing_else() -> None:
    engine = engine_of(schedule="linear", steps=4)
    engine.skip()
    assert engine.lr == pytest.approx(0.075)
    assert engine.model.weight.tolist() == [3.0, 4.0]


def test_discarded_gradients_do_not_move_the_weights() -> None:
    engine = engine_of()
    engine.backward((engine.model.weight * torch.tensor([5.0, 5.0])).sum())
    engine.discard()
    pull(engine, (0.0, 0.0))
    assert engine.model.weight.tolist() == [3.0, 4.0]


def test_frozen_weights_are_not_in_the_optimizer() -> None:
    engine = engine_of()
    pull(engine, (1.0, 1.0))
    assert engine.model.frozen.tolist() == [7.0]
    assert len(engine.optimizer.param_groups[0]["params"]) == 1


def test_an_engine_restored_from_its_state_takes_the_same_next_step_bit_for_bit() -> None:
    engine = engine_of(schedule="cosine", weight_decay=0.1)
    for gradient in [(0.3, -0.4), (0.1, 0.9), (-0.7, 0.2)]:
        pull(engine, gradient)
    restored = engine_of(schedule="cosine", weight_decay=0.1)
    restored.model.load_state_dict(engine.model.state_dict())
    restored.load_state_dict(copy.deepcopy(engine.state_dict()))
    assert restored.lr == engine.lr
    for gradient in [(0.5, 0.5), (0.2, -0.1)]:
        pull(engine, gradient)
        pull(restored, gradient)
        assert torch.equal(engine.model.weight, restored.model.weight)


def test_a_restored_engine_without_its_moments_would_step_elsewhere() -> None:
    """So that the test before this one could fail."""
    engine = engine_of()
    pull(engine, (0.3, -0.4))
    restored = engine_of()
    restored.model.load_state_dict(engine.model.state_dict())
    pull(engine, (-0.1, 0.1))
    pull(restored, (-0.1, 0.1))
    assert not torch.equal(engine.model.weight, restored.model.weight)


def test_every_weight_is_handed_to_the_rollout_engine() -> None:
    engine = engine_of()
    assert {name: tensor.data_ptr() for name, tensor in engine.named_tensors()} == {
        name: tensor.data_ptr() for name, tensor in engine.model.state_dict().items()
    }


def half_engine(**options: object) -> LocalEngine:
    return LocalEngine(  # type: ignore[arg-type]
        Line().to(torch.bfloat16), OptimizerConfig(**{"steps": 100, "lr": 1e-3, "schedule": "constant", **options})
    )


def test_bfloat16_weights_add_up_updates_that_are_too_small_for_them() -> None:
    """Near 4 the next bfloat16 number is 1/64 away: steps of 0.001 vanish one by one, and move it after a hundred."""
    engine = half_engine()
    for _ in range(100):
        pull(engine, (1.0, 1.0))
    torch.testing.assert_close(engine.model.weight.detach().float(), torch.tensor([2.9, 3.9]), atol=0.02, rtol=0)
    assert engine.model.weight.dtype == torch.bfloat16


def test_a_restored_bfloat16_engine_remembers_what_its_weights_cannot_show() -> None:
    engine, again = half_engine(), half_engine()
    for _ in range(3):
        pull(engine, (1.0, 1.0))
    again.load_state_dict(copy.deepcopy(engine.state_dict()))
    for _ in range(6):
        pull(engine, (1.0, 1.0))
        pull(again, (1.0, 1.0))
    assert all(torch.equal(a, b) for a, b in zip(engine.masters, again.masters, strict=True))


def test_an_engine_takes_over_weights_that_somebody_else_has_moved() -> None:
    engine = half_engine()
    with torch.no_grad():
        engine.model.weight.fill_(8.0)
    engine.take_weights()
    pull(engine, (0.0, 0.0))
    assert engine.model.weight.tolist() == [8.0, 8.0]
