"""Lettering: every character that labels need, at any height, told apart."""

import string

import numpy as np
import pytest

from envs.render.diagram_text import text_mask

NEEDED = string.ascii_letters + string.digits + "°√π+-=/.,():'?"


@pytest.mark.parametrize("height", [7, 9, 12, 20])
def test_every_character_that_labels_need_has_a_glyph_of_its_own(height: int) -> None:
    shapes = {character: text_mask(character, height) for character in NEEDED}
    for one in NEEDED:
        assert shapes[one].max() > 100
        same = [two for two in NEEDED if np.array_equal(shapes[one], shapes[two])]
        assert same == [one]


def test_capitals_have_the_height_asked_for() -> None:
    for height in (9, 12, 24):
        rows = np.nonzero((text_mask("H", height) > 128).any(axis=1))[0]
        assert abs(rows[-1] - rows[0] + 1 - height) <= 2


def test_small_letters_hang_below_the_line() -> None:
    assert text_mask("g", 12).shape[0] > text_mask("a", 12).shape[0] == text_mask("A", 12).shape[0]


def test_a_text_is_as_wide_as_its_characters_and_the_gaps() -> None:
    widths = [text_mask("12345"[:n], 12).shape[1] for n in range(1, 6)]
    assert widths == sorted(set(widths))
    assert text_mask("1 2", 12).shape[1] > text_mask("12", 12).shape[1]


def test_signs_that_look_alike_share_a_glyph_and_unknown_ones_are_boxes() -> None:
    assert np.array_equal(text_mask("\u2212", 12), text_mask("-", 12))
    assert np.array_equal(text_mask("\u4e2d", 12), text_mask("\U0001f9ee", 12))
    assert text_mask("\u4e2d", 12).any()


def test_no_text_is_an_empty_mask() -> None:
    assert not text_mask("", 12).any()
    assert not text_mask("  ", 12).any()


def test_the_rim_is_free_of_ink() -> None:
    for character in NEEDED:
        mask = text_mask(character, 12)
        assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) <= 128
