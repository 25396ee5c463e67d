"""The two spaces."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.spaces import Images, UnicodeText

SPACES = [UnicodeText(100), UnicodeText(1), Images(3, 40), Images(1, 1), Images(4, 100, max_pixels=50)]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return len(a) == len(b) and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_lie_in_the_space(space: Any) -> None:
    space.seed(0)
    assert all(space.contains(space.sample()) for _ in range(100))


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_equal_seeds_give_equal_samples(space: Any) -> None:
    space.seed(7)
    first = [space.sample() for _ in range(5)]
    space.seed(7)
    assert all(same(a, space.sample()) for a in first)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_survive_json(space: Any) -> None:
    space.seed(1)
    samples = [space.sample() for _ in range(10)]
    back = space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples))))
    assert all(same(a, b) for a, b in zip(samples, back, strict=True))


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_space_equals_its_pickled_copy_and_no_other(space: Any) -> None:
    assert [other == space for other in SPACES].count(True) == 1
    assert pickle.loads(pickle.dumps(space)) == space


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_every_text_without_surrogates_is_a_member(text: str) -> None:
    assert UnicodeText(50).contains(text)


@pytest.mark.parametrize("stranger", ["a\ud800", "a" * 51, b"a", None, 4, ["a"]])
def test_surrogates_long_texts_and_other_types_are_no_members(stranger: Any) -> None:
    assert not UnicodeText(50).contains(stranger)


def picture(height: int, width: int, dtype: Any = np.uint8, channels: int = 3) -> Any:
    return np.zeros((height, width, channels), dtype=dtype)


@pytest.mark.parametrize(
    "stranger",
    [
        (picture(2, 2, np.float32),),
        (picture(2, 2, channels=4),),
        (picture(2, 2)[0],),
        (picture(9, 2),),
        (picture(2, 9),),
        (picture(0, 2),),
        (picture(1, 1),) * 4,
        (picture(8, 8), picture(7, 7)),
        [picture(2, 2)],
        picture(2, 2),
        None,
    ],
    ids=["float", "RGBA", "flat", "tall", "wide", "empty", "many", "pixels", "list", "array", "none"],
)
def test_pictures_beyond_the_limits_are_no_members(stranger: Any) -> None:
    assert not Images(max_images=3, max_side=8, max_pixels=100).contains(stranger)


def test_ragged_pictures_within_the_limits_are_members() -> None:
    assert Images(3, 8, 100).contains((picture(8, 1), picture(1, 8), picture(8, 8)))
    assert Images(3, 8, 100).contains(())
