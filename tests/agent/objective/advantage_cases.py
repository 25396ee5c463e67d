"""Batches of trajectories for tests of advantage estimators: every tensor that one may ask for."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from agent.objective.advantage import ADVANTAGES
from agent.objective.signature import call
from tests.oracle import advantages as oracle

Batch = dict[str, Tensor]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Up to 4 groups of 1 to 4 trajectories of 0 to 6 action tokens; one in three trajectories is not valid.

    Numbers are eighths between -2 and 2: sums and differences of these are exact.
    """
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    count, width = sum(sizes), draw(st.integers(1, 6))
    dice = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))

    def numbers(*shape: int) -> Tensor:
        return torch.randint(-16, 17, shape, generator=dice).double() / 8

    def below(odds: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=dice) < odds

    mask = torch.arange(width) < torch.randint(width + 1, (count, 1), generator=dice)
    if draw(st.booleans()):  # entries that do not exist may stand anywhere
        mask &= below(2 / 3, count, width)
    return {
        "scores": numbers(count) if draw(st.booleans()) else numbers(count).round(),
        "groups": torch.tensor([group for group, size in enumerate(sizes) for _ in range(size)]),
        "valid": below(2 / 3, count),
        "lengths": mask.sum(1),
        "rewards": numbers(count, width),
        "mask": mask,
        "turns": (torch.randint(3, (count, width), generator=dice) * below(0.6, count, width)).cumsum(1),
        "values": numbers(count, width),
        "final_values": numbers(count),
        "truncated": below(0.5, count),
        "greedy_scores": numbers(count),
    }


def estimates(name: str, batch: Batch, **options: object) -> list[Tensor]:
    """What the estimator returns: advantages, and for one with a critic also returns and `valued`."""
    given = call(ADVANTAGES[name].function, batch, options)
    return list(given) if isinstance(given, tuple) else [given]


def oracle_estimates(name: str, batch: Batch, **options: object) -> list[Tensor]:
    given = call(getattr(oracle, name), {key: tensor.tolist() for key, tensor in batch.items()}, options)
    lists = given if isinstance(given, tuple) else (given,)
    shape = batch["mask"].shape
    return [
        torch.tensor(x, dtype=torch.bool if k == 2 else torch.float64).view(
            shape if x and isinstance(x[0], list) else shape[:1]
        )
        for k, x in enumerate(lists)
    ]


def assert_same(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-8) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=tolerance, rtol=tolerance)
