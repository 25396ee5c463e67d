"""Where objects are: boxes from the geometry against those of the painted pixels."""

from typing import Any

import numpy as np
import pytest

from envs.grounding import Grounding
from envs.grounding.places import box_of, margin, things
from envs.render.scene import paint
from envs.render.shapes import BACKGROUNDS


@pytest.mark.parametrize(
    "kwargs",
    [
        {"shapes": 7, "colours": 10, "objects": (9, 12)},
        {"layout": "grid", "cell_px": 14},
        {"max_overlap": 0.3, "shapes": 7, "objects": (12, 14)},
        {"background": "black"},
    ],
    ids=["free", "grid", "overlapping", "black"],
)
def test_the_box_of_a_shape_is_that_of_the_pixels_it_paints_alone(kwargs: dict[str, Any]) -> None:
    env = Grounding(**kwargs)
    for seed in range(6):
        env.reset(seed=seed)
        scene, look = env.task.world.scene, env.look
        for item in scene.items:
            alone = paint(env.width, env.height, look.background, (item,)).pixels
            rows, columns = np.nonzero((alone != BACKGROUNDS[look.background]).any(axis=2))
            painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert box_of(item, scene) == painted


def test_the_box_of_a_solid_holds_every_pixel_that_shows_it_and_hardly_more() -> None:
    env = Grounding(look="clevr", size=(160, 120), min_share=1.0, min_visible=0, objects=(6, 6))
    env.reset(seed=0)
    scene = env.task.world.scene
    for number, item in enumerate(scene.items):
        rows, columns = np.nonzero(env.look.trace(scene).mask(number))
        shown = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        for edge, pixel in zip(box_of(item, scene), shown, strict=True):
            assert abs(edge - pixel) < 1.5


def test_places_on_paper_are_pixels_and_on_the_ground_hundredths_seen_from_the_camera() -> None:
    env = Grounding()
    env.reset(seed=0)
    scene = env.task.world.scene
    assert [(t.x, t.y) for t in things(scene, ("colour",))] == [(i.x, i.y) for i in scene.items]
    assert margin(env.look) == 14
    assert margin(Grounding(layout="grid", cell_px=20).look) == 20
    solids = Grounding(look="clevr", size=(64, 64), min_visible=0)
    solids.reset(seed=0)
    scene = solids.task.world.scene
    camera = scene.view.camera
    seen = things(scene, ("colour",))
    # Further back on the ground means farther from the camera, at any height.
    depths = [camera.relative((i.x, i.y, 0.0))[2] for i in scene.items]
    assert [k for _, k in sorted((t.y, -d) for t, d in zip(seen, depths, strict=True))] == sorted(-d for d in depths)
    for t, item in zip(seen, scene.items, strict=True):
        offset = (item.x, item.y, 0.0)
        assert t.x == round(100 * sum(a * b for a, b in zip(offset, camera.right, strict=True)))
    assert margin(solids.look) == 40
