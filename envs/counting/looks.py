"""What the pictures of Counting look like. A look makes a scene for objects whose names are given, and shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from ..core import arguments
from ..core.errors import ArgumentError
from ..core.spaces import Image
from ..render import clevr
from ..render.placing import place
from ..render.scene import Item, Painting, paint
from ..render.shapes import BACKGROUNDS, COLOURS, SHAPES
from .wording import CLEVR_ATTRIBUTES, CLEVR_QUESTIONS, FLAT_ATTRIBUTES, QUESTIONS

SIZES = ("large", "small")
MIN_RADIUS = 3  # pixels; smaller flat shapes cannot be told apart
MAX_OBJECTS = 64  # flat
MAX_SOLIDS = 20


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    items: `Item`s in painting order (later ones in front), or `Solid`s. view: camera and lights, of solids only.
    """

    items: tuple[Any, ...]
    view: Any = None


class Look(Protocol):
    """One way to draw.

    every: all values of each attribute; values: those that are used. order: what is named when all is described.
    positions: how many names that takes, 0 if as many as there are objects. most: of objects; usual: (fewest, most).
    """

    attributes: tuple[str, ...]
    questions: tuple[str, ...]
    noun: str
    order: str
    positions: int
    every: ClassVar[dict[str, tuple[str, ...]]]
    values: dict[str, tuple[str, ...]]
    width: int
    height: int
    most: int
    usual: tuple[int, int]

    def build(self, names: Sequence[tuple[str, ...]], rng: np.random.Generator) -> Scene | None:
        """A scene of objects with these names (a value for each attribute), or None: draw again."""

    def state(self, scene: Scene) -> bytes:
        """What decides the split."""

    def shows_all(self, scene: Scene) -> bool:
        """Whether enough of every object can be seen."""

    def picture(self, scene: Scene) -> Image:
        """uint8 (height, width, 3)."""

    def reading_order(self, scene: Scene) -> list[Any]:
        """The items in the order in which they are named, None for a place that is empty."""


class FlatLook:
    """Coloured shapes on a plain background, anywhere or in a grid."""

    attributes = FLAT_ATTRIBUTES
    questions = QUESTIONS
    noun = "shape"
    every: ClassVar[dict[str, tuple[str, ...]]] = {"size": SIZES, "colour": tuple(COLOURS), "shape": tuple(SHAPES)}
    usual = (5, 8)

    def __init__(
        self,
        *,
        layout: str | None = None,
        size: Sequence[int] | None = None,
        cells: int | None = None,
        cell_px: int | None = None,
        shapes: int | Sequence[str] | None = None,
        colours: int | Sequence[str] | None = None,
        sizes: int | Sequence[str] | None = None,
        max_overlap: float | None = None,
        background: str | None = None,
    ) -> None:
        self.layout = arguments.one_of("layout", "free" if layout is None else layout, ("free", "grid"))
        self.cells = arguments.whole("cells", 3 if cells is None else cells, 1, 8)
        self.cell_px = arguments.whole("cell_px", 28 if cell_px is None else cell_px, 12, 256)
        free_size = arguments.whole_pair("size", (224, 224) if size is None else size, 64, 2048)
        self.width, self.height = free_size if self.layout == "free" else (self.cells * self.cell_px,) * 2
        self.most = MAX_OBJECTS if self.layout == "free" else self.cells**2
        self.values = {
            "size": arguments.names("sizes", 2 if sizes is None else sizes, SIZES),
            "colour": arguments.names("colours", 6 if colours is None else colours, self.every["colour"]),
            "shape": arguments.names("shapes", 4 if shapes is None else shapes, self.every["shape"]),
        }
        self.max_overlap = arguments.real("max_overlap", 0.1 if max_overlap is None else max_overlap, 0.0, 0.5)
        self.background = arguments.one_of(
            "background", "white" if background is None else background, tuple(BACKGROUNDS)
        )
        grid = 'every cell, row by row, as in "red circle, none"'
        free = 'every object, from top to bottom, as in "red circle, blue square"'
        self.order, self.positions = (grid, self.cells**2) if self.layout == "grid" else (free, 0)
        side = min(self.width, self.height)
        # In a grid a large shape fills its cell but for a rim of one pixel in fourteen.
        self.radii = (
            {"large": max(side * 3 // 32, MIN_RADIUS), "small": max(side // 20, MIN_RADIUS)}
            if self.layout == "free"
            else {"large": self.cell_px * 3 // 7, "small": max(self.cell_px // 4, MIN_RADIUS)}
        )
        self._painted: tuple[Scene, Painting] | None = None

    def build(self, names: Sequence[tuple[str, ...]], rng: np.random.Generator) -> Scene | None:
        radii = [self.radii[size] for size, _, _ in names]
        if self.layout == "grid":
            chosen = rng.permutation(self.cells**2)[: len(names)].tolist()
            half = self.cell_px // 2
            centres = [(c % self.cells * self.cell_px + half, c // self.cells * self.cell_px + half) for c in chosen]
        else:
            found = place(radii, [colour for _, colour, _ in names], self.width, self.height, self.max_overlap, rng)
            if found is None:
                return None
            centres = found
        return Scene(
            tuple(
                Item(shape, colour, size, x, y, radius)
                for (size, colour, shape), radius, (x, y) in zip(names, radii, centres, strict=True)
            )
        )

    def state(self, scene: Scene) -> bytes:
        # Sorted, as objects that do not overlap make the same picture in any painting order.
        return repr(sorted((i.x, i.y, i.size, i.colour, i.shape) for i in scene.items)).encode()

    def shows_all(self, scene: Scene) -> bool:
        return min(self.paint(scene).visible, default=1.0) >= 1.0 - self.max_overlap

    def picture(self, scene: Scene) -> Image:
        return self.paint(scene).pixels

    def paint(self, scene: Scene) -> Painting:
        """The picture, and how much of each item can be seen; kept until another scene comes."""
        if self._painted is None or self._painted[0] is not scene:
            self._painted = (scene, paint(self.width, self.height, self.background, scene.items))
        return self._painted[1]

    def reading_order(self, scene: Scene) -> list[Any]:
        if self.layout == "free":
            return sorted(scene.items, key=lambda i: (i.y, i.x))
        by_cell = {(i.y // self.cell_px, i.x // self.cell_px): i for i in scene.items}
        return [by_cell.get((row, column)) for row in range(self.cells) for column in range(self.cells)]


class ClevrLook:
    """Cubes, spheres and cylinders of rubber and metal on the ground, in the look of CLEVR."""

    attributes = CLEVR_ATTRIBUTES
    questions = CLEVR_QUESTIONS
    noun = "thing"
    order = 'every object, from left to right, as in "large red metal cube, small blue rubber sphere"'
    positions = 0
    every: ClassVar[dict[str, tuple[str, ...]]] = {
        "size": clevr.SIZES,
        "colour": clevr.COLOURS,
        "material": clevr.MATERIALS,
        "shape": clevr.SHAPES,
    }
    most = MAX_SOLIDS
    usual = (5, 10)

    def __init__(
        self,
        *,
        size: Sequence[int] | None = None,
        shapes: int | Sequence[str] | None = None,
        colours: int | Sequence[str] | None = None,
        sizes: int | Sequence[str] | None = None,
        materials: int | Sequence[str] | None = None,
        min_visible: int | None = None,
        min_share: float | None = None,
    ) -> None:
        self.width, self.height = arguments.whole_pair("size", (320, 240) if size is None else size, 64, 1024)
        given = {"size": ("sizes", sizes), "colour": ("colours", colours)}
        given |= {"material": ("materials", materials), "shape": ("shapes", shapes)}
        self.values = {
            attribute: arguments.names(
                name, len(self.every[attribute]) if value is None else value, self.every[attribute]
            )
            for attribute, (name, value) in given.items()
        }
        self.min_visible = arguments.whole("min_visible", 100 if min_visible is None else min_visible, 0, 10_000)
        self.min_share = arguments.real("min_share", 0.3 if min_share is None else min_share, 0.0, 1.0)
        self._traced: tuple[Scene, clevr.Tracing] | None = None

    def build(self, names: Sequence[tuple[str, ...]], rng: np.random.Generator) -> Scene | None:
        view = clevr.draw_view(self.width, self.height, rng)
        solids = clevr.arrange([(a, b, c, d) for a, b, c, d in names], view.camera, rng)
        return None if solids is None else Scene(solids, view)

    def state(self, scene: Scene) -> bytes:
        # Without the view: the same arrangement seen from elsewhere belongs to the same split.
        return repr(sorted((i.x, i.y, i.turn, i.size, i.colour, i.material, i.shape) for i in scene.items)).encode()

    def shows_all(self, scene: Scene) -> bool:
        seen = self.trace(scene)
        least = self.min_visible * self.width * self.height / (320 * 240)
        return all(
            visible >= least and visible >= self.min_share * whole
            for visible, whole in zip(seen.visible, seen.whole, strict=True)
        )

    def picture(self, scene: Scene) -> Image:
        return clevr.picture(scene.view, scene.items, self.trace(scene))

    def trace(self, scene: Scene) -> clevr.Tracing:
        """What each sample shows; kept until another scene comes."""
        if self._traced is None or self._traced[0] is not scene:
            self._traced = (scene, clevr.trace(scene.view.camera, scene.items))
        return self._traced[1]

    def reading_order(self, scene: Scene) -> list[Any]:
        return sorted(scene.items, key=lambda i: scene.view.camera.pixel((i.x, i.y, i.half)))


LOOKS: dict[str, type[FlatLook] | type[ClevrLook]] = {"flat": FlatLook, "clevr": ClevrLook}


def make_look(look: str, given: dict[str, Any]) -> FlatLook | ClevrLook:
    """The look of this name with the arguments `given`, of which None stands for "not given".

    Raises:
        ArgumentError: an unknown look, an argument of the other look, or one out of range.
    """
    kind: Any = LOOKS[arguments.one_of("look", look, tuple(LOOKS))]
    taken = kind.__init__.__kwdefaults__
    foreign = [name for name, value in given.items() if value is not None and name not in taken]
    if foreign:
        raise ArgumentError(
            f"{foreign[0]}={given[foreign[0]]!r} has no meaning with look={look!r}; leave it out, or choose the other "
            f"look of {', '.join(map(repr, LOOKS))}. Arguments of {look!r}: {', '.join(taken)}"
        )
    made: FlatLook | ClevrLook = kind(**{name: value for name, value in given.items() if name in taken})
    return made
