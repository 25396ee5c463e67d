"""Boxes: how they are written and read in every convention, and how they are scored."""

import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.core.boxes import FORMATS, THRESHOLDS, Box, BoxFormat, from_argument, grounding_metrics, iou
from envs.core.errors import ArgumentError, ImageError
from envs.core.garbage import GARBAGE

PIXELS = FORMATS["pixels"]
EVERY = pytest.mark.parametrize("name", list(FORMATS))
# A picture that Qwen2.5-VL sees as 644 x 476.
WIDTH, HEIGHT = 640, 480


# Conventions, by hand.


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("pixels", "[64, 120, 320, 240]"),
        # 64 of 640 is 100 thousandths, 120 of 480 is 250.
        ("qwen2_vl", "<|box_start|>(100,250),(500,500)<|box_end|>"),
        ("qwen3_vl", '{"bbox_2d": [100, 250, 500, 500]}'),
        # 64 * 644 / 640 = 64.4, 120 * 476 / 480 = 119, 320 -> 322, 240 -> 238.
        ("qwen2_5_vl", "[64, 119, 322, 238]"),
    ],
)
def test_a_box_is_written_in_the_familys_unit_and_spelling(name: str, written: str) -> None:
    assert FORMATS[name].write(Box(64, 120, 320, 240), WIDTH, HEIGHT) == written


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("pixels", Box(100, 50, 200, 150)),
        ("qwen2_vl", Box(64, 24, 128, 72)),
        ("qwen3_vl", Box(64, 24, 128, 72)),
        ("qwen2_5_vl", Box(100 * 640 / 644, 50 * 480 / 476, 200 * 640 / 644, 150 * 480 / 476)),
    ],
)
def test_the_same_numbers_mean_the_place_that_the_unit_says(name: str, box: Box) -> None:
    assert FORMATS[name].read("[100, 50, 200, 150]", WIDTH, HEIGHT) == pytest.approx(box)


@EVERY
def test_every_spelling_is_read_in_every_unit(name: str) -> None:
    made = FORMATS[name]
    expected = made.read("[10, 20, 30, 40]", WIDTH, HEIGHT)
    assert expected is not None
    for text in (
        "[10,20,30,40]",
        " [ 10 , 20.0 ,\n30, 40 ] ",
        "The box is [10, 20, 30, 40].",
        '{"bbox_2d": [10, 20, 30, 40]}',
        '```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "a cat"}]\n```',
        "(10,20),(30,40)",
        "<|box_start|>(10,20),(30,40)<|box_end|>",
        "<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(10, 20), (30, 40)<|box_end|>",
    ):
        assert made.read(text, WIDTH, HEIGHT) == expected, text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10, 20, 30, 40",
        "[10, 20, 30]",
        "[10, 20, 30, 40, 50]",
        "[10, 20, 30, 40] or [50, 60, 70, 80]",
        "[10, 20, 30, 40] [10, 20, 30, 40]",
        "(10,20),(30,40),(50,60)",
        "(1,2) [10, 20, 30, 40]",
        "(10,20)",
        "[nan, 20, 30, 40]",
        "[inf, 20, 30, 40]",
        "[1e3, 20, 30, 40]",
        "[0x1, 20, 30, 40]",
        "[12345678, 20, 30, 40]",
        "[1., 20, 30, 40]",
        "[--1, 20, 30, 40]",
        "[٤, 20, 30, 40]",
        "[10 20 30 40]",
        '["10", "20", "30", "40"]',
    ],
)
def test_what_is_not_exactly_one_box_is_none(text: str) -> None:
    assert PIXELS.read(text, WIDTH, HEIGHT) is None


def test_nothing_is_repaired() -> None:
    assert PIXELS.read("[30, 40, 10, 20]", WIDTH, HEIGHT) == Box(30, 40, 10, 20)
    assert PIXELS.read("[-5, -6.5, 9999999, 20]", WIDTH, HEIGHT) == Box(-5, -6.5, 9_999_999, 20)


def corners(limit: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, limit - 1), st.integers(1, 400)).map(lambda p: (p[0], min(p[0] + p[1], limit)))


@EVERY
def test_what_is_written_is_read_again_within_half_a_unit(name: str) -> None:
    made = FORMATS[name]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(30, 900), st.integers(30, 900), st.data())
    def check(width: int, height: int, data: st.DataObject) -> None:
        (x1, x2), (y1, y2) = data.draw(corners(width)), data.draw(corners(height))
        box = Box(x1, y1, x2, y2)
        read = made.read(made.write(box, width, height), width, height)
        assert read is not None and not read.empty
        wide, high = made.units(width, height)
        # Half a unit of rounding, and one where a side had to be kept from vanishing.
        for ours, true, step in zip(read, box, (width / wide, height / high) * 2, strict=True):
            assert abs(ours - true) <= step * (1.0001 if (x2 - x1 < 2 or y2 - y1 < 2) else 0.5001)

    check()


@EVERY
def test_the_snapped_box_is_said_exactly(name: str) -> None:
    made = FORMATS[name]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(30, 900), st.integers(30, 900), st.data())
    def check(width: int, height: int, data: st.DataObject) -> None:
        (x1, x2), (y1, y2) = data.draw(corners(width)), data.draw(corners(height))
        box = Box(x1 + 0.3, y1 + 0.3, x2 + 0.3, y2 + 0.3)
        snapped = made.snap(box, width, height)
        assert iou(made.read(made.write(box, width, height), width, height), snapped) == 1.0
        assert made.snap(snapped, width, height) == pytest.approx(snapped)

    check()


@EVERY
@pytest.mark.parametrize("box", [Box(0, 0, 0, 0), Box(640, 480, 640, 480), Box(700, 500, 900, 600), Box(9, 9, 3, 3)])
def test_what_is_written_always_has_an_area_and_lies_inside(name: str, box: Box) -> None:
    made = FORMATS[name]
    wide, high = made.units(WIDTH, HEIGHT)
    written = made.write(box, WIDTH, HEIGHT).replace("bbox_2d", "")
    x1, y1, x2, y2 = (int(number) for number in re.findall("[0-9]+", written))
    assert 0 <= x1 < x2 <= wide and 0 <= y1 < y2 <= high


@EVERY
def test_the_prompt_tells_form_and_unit(name: str) -> None:
    text = FORMATS[name].describe(WIDTH, HEIGHT)
    unit = {"pixels": "640 pixels wide and 480 pixels high", "qwen2_5_vl": "644 pixels wide and 476 pixels high"}
    assert unit.get(name, "from 0 to 1000 relative") in text
    form = {"qwen2_vl": "<|box_start|>(x1,y1),(x2,y2)<|box_end|>", "qwen3_vl": '{"bbox_2d": [x1, y1, x2, y2]}'}
    assert form.get(name, "as [x1, y1, x2, y2]:") in text


# Any text.


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text(alphabet='[](),.-0123456789 ex{}"<|>'))
@example("[" + "9" * 8 + ", 1, 1, 1]")
def test_any_text_is_read_as_a_box_or_as_none(text: str) -> None:
    box = PIXELS.read(text, WIDTH, HEIGHT)
    assert box is None or all(map(math.isfinite, box))
    assert 0.0 <= iou(box, Box(0, 0, WIDTH, HEIGHT)) <= 1.0


@pytest.mark.parametrize(
    "text",
    [
        *GARBAGE.values(),
        "[" * 1_000_000,
        "[1," * 300_000,
        "(1,2)," * 200_000,
        "[1, 2, 3" + " " * 1_000_000 + "]",
        "[1, 2, 3, " + "9" * 1_000_000 + "]",
        "[1,2,3,4]" * 100_000,
    ],
)
def test_long_texts_are_read_in_linear_time(text: str) -> None:
    start = time.process_time()
    PIXELS.read(text, WIDTH, HEIGHT)
    assert time.process_time() - start < 3.0


# Scores.


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        # 5 x 10 in common, 100 + 100 - 50 in all.
        (Box(0, 0, 10, 10), Box(5, 0, 15, 10), 50 / 150),
        (Box(0, 0, 4, 4), Box(1, 1, 3, 3), 4 / 16),
        (Box(0, 0, 10, 10), Box(10, 0, 20, 10), 0.0),
        (Box(0, 0, 10, 10), Box(20, 20, 30, 30), 0.0),
        (Box(0, 0, 10, 10), Box(10, 10, 0, 0), 0.0),
        (Box(5, 5, 5, 5), Box(5, 5, 5, 5), 0.0),
        (Box(0, 0, 10, 0), Box(0, 0, 10, 10), 0.0),
        (Box(math.nan, 0, 10, 10), Box(0, 0, 10, 10), 0.0),
        (Box(-math.inf, -math.inf, math.inf, math.inf), Box(0, 0, 10, 10), 0.0),
        (Box(-1e300, -1e300, 1e300, 1e300), Box(0, 0, 10, 10), 0.0),
        (None, Box(0, 0, 10, 10), 0.0),
    ],
)
def test_intersection_over_union_by_hand(a: Box | None, b: Box, expected: float) -> None:
    assert iou(a, b) == expected == iou(b, a)


@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(0, 12)] * 4), st.tuples(*[st.integers(0, 12)] * 4))
def test_intersection_over_union_is_that_of_counted_pixels(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    def covered(box: tuple[int, ...]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    one, two = covered(a), covered(b)
    expected = len(one & two) / len(one | two) if one and two else 0.0
    assert iou(Box(*a), Box(*b)) == pytest.approx(expected)


def test_accuracy_counts_from_the_threshold_on() -> None:
    gold = Box(0, 0, 10, 10)
    half = grounding_metrics(Box(0, 0, 10, 5), gold)
    assert half == {
        "iou": 0.5,
        "accuracy_0.1": 1.0,
        "accuracy_0.3": 1.0,
        "accuracy_0.5": 1.0,
        "accuracy_0.75": 0.0,
        "accuracy_0.95": 0.0,
        "centre": 1.0,
    }
    assert grounding_metrics(Box(0, 0, 10, 4.99), gold)["accuracy_0.5"] == 0.0
    assert len(THRESHOLDS) == 5


@pytest.mark.parametrize(
    ("said", "centre"),
    [
        (Box(8, 8, 12, 12), 1.0),
        (Box(8, 8, 13, 12), 0.0),
        (Box(-100, -100, 110, 110), 1.0),
        (Box(6, 6, 4, 4), 0.0),
        (Box(math.nan, 0, 10, 10), 0.0),
        (None, 0.0),
    ],
)
def test_the_centre_counts_where_it_lies_in_the_gold_box(said: Box | None, centre: float) -> None:
    assert grounding_metrics(said, Box(0, 0, 10, 10))["centre"] == centre


@pytest.mark.parametrize("said", [None, Box(5, 5, 5, 9), Box(9, 9, 1, 1), Box(math.nan, 0, 1, 1)])
def test_no_box_and_an_empty_box_score_nothing(said: Box | None) -> None:
    assert set(grounding_metrics(said, Box(0, 0, 10, 10)).values()) == {0.0}


# Arguments.


def test_a_name_and_its_plain_data_are_the_same_format() -> None:
    plain = {"kind": "absolute_resized", "factor": 28, "min_pixels": 3136, "max_pixels": 12845056}
    assert from_argument(plain) == from_argument("qwen2_5_vl")
    assert from_argument({"kind": "pixels"}) == from_argument("pixels") == BoxFormat()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("auto", "replaced by the trainer"),
        ("llava", "boxes must be one of 'pixels', 'qwen2_vl'"),
        ({}, "a mapping with `kind`"),
        ({"kind": "pixels", "patch": 14}, "a mapping with `kind`"),
        ({"kind": "percent"}, "boxes.kind must be one of"),
        ({"kind": "pixels", "syntax": "xml"}, "boxes.syntax must be one of"),
        ({"kind": "pixels", "factor": 0}, "boxes.factor must be a whole number"),
        ({"kind": "pixels", "factor": True}, "boxes.factor must be a whole number"),
        ({"kind": "pixels", "min_pixels": 200, "max_pixels": 100}, "boxes.min_pixels must be a whole number"),
        (3, "boxes must be one of"),
        (None, "boxes must be one of"),
        (["pixels"], "boxes must be one of"),
    ],
)
def test_a_bad_format_is_refused_with_what_is_allowed(value: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        from_argument(value)  # type: ignore[arg-type]


def test_a_picture_that_the_processor_refuses_has_no_units() -> None:
    with pytest.raises(ImageError, match="1 x 300 pixels cannot be resized"):
        FORMATS["qwen2_5_vl"].units(1, 300)
    assert FORMATS["qwen2_vl"].units(1, 300) == (1000, 1000)
