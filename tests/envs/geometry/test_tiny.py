"""Sketches for very small models: every character fills a cell, and no cell holds characters and lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.geometry import Geometry
from envs.geometry.families import FAMILIES
from envs.geometry.family import Limits
from envs.geometry.tiny import CELL, COLUMNS, HEIGHT, ROWS, TINY, WIDTH
from envs.render.diagram_cells import draw_cells, glyph_cell

KWARGS: dict[str, Any] = {"style": "tiny", "largest": 9, "angle_step": 10, "instructions": "short", "families": "all"}


def test_at_least_six_families_can_be_drawn_on_few_cells() -> None:
    assert len(TINY) >= 6
    assert set(TINY) <= set(FAMILIES)
    assert (WIDTH, HEIGHT) == (84, 70)


def test_every_character_fills_one_cell_and_lines_end_where_it_begins() -> None:
    env = Geometry(**KWARGS)
    for seed in range(80):
        pixels = env.reset(seed=seed)[0]["images"][0]
        sketch = env.task.world.sketch
        assert sketch is not None
        drawing = draw_cells(sketch, COLUMNS, ROWS, CELL)
        assert drawing is not None
        for (column, row), (text, _, _) in zip(drawing.cells, sketch.labels, strict=True):
            for k, character in enumerate(text):
                x, y = (column + k) * CELL, row * CELL
                cell = pixels[y : y + CELL, x : x + CELL]
                assert np.array_equal(cell, np.repeat(255 - glyph_cell(character, CELL)[:, :, None], 3, axis=2))


def test_labels_of_a_row_have_an_empty_cell_between_them() -> None:
    env = Geometry(**KWARGS)
    for seed in range(80):
        env.reset(seed=seed)
        sketch = env.task.world.sketch
        assert sketch is not None
        drawing = draw_cells(sketch, COLUMNS, ROWS, CELL)
        assert drawing is not None
        taken = [(c + k, r, n) for n, (c, r) in enumerate(drawing.cells) for k in range(len(sketch.labels[n][0]))]
        for c, r, n in taken:
            assert not any(r == s and abs(c - d) <= 1 and n != m for d, s, m in taken)


def test_characters_fill_their_cell_and_look_different() -> None:
    cells = {c: glyph_cell(c, CELL) for c in "0123456789x"}
    for one in cells:
        rows, columns = (cells[one] > 128).any(axis=1).sum(), (cells[one] > 128).any(axis=0).sum()
        assert rows >= (8 if one == "x" else 11)
        assert columns >= 4
        for other in cells:
            assert one == other or int((abs(cells[one] - cells[other]) > 128).sum()) >= 4, (one, other)


def test_numbers_are_short() -> None:
    limits = Limits(largest=9, angle_step=10)
    for name in TINY:
        for case in FAMILIES[name].cases(limits):
            assert max(map(len, FAMILIES[name].printed(*case))) <= 3
            assert len(FAMILIES[name].answer(*case).plain) <= 3


def test_places_of_numbers_vary() -> None:
    env = Geometry(**KWARGS | {"families": ["rectangle_area"]})
    places = set()
    for seed in range(40):
        env.reset(seed=seed)
        drawing = draw_cells(env.task.world.sketch, COLUMNS, ROWS, CELL)  # type: ignore[arg-type]
        assert drawing is not None
        places.add(drawing.cells)
    assert len(places) >= 10


def test_reading_lists_what_stands_in_every_cell() -> None:
    env = Geometry(**KWARGS, ask="read")
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
        assert observation["text"] == "Read."
        assert len(said) == COLUMNS * ROWS
        for k, character in enumerate(said):
            row, column = divmod(k, COLUMNS)
            cell = observation["images"][0][row * CELL : row * CELL + CELL, column * CELL : column * CELL + CELL, 0]
            shown = [c for c in "0123456789x" if np.array_equal(cell, 255 - glyph_cell(c, CELL))]
            assert shown == ([] if character == "none" else [character])


def test_rows_say_what_stands_in_each_row_of_cells() -> None:
    env = Geometry(**KWARGS, thought="rows")
    env.reset(seed=0)
    thought = env.solve()[0].split("<think>")[1].split("</think>")[0]
    assert len(thought.split(": ")[0].split(", ")) == ROWS
