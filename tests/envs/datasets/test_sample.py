"""Synthetic pictures: their boxes, and that no two are the same."""

import numpy as np
import pytest

from envs.datasets.sample import scene


@pytest.mark.parametrize("objects", [1, 5, 24])
def test_every_box_holds_one_plain_thing_and_no_box_touches_another(objects: int) -> None:
    picture, boxes = scene("boxes", 3, objects)
    covered = np.zeros(picture.shape[:2], dtype=int)
    for x1, y1, x2, y2 in boxes:
        assert len(np.unique(picture[y1:y2, x1:x2].reshape(-1, 3), axis=0)) == 1
        covered[y1 - 1 : y2 + 1, x1 - 1 : x2 + 1] += 1
    assert len(boxes) == objects
    assert covered.max() == 1


def test_pictures_differ_by_name_and_by_number() -> None:
    seen = {scene(name, number, 4)[0].tobytes() for name in ("a", "b") for number in range(10)}
    assert len(seen) == 20
    assert np.array_equal(scene("a", 0, 4)[0], scene("a", 0, 4)[0])
