"""The flat canvas: what covers a pixel, and letters."""

import numpy as np
import pytest

from envs.render.panel import Panel, centred, fitting_height, polygon, text_width

WHITE, RED, BLACK = (255, 255, 255), (200, 0, 0), (0, 0, 0)


def test_a_box_of_half_a_pixel_is_half_as_strong() -> None:
    panel = Panel(3, 2, WHITE)
    panel.box(4, 0, 6, 8, BLACK)  # the left half of the middle column
    assert panel.pixels().tolist() == [[[255] * 3, [128] * 3, [255] * 3]] * 2


def test_what_lies_outside_is_cut_off() -> None:
    panel = Panel(4, 4, WHITE)
    panel.box(-8, -8, 4, 4, RED)
    panel.disc(100, 100, 10, RED)
    panel.disc(16, 16, 4, RED)
    pixels = panel.pixels()
    assert tuple(pixels[0, 0]) == RED and tuple(pixels[0, 1]) == WHITE
    assert (pixels[3, 3] != 255).any()


def test_the_mean_is_that_of_all_sixteen_samples() -> None:
    rng = np.random.default_rng(0)
    panel = Panel(8, 8, (10, 20, 30))
    fine = np.full((32, 32, 3), (10, 20, 30), dtype=np.int64)
    for _ in range(6):
        mask, colour = rng.random((32, 32)) < 0.3, tuple(rng.integers(0, 256, 3).tolist())
        panel.mask(0, 0, mask, colour)
        fine[mask] = colour
    expected = (fine.reshape(8, 4, 8, 4, 3).sum(axis=(1, 3)) + 8) // 16
    assert np.array_equal(panel.pixels(), expected)


def test_a_polygon_has_the_area_of_its_corners() -> None:
    inside = polygon([(0, 0), (40, 0), (0, 40)], 40, 40)
    assert abs(int(inside.sum()) - 800) <= 40
    square, hole = [(0, 0), (40, 0), (40, 40), (0, 40), (0, 0)], [(10, 10), (10, 30), (30, 30), (30, 10), (10, 10)]
    hollow = polygon(square + hole, 40, 40)
    assert int(hollow.sum()) == 1600 - 400


def test_a_disc_is_symmetric_and_has_its_area() -> None:
    mask = centred(40, lambda u, v, r: u * u + v * v <= r * r)
    assert np.array_equal(mask, mask.T) and np.array_equal(mask, mask[::-1])
    assert abs(int(mask.sum()) / (np.pi * 1600) - 1) < 0.01


@pytest.mark.parametrize("scale", [1, 60])
def test_a_line_has_its_width_and_round_ends(scale: int) -> None:
    panel = Panel(20 * scale, 10 * scale, WHITE)
    start, end = (20 * scale, 20 * scale), (60 * scale, 20 * scale)
    panel.line(start, end, 8 * scale, BLACK)  # two pixels wide, from x = 5 to x = 15
    dark = (panel.pixels()[:, :, 0] < 128).sum(axis=0)
    assert (dark[8 * scale], dark[2 * scale], dark[18 * scale]) == (2 * scale, 0, 0)
    assert 0 < dark[round(4.2 * scale)] <= 2 * scale


def test_a_slanting_line_keeps_its_width_at_any_length() -> None:
    panel = Panel(1024, 1024, WHITE)
    panel.line((0, 0), (4096, 4096), 40, BLACK)
    assert (panel.pixels()[512] == 0).all(axis=1).sum() == pytest.approx(10 * 2**0.5, abs=2)


def test_letters_are_centred_and_fit_the_room_given() -> None:
    panel = Panel(80, 30, WHITE)
    panel.text(40, 15, "Velmora", 9)
    dark = np.argwhere(panel.pixels()[:, :, 0] < 200)
    assert np.abs(dark.mean(axis=0) - (15, 40)).max() < 4
    height = fitting_height("A rather long name", 120, 20)
    assert text_width("A rather long name", height) <= 120 < text_width("A rather long name", height + 1)
    assert fitting_height("A rather long name", 10, 20, least=6) == 6
