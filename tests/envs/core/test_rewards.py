"""Scorers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.actions import parse
from envs.core.rewards import exact_integer, format_score, share_right, weighted


@pytest.mark.parametrize("said", ["4", " 4\n", "+4", "04"])
def test_the_integer_in_any_plain_spelling_is_right(said: str) -> None:
    assert exact_integer(said, 4) == 1.0


@pytest.mark.parametrize("said", ["", "5", "-4", "4.0", "four", "\u0664", "4 4", "0x4", "4e0", "9" * 10_000, "nan"])
def test_anything_else_is_wrong(said: str) -> None:
    assert exact_integer(said, 4) == 0.0


@settings(deadline=None)
@given(st.text(), st.integers(0, 9))
def test_a_score_is_zero_or_one_for_any_text(said: str, gold: int) -> None:
    assert exact_integer(said, gold) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("red circle, none, blue square", 1.0),
        ("Red  circle,none ,  blue square", 1.0),
        ("red circle, none", 2 / 3),
        ("none, red circle, blue square", 1 / 3),
        ("red circle, none, blue square, none", 3 / 4),
        ("", 0.0),
    ],
)
def test_the_share_counts_positions(said: str, share: float) -> None:
    assert share_right(said, ["red circle", "none", "blue square"]) == pytest.approx(share)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "none"]), min_size=1, max_size=6), st.lists(st.sampled_from(["a", "b"])))
def test_only_the_gold_list_has_a_share_of_one(gold: list[str], said: list[str]) -> None:
    assert (share_right(", ".join(said), gold) == 1.0) == (gold == said)


def test_the_format_score_follows_the_strict_form() -> None:
    assert format_score(parse("<think>a</think><answer>b</answer>")) == 1.0
    assert format_score(parse("<answer>b</answer>")) == 0.0
    assert format_score(parse("")) == 0.0


@settings(deadline=None)
@given(st.floats(0, 0.5))
def test_all_right_is_exactly_one_and_all_wrong_exactly_zero(weight: float) -> None:
    assert weighted(1.0, 1.0, weight) == 1.0
    assert weighted(0.0, 0.0, weight) == 0.0
    assert weighted(0.0, 1.0, weight) == pytest.approx(weight)
    assert weighted(1.0, 0.0, weight) == pytest.approx(1 - weight)
