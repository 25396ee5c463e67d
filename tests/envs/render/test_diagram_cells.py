"""Sketches on cells: characters where there is room, nothing where there is none."""

from envs.render.diagram_cells import Sketch, draw_cells

CROSS = ((0, 35, 83, 35), (42, 0, 42, 69))


def test_a_label_takes_the_free_cell_nearest_to_its_place() -> None:
    drawing = draw_cells(Sketch((), (("7", 21, 35), ("12", 70, 7))), 6, 5)
    assert drawing is not None
    assert drawing.cells == ((1, 2), (4, 0))
    assert drawing.pixels.shape == (70, 84, 3)


def test_a_label_avoids_cells_with_many_lines() -> None:
    drawing = draw_cells(Sketch(((0, 35, 83, 35), (0, 31, 83, 31), (0, 39, 83, 39)), (("7", 21, 35),)), 6, 5)
    assert drawing is not None
    assert drawing.cells[0][1] != 2


def test_without_room_there_is_no_drawing() -> None:
    labels = tuple(("123", 42, 35) for _ in range(6))
    assert draw_cells(Sketch(CROSS, labels), 6, 5) is None
    assert draw_cells(Sketch((), (("1234567", 42, 35),)), 6, 5) is None


def test_lines_are_drawn_where_no_label_is() -> None:
    drawing = draw_cells(Sketch(CROSS, (("7", 7, 7),)), 6, 5)
    assert drawing is not None
    assert (drawing.pixels[35, 2:80] < 128).all()
    assert (drawing.pixels[2:68, 42] < 128).all()
    assert (drawing.pixels[20, 20] == 255).all()
