"""The learning curve."""

import math
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from agent.report.curve import curve_in_words, draw_learning_curve, smoothed

ROWS = [
    {"name": name, "decoding": decoding, "value": 0.5, "low": 0.4, "high": 0.6}
    for name, decoding in (("constant", "none"), ("oracle", "none"), ("before", "greedy"), ("after", "greedy"))
]


def run_of(steps: int) -> list[dict[str, float]]:
    return [
        {"step": i, "reward": 0.1 * (i % 3), **({"validation": 0.5} if i % 50 == 0 else {})}
        for i in range(1, steps + 1)
    ]


@pytest.mark.parametrize("metrics", [run_of(1), run_of(350), [{"step": 3, "validation": 0.5}]])
def test_a_picture_is_drawn_on_white(metrics: list[dict[str, float]]) -> None:
    buffer = BytesIO()
    assert draw_learning_curve(metrics, {"rows": ROWS}, buffer)
    with Image.open(buffer) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255) and image.convert("L").getextrema()[0] < 100


@pytest.mark.parametrize("metrics", [[], [{"step": 1, "loss": 0.1}], [{"step": 1, "reward": math.nan}]])
def test_nothing_is_drawn_where_there_is_nothing_to_draw(metrics: list[dict[str, float]], tmp_path: Path) -> None:
    assert not draw_learning_curve(metrics, {"rows": []}, tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []


def test_rows_without_a_number_and_returns_beyond_1_are_drawn() -> None:
    rows = [
        {**ROWS[2], "value": math.nan, "low": math.nan, "high": math.nan},
        {**ROWS[3], "value": -40.0, "low": -50.0},
    ]
    assert draw_learning_curve([{"step": 1, "reward": -35.0}], {"rows": rows}, BytesIO())


def test_a_short_run_is_not_smoothed() -> None:
    assert smoothed([0.0, 1.0, 0.0]) == (1, [0.0, 1.0, 0.0])


def test_a_long_run_is_averaged_over_a_twentieth_of_it() -> None:
    window, means = smoothed([float(i % 2) for i in range(350)])
    assert window == 17 and len(means) == 350
    assert max(abs(mean - 0.5) for mean in means) < 0.06
    assert smoothed([3.0] * 350)[1] == [3.0] * 350


def test_the_curve_is_told_in_words() -> None:
    words = curve_in_words([{"step": 1, "reward": 0.25}, {"step": 2, "reward": 0.75, "validation": 0.5}])
    assert "0.25 at step 1, 0.75 at step 2" in words and "validation score: 0.50 at step 2" in words
