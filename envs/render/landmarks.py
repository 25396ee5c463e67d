"""Ships and buildings that can be told apart by what can be said of them: colours, numbers, kinds of roof."""

from __future__ import annotations

from .heraldry import TINCTURE, charge_mask
from .panel import INK, Colour, Panel
from .shapes import FINE

SKY: Colour = (205, 228, 246)
SEA: Colour = (52, 96, 132)
GRASS: Colour = (150, 178, 120)
CABIN: Colour = (240, 236, 222)
STONE: Colour = (226, 222, 210)
DARK = ("red", "green", "blue", "purple", "brown", "black", "gray")


def draw_ship(
    width: int, height: int, hull: str, funnels: int, funnel: str, flag: str, charge: str, shift: int
) -> Panel:
    """A steamer from the side, bow to the right. shift: -100 to 100, how far it lies from the middle."""
    panel = Panel(width, height, SKY)
    unit = min(width, height) * FINE  # the picture's side in fine units; all that follows is in thousandths of it

    def at(x: int, y: int) -> tuple[int, int]:
        return width * FINE // 2 + (x + shift) * unit // 1000, height * FINE // 2 + y * unit // 1000

    def box(left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        panel.box(*at(left, top), *at(right, bottom), colour)

    panel.box(0, at(0, 250)[1], width * FINE, height * FINE, SEA)
    box(-296, -330, -286, 60, INK)  # the mast that carries the flag
    box(-288, -330, -78, -160, INK)
    box(-282, -324, -84, -166, TINCTURE[flag])
    radius = 72 * unit // 1000
    x, y = at(-183, -245)
    panel.mask(x - radius, y - radius, charge_mask(charge, radius), TINCTURE["white" if flag in DARK else "black"])
    for k in range(funnels):
        left = -160 + k * 105
        box(left - 6, -146, left + 66, 0, INK)
        box(left, -140, left + 60, 0, TINCTURE[funnel])
        box(left, -140, left + 60, -112, INK)
    box(-236, -6, 266, 66, INK)
    box(-230, 0, 260, 60, CABIN)
    for k in range(7):
        panel.disc(*at(-190 + k * 68, 30), 13 * unit // 1000, SEA)
    panel.polygon([at(-348, 54), at(408, 54), at(318, 276), at(-288, 276)], INK)
    panel.polygon([at(-338, 62), at(394, 62), at(312, 268), at(-282, 268)], TINCTURE[hull])
    panel.box(0, at(0, 250)[1], width * FINE, at(0, 300)[1], SEA)
    return panel


def draw_building(
    width: int, height: int, wall: str, columns: int, roof: str, top: str, door: str, charge: str, shift: int
) -> Panel:
    """The front of a house with `columns` columns (2 to 6) under a "dome", a "gable" or a "spire"; shift: as above."""
    panel = Panel(width, height, SKY)
    unit = min(width, height) * FINE

    def at(x: int, y: int) -> tuple[int, int]:
        return width * FINE // 2 + (x + shift) * unit // 1000, height * FINE // 2 + y * unit // 1000

    def box(left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        panel.box(*at(left, top), *at(right, bottom), colour)

    panel.box(0, at(0, 350)[1], width * FINE, height * FINE, GRASS)
    if roof == "dome":
        panel.disc(*at(0, -80), 206 * unit // 1000, INK)
        panel.disc(*at(0, -80), 198 * unit // 1000, TINCTURE[top])
    elif roof == "gable":
        panel.polygon([at(-396, -72), at(396, -72), at(0, -306)], INK)
        panel.polygon([at(-370, -80), at(370, -80), at(0, -296)], TINCTURE[top])
    else:
        box(-98, -344, 98, -72, INK)
        box(-90, -336, 90, -80, TINCTURE[top])
        panel.polygon([at(-130, -330), at(130, -330), at(0, -450)], INK)
        panel.polygon([at(-114, -338), at(114, -338), at(0, -440)], TINCTURE[top])
    box(-358, -88, 358, 352, INK)
    box(-350, -80, 350, 350, TINCTURE[wall])
    box(-68, 112, 68, 350, INK)
    box(-60, 120, 60, 350, TINCTURE[door])
    radius = 72 * unit // 1000
    x, y = at(0, 20)
    panel.mask(x - radius, y - radius, charge_mask(charge, radius), TINCTURE["white" if wall in DARK else "black"])
    # As many columns as asked for, none before the door: an odd one out stands on the left.
    left = (columns + 1) // 2
    places = [-310 + k * 200 // max(left - 1, 1) for k in range(left)]
    places += [310 - k * 200 // max(left - 1, 1) for k in range(columns - left)]
    for x in places:
        box(x - 27, -42, x + 27, 350, INK)
        box(x - 20, -20, x + 20, 330, STONE)
    box(-390, 346, 390, 380, INK)
    box(-384, 352, 384, 374, STONE)
    return panel
