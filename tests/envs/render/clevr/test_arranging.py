"""Arranging: solids keep their distance and stay in the picture."""

from itertools import combinations

import numpy as np
import pytest

from envs.render.clevr import COLOURS, MATERIALS, SHAPES, SIZES, arrange, box, draw_view
from envs.render.clevr.arranging import RIM


def looks(n: int, rng: np.random.Generator) -> list[tuple[str, str, str, str]]:
    pick = [tuple(v[int(rng.integers(len(v)))] for v in (SIZES, COLOURS, MATERIALS, SHAPES)) for _ in range(n)]
    return [(a, b, c, d) for a, b, c, d in pick]


@pytest.mark.parametrize(("gap", "margin"), [(0.25, 0.0), (0.5, 0.4)])
def test_solids_keep_their_distance_and_stay_in_the_picture(gap: float, margin: float) -> None:
    arranged, least, narrowest = 0, [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        camera = draw_view(320, 240, rng).camera
        wanted = looks(6, rng)
        solids = arrange(wanted, camera, rng, gap=gap, margin=margin)
        if solids is None:
            continue
        arranged += 1
        assert [(s.size, s.colour, s.material, s.shape) for s in solids] == wanted
        assert all(box(camera, s).inside(320, 240, RIM) for s in solids)
        for a, b in combinations(solids, 2):
            least.append(((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5 - a.radius - b.radius)
            right = (a.x - b.x) * camera.right[0] + (a.y - b.y) * camera.right[1]
            away = (a.y - b.y) * camera.right[0] - (a.x - b.x) * camera.right[1]
            narrowest.append(min(abs(right), abs(away)))
    assert arranged > 20
    assert gap <= min(least) < gap + 0.2
    assert min(narrowest) >= margin
    assert (min(narrowest) < 0.1) == (margin == 0.0)


def test_only_cubes_are_turned_and_places_are_whole_steps() -> None:
    rng = np.random.default_rng(0)
    camera = draw_view(320, 240, rng).camera
    turns: dict[str, set[float]] = {shape: set() for shape in SHAPES}
    for _ in range(20):
        for solid in arrange(looks(5, rng), camera, rng) or ():
            turns[solid.shape].add(solid.turn)
            assert all(float(v * 1024).is_integer() for v in (solid.x * 1, solid.y * 1, solid.turn))
    assert turns["sphere"] == turns["cylinder"] == {0.0}
    assert len(turns["cube"]) > 10


def test_where_there_is_no_room_nothing_is_arranged() -> None:
    rng = np.random.default_rng(0)
    camera = draw_view(320, 240, rng).camera
    assert arrange([("large", "red", "metal", "cube")] * 40, camera, rng) is None
