"""Where the objects of a scene are: their boxes in the picture, and the places that relations and ordinals compare."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..core.boxes import Box
from ..counting.looks import ClevrLook, FlatLook, Scene
from ..render import clevr
from ..render.scene import Item
from ..render.shapes import full_coverage
from .evaluate import Thing

GROUND = 100  # steps to a unit of length on the ground
GROUND_MARGIN = 40  # 0.4 units, as in CLEVR


def margin(look: FlatLook | ClevrLook) -> int:
    """From which difference on one object counts as left of another: a cell of a grid, a sixteenth of a free picture's
    shorter side (pixels), 0.4 units on the ground."""
    if isinstance(look, ClevrLook):
        return GROUND_MARGIN
    return look.cell_px if look.layout == "grid" else max(min(look.width, look.height) // 16, 4)


def things(scene: Scene, names: tuple[str, ...]) -> list[Thing]:
    """The objects with these attributes. x grows to the right and y downwards in the picture (pixels), or, of solids,
    to the right of the camera and towards it on the ground (hundredths)."""
    found = []
    for item in scene.items:
        x, y = (item.x, item.y) if scene.view is None else _on_ground(item, scene.view.camera)
        found.append(Thing({name: getattr(item, name) for name in names}, int(x), int(y)))
    return found


def _on_ground(solid: Any, camera: clevr.Camera) -> tuple[int, int]:
    right, away = (camera.right[0], camera.right[1]), (-camera.right[1], camera.right[0])
    return (
        round(GROUND * (solid.x * right[0] + solid.y * right[1])),
        -round(GROUND * (solid.x * away[0] + solid.y * away[1])),
    )


def box_of(item: Any, scene: Scene) -> Box:
    """The smallest box that holds the whole object, hidden parts included, in pixels.

    Of a flat shape: the pixels that it would paint alone. Of a solid: its outline, from its geometry.
    """
    if scene.view is not None:
        return Box(*clevr.box(scene.view.camera, item))
    return flat_box(item)


def flat_box(item: Item) -> Box:
    left, top = item.x - item.radius, item.y - item.radius
    x1, y1, x2, y2 = _extent(item.shape, item.radius)
    return Box(left + x1, top + y1, left + x2, top + y2)


@lru_cache(maxsize=512)
def _extent(shape: str, radius: int) -> tuple[int, int, int, int]:
    """The painted part of a shape's square, in pixels from the square's corner."""
    painted = full_coverage(shape, radius) > 0
    rows = [k for k, row in enumerate(painted) if row.any()]
    columns = [k for k, column in enumerate(painted.T) if column.any()]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def centre(item: Any, scene: Scene) -> tuple[float, float]:
    """The middle of the object in the picture, in pixels."""
    if scene.view is None:
        return item.x, item.y
    return scene.view.camera.pixel((item.x, item.y, item.half))
