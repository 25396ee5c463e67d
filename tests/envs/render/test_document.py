"""Drawing documents."""

import numpy as np
import pytest

from envs.render.document import Document, Line, Look, draw_document, lay_out

LOOK = Look((244, 240, 226), (20, 30, 80))


def drawn(*lines: Line, look: Look = LOOK, size: tuple[int, int] = (200, 160)) -> np.ndarray:
    return draw_document(Document("x", look, lines), *size)


def ink(picture: np.ndarray) -> np.ndarray:
    """bool (H, W): where something darker than the paper is."""
    return np.asarray(picture.astype(int).sum(axis=2) < 600)


def test_the_picture_has_the_size_and_the_paper_asked_for() -> None:
    picture = drawn(Line("row", ("a",)), size=(200, 160))
    assert picture.shape == (160, 200, 3) and picture.dtype == np.uint8
    assert tuple(picture[0, 0]) == LOOK.paper


def test_the_first_cell_is_left_and_the_last_is_right() -> None:
    columns = np.flatnonzero(ink(drawn(Line("row", ("I", "I")))).any(axis=0))
    # The margin is six hundredths; the letter's own side bearing is a little more.
    assert 12 <= columns[0] <= 20 and 180 <= columns[-1] <= 188


def test_a_title_is_in_the_middle() -> None:
    columns = np.flatnonzero(ink(drawn(Line("title", ("HOH",)))).any(axis=0))
    assert abs((columns[0] + columns[-1]) / 2 - 99.5) <= 3


def test_lines_are_below_each_other_in_their_order() -> None:
    picture = ink(drawn(Line("row", ("IIIIIIII",)), Line("rule"), Line("row", ("I",))))
    rule = np.flatnonzero(picture.sum(axis=1) > 170)
    above, below = picture[: rule[0]].sum(), picture[rule[-1] + 1 :].sum()
    assert above > 4 * below > 0


def test_a_line_too_long_is_drawn_smaller_and_stays_inside() -> None:
    columns = np.flatnonzero(ink(drawn(Line("row", ("W" * 18, "W" * 18)))).any(axis=0))
    assert columns[0] >= 10 and columns[-1] <= 189


def test_equal_documents_give_equal_pixels() -> None:
    lines = (Line("title", ("SHOP",)), Line("row", ("Tea", "1.20")))
    assert np.array_equal(drawn(*lines), drawn(*lines))


@pytest.mark.parametrize("field", ["band", "frame", "grid"])
def test_a_look_changes_what_is_drawn(field: str) -> None:
    lines = (Line("title", ("SHOP",)), Line("row", ("Tea", "1.20")))
    look = Look(LOOK.paper, LOOK.ink, **{field: (9, 9, 9) if field == "band" else True})
    assert not np.array_equal(drawn(*lines), drawn(*lines, look=look))


def test_a_table_shows_every_picture_in_its_box() -> None:
    pictures = tuple(np.full((40, 80, 3), k, dtype=np.uint8) for k in range(6))
    table, boxes = lay_out(pictures, 3, (200, 200, 200))
    assert table.shape == (2 * 50 + 10, 3 * 90 + 10, 3)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        assert (table[y1:y2, x1:x2] == k).all() and (x2 - x1, y2 - y1) == (80, 40)
    assert int((table == 200).all(axis=2).sum()) == table.shape[0] * table.shape[1] - 6 * 40 * 80
