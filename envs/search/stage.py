"""What a picture shows beside what is asked about: other bars, other towns, where things stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.spaces import Image
from ..render.bar_chart import draw_bars
from ..render.heraldry import draw_emblem
from ..render.landmarks import draw_building, draw_ship
from ..render.panel import Panel
from ..render.shapes import FINE
from ..render.signs import draw_board
from ..render.symbols import draw_symbols
from ..render.town_map import draw_map
from .looks import Building, Emblem, Ship
from .relations import BARS
from .world import Entity, World

_FRAMES = {"town": "shield", "company": "disc", "team": "pentagon"}
_BOARDS = {
    "town": ("sign", ("Welcome to", "You enter", "Town of")),
    "person": ("plaque", ("In this house lived", "In memory of", "Here worked")),
    "river": ("sign", ("Bridge over", "You are crossing", "Nature reserve")),
    "company": ("sign", ("Works entrance", "Visitors please report", "Main office")),
    "museum": ("ticket", ("Admit one", "Day ticket", "Reduced price")),
    "team": ("ticket", ("Season ticket", "Home match", "Stand B")),
    "ship": ("ticket", ("Boarding pass", "Second class", "Return passage")),
}
_BACKGROUNDS = ((255, 255, 255), (238, 240, 244), (250, 246, 236))


@dataclass(frozen=True)
class Stage:
    """Everything that the picture of an episode depends on. names: those that can be read in it, in the order in which
    a description gives them. bar: which bar is meant, in a chart. drawn: the numbers of the drawing."""

    picture: str
    entity: Entity
    names: tuple[str, ...] = ()
    bar: str = ""
    drawn: tuple[Any, ...] = ()


def set_stage(picture: str, entity: Entity, world: World, size: tuple[int, int], rng: np.random.Generator) -> Stage:
    """Draw all that is free about a picture of this entity."""
    width, height = size
    if picture == "chart":
        return _chart(entity, world, rng)
    if picture == "map":
        return _map(entity, world, width, height, rng)
    if picture == "text":
        return Stage(picture, entity, (entity.name,), drawn=(int(rng.integers(3)),))
    # An emblem or a scene: where it stands and, for an emblem, how large.
    return Stage(picture, entity, drawn=(int(rng.integers(-80, 81)), int(rng.integers(80, 101)), int(rng.integers(3))))


def set_tiny_stage(entity: Entity, cells: int, rng: np.random.Generator) -> Stage:
    """The entity's symbol in one to four cells of the raster."""
    copies = 1 + int(rng.integers(min(4, cells * cells)))
    places = sorted(rng.permutation(cells * cells)[:copies].tolist())
    return Stage("emblem", entity, drawn=tuple((cell, entity.name) for cell in places))


def set_tiny_crowd(entity: Entity, world: World, cells: int, rng: np.random.Generator) -> Stage:
    """Entities all over the raster, for who learns to see: two cells in three are taken."""
    every = world.of_kind(entity.kind)
    taken = sorted(rng.permutation(cells * cells)[: max(2 * cells * cells // 3, 1)].tolist())
    return Stage("emblem", entity, drawn=tuple((cell, every[int(rng.integers(len(every)))].name) for cell in taken))


def _others(entity: Entity, world: World, count: int, rng: np.random.Generator) -> list[str]:
    """Names of other entities of the kind. The next in the list comes first: it may differ in one letter."""
    every = world.of_kind(entity.kind)
    at = [e.id for e in every].index(entity.id)
    near = [every[(at + step) % len(every)].name for step in (1, -1)]
    rest = [e.name for e in every if e.name not in (entity.name, *near)]
    found = [near[int(rng.integers(2))], *(rest[k] for k in rng.permutation(len(rest))[: count - 1].tolist())]
    return [found[k] for k in rng.permutation(count).tolist()]


def _chart(entity: Entity, world: World, rng: np.random.Generator) -> Stage:
    count, bar = 3 + int(rng.integers(3)), BARS[int(rng.integers(2))]
    # Lengths at least eight hundredths apart: which is the longest can be seen.
    lengths = [24 + 15 * k + int(rng.integers(8)) for k in range(count)]
    order = rng.permutation(count).tolist()
    extreme = lengths[-1] if bar == "longest" else lengths[0]
    others = iter(_others(entity, world, count - 1, rng))
    rows = [(entity.name if lengths[k] == extreme else next(others), lengths[k]) for k in order]
    names = tuple(name for name, _ in sorted(rows, key=lambda row: -row[1]))
    return Stage("chart", entity, names, bar, (tuple(rows), int(rng.integers(8))))


def _map(entity: Entity, world: World, width: int, height: int, rng: np.random.Generator) -> Stage:
    count = 4 + int(rng.integers(3))
    slots = [(column, row) for row in range(3) for column in range(2)]
    chosen = sorted(rng.permutation(6)[:count].tolist(), key=lambda k: (slots[k][1], slots[k][0]))
    coast = width // 16 + int(rng.integers(width // 16))
    land = width - coast
    places = []
    for k in chosen:
        column, row = slots[k]
        x = land * (2 * column + 1) // 4 + int(rng.integers(-land // 30, land // 30 + 1))
        y = height * (4 * row + 2) // 13 + height // 12 + int(rng.integers(-height // 40, height // 40 + 1))
        places.append((x, y))
    marked = int(rng.integers(count))
    names = _others(entity, world, count - 1, rng)
    names.insert(marked, entity.name)
    river = tuple((land * k // 4, height * int(rng.integers(10, 95)) // 100) for k in range(5))
    listed = (names[marked], *(name for k, name in enumerate(names) if k != marked))
    return Stage("map", entity, listed, drawn=(tuple(names), tuple(places), marked, river, coast))


def draw(stage: Stage, size: tuple[int, int]) -> Image:
    """uint8 (height, width, 3): the picture."""
    width, height = size
    entity, look = stage.entity, stage.entity.look
    if stage.picture == "chart":
        rows, first_colour = stage.drawn
        return draw_bars(width, height, [n for n, _ in rows], [length for _, length in rows], first_colour).pixels()
    if stage.picture == "map":
        return draw_map(width, height, *stage.drawn).pixels()
    if stage.picture == "text":
        board, headings = _BOARDS[entity.kind]
        return draw_board(width, height, board, headings[stage.drawn[0]], entity.name).pixels()
    shift, scale, behind = stage.drawn
    if isinstance(look, Ship):
        return draw_ship(width, height, look.hull, look.funnels, look.funnel, look.flag, look.charge, shift).pixels()
    if isinstance(look, Emblem):
        panel = Panel(width, height, _BACKGROUNDS[behind])
        half = min(width, height) * FINE * scale // 220
        x = width * FINE // 2 + (width * FINE // 2 - half) * shift // 100
        draw_emblem(
            panel,
            _FRAMES[entity.kind],
            x,
            height * FINE // 2,
            half,
            look.division,
            look.first,
            look.second,
            look.charge,
            look.colour,
            look.count,
        )
        return panel.pixels()
    if isinstance(look, Building):
        return draw_building(
            width, height, look.wall, look.columns, look.roof, look.top, look.door, look.charge, shift
        ).pixels()
    raise ValueError(f"{entity.id} has no look to be drawn")


def draw_tiny(stage: Stage, cells: int, cell_px: int) -> Image:
    """uint8 (cells * cell_px, cells * cell_px, 3): the raster."""
    symbols = {cell: (name.partition(" ")[0], name.partition(" ")[2]) for cell, name in stage.drawn}
    return draw_symbols(cells, cell_px, symbols)


def described(stage: Stage) -> tuple[str, ...]:
    """What there is to see, position by position: the names that can be read, or the parts of a look."""
    return stage.names if stage.entity.look is None or stage.names else stage.entity.look.parts()
