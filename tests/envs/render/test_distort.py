"""What happens to pictures: against values by hand, and a slow reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.render.distort import blur, distort, noise

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, size=(12, 17, 3), dtype=np.uint8)


def once(name: str, picture: np.ndarray = PICTURE) -> np.ndarray:
    return distort(picture, (name,), 1, np.random.default_rng(1))


def test_rotation90_turns_against_the_clock() -> None:
    turned = once("rotation90")
    assert turned.shape == (17, 12, 3)
    assert np.array_equal(turned[0, 0], PICTURE[0, -1]) and np.array_equal(turned[-1, 0], PICTURE[0, 0])


def test_rotation180_swaps_the_corners() -> None:
    assert np.array_equal(once("rotation180")[0, 0], PICTURE[-1, -1])


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("dark", 244, 24), ("dark", 20, 2), ("dark", 9, 0), ("overexposure", 244, 254), ("overexposure", 15, 231)],
)
def test_exposures_keep_a_tenth_of_the_contrast(name: str, before: int, after: int) -> None:
    assert (once(name, np.full((2, 2, 3), before, dtype=np.uint8)) == after).all()


def test_a_blurred_point_is_a_pyramid() -> None:
    point = np.zeros((7, 7, 3), dtype=np.uint8)
    point[3, 3] = 243  # 81 parts of three
    row = (1, 2, 3, 2, 1)
    # The first mean gives 27 everywhere in 3 x 3, without rounding; the second gives 3 times the overlap.
    expected = np.zeros((7, 7), dtype=int)
    expected[1:6, 1:6] = [[3 * a * b for a in row] for b in row]
    assert np.array_equal(blur(point, 1)[:, :, 1], expected)


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 1 << 30))
def test_a_blur_equals_means_taken_one_by_one(height: int, width: int, reach: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    slow = picture.astype(int)
    for _ in range(2):
        mean = np.empty_like(slow)
        for y in range(height):
            for x in range(width):
                rows = [min(max(v, 0), height - 1) for v in range(y - reach, y + reach + 1)]
                columns = [min(max(v, 0), width - 1) for v in range(x - reach, x + reach + 1)]
                total, count = slow[np.ix_(rows, columns)].sum(axis=(0, 1)), len(rows) * len(columns)
                mean[y, x] = (2 * total + count) // (2 * count)
        slow = mean
    assert np.array_equal(blur(picture, reach), slow)


def test_noise_spoils_the_share_asked_for_and_nothing_else() -> None:
    gray = np.full((200, 200, 3), 100, dtype=np.uint8)
    spoilt = noise(gray, np.random.default_rng(0), 40)
    black, white = ((spoilt == v).all(axis=2).mean() for v in (0, 255))
    assert abs(black - 0.2) < 0.01 and abs(white - 0.2) < 0.01
    assert ((spoilt == 100) | (spoilt == 0) | (spoilt == 255)).all()


def test_noise_comes_last_and_unnamed_distortions_do_nothing() -> None:
    spoilt = distort(PICTURE, ("noise", "dark", "crop"), 1, np.random.default_rng(1))
    assert np.array_equal(spoilt, noise(PICTURE // 10, np.random.default_rng(1), 40))
    assert np.array_equal(distort(PICTURE, (), 1, np.random.default_rng(1)), PICTURE)


def test_the_picture_given_is_not_changed() -> None:
    before = PICTURE.copy()
    for name in ("rotation90", "rotation180", "blur", "noise", "dark", "overexposure"):
        once(name)
    assert np.array_equal(PICTURE, before)
