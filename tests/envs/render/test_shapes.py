"""Shapes on the fine grid."""

import numpy as np
import pytest

from envs.render.shapes import COLOURS, SAMPLES, SHAPES, coverage, fine_mask, full_coverage


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [3, 6, 21])
def test_a_shape_is_its_own_mirror_image(shape: str, radius: int) -> None:
    mask = fine_mask(shape, radius)
    assert np.array_equal(mask, mask[:, ::-1])


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("circle", np.pi),
        ("square", (7 / 4) ** 2),
        ("triangle", 2.0),
        ("diamond", 2.0),
        ("cross", 2 * 4 / 3 - 4 / 9),
        ("ring", np.pi * 3 / 4),
        ("star", 1.1226),  # 10 tan(18 deg) / (3 - tan^2(18 deg))
    ],
)
def test_a_shape_has_its_area(shape: str, area: float) -> None:
    samples = int(fine_mask(shape, 200).sum())
    assert samples / SAMPLES / 200**2 == pytest.approx(area, rel=0.01)


def test_tips_point_up() -> None:
    for shape in ("triangle", "star"):
        mask = fine_mask(shape, 40)
        top = np.flatnonzero(mask[np.flatnonzero(mask.any(axis=1))[0]])
        assert top.mean() == 159.5
        assert len(top) <= 4


@pytest.mark.parametrize("radius", [3, 6])
def test_shapes_differ_even_when_small(radius: int) -> None:
    for one in SHAPES:
        for other in SHAPES:
            apart = abs(full_coverage(one, radius) - full_coverage(other, radius)).sum() / SAMPLES
            assert one == other or apart >= radius * radius / 4, (one, other)


def test_coverage_counts_the_samples_of_each_pixel() -> None:
    mask = np.zeros((8, 4), dtype=np.bool_)
    mask[:4] = True
    mask[4, :3] = True
    assert coverage(mask).tolist() == [[16], [3]]


def test_masks_are_kept_and_cannot_be_changed() -> None:
    assert fine_mask("circle", 5) is fine_mask("circle", 5)
    with pytest.raises(ValueError, match="read-only"):
        fine_mask("circle", 5)[0, 0] = True


def test_colours_are_far_from_each_other() -> None:
    values = np.array(list(COLOURS.values()), dtype=int)
    distances = abs(values[:, None] - values[None]).sum(axis=-1) + 999 * np.eye(len(values), dtype=int)
    assert distances.min() >= 90
