"""Finding room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.render.placing import place


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.integers(3, 12), max_size=10), st.sampled_from([0.0, 0.25, 0.5]))
def test_objects_lie_inside_and_far_enough_apart_above_all_those_of_one_colour(
    seed: int, radii: list[int], overlap: float
) -> None:
    colours = ["red" if k % 2 else "blue" for k in range(len(radii))]
    centres = place(radii, colours, 90, 60, overlap, np.random.default_rng(seed))
    if centres is None:
        return
    for k, (x, y) in enumerate(centres):
        assert radii[k] <= x <= 90 - radii[k]
        assert radii[k] <= y <= 60 - radii[k]
        for j, (a, b) in enumerate(centres[:k]):
            share = 1.0 if colours[j] == colours[k] else 1 - overlap
            assert np.hypot(x - a, y - b) >= share * (radii[k] + radii[j]) - 1e-9


def test_every_place_is_used_up_to_the_rim() -> None:
    centres = [place([3], ["red"], 10, 8, 0.0, np.random.default_rng(s))[0] for s in range(400)]  # type: ignore[index]
    assert {x for x, _ in centres} == set(range(3, 8))
    assert {y for _, y in centres} == set(range(3, 6))


@pytest.mark.parametrize("radii", [[20] * 30, [40]])
def test_what_does_not_fit_gives_none(radii: list[int]) -> None:
    assert place(radii, ["red"] * len(radii), 90, 60, 0.0, np.random.default_rng(0)) is None
