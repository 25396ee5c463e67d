"""What is remembered of an episode, and what it is worth."""

import numpy as np
import pytest

from envs.coding.episode import Progress, advise, clean, coding_reward, labels
from envs.core.actions import parse


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{'rotation90', 'dark'}", {"rotation90", "dark"}),
        ("[Blur]", {"blur"}),
        ("none", {"none"}),
        ("rotation 90", set()),
        ("darkness and sadness", set()),
        ("", set()),
        ("{'rotation90'" * 10_000, {"rotation90"}),
    ],
)
def test_labels_are_whole_words(text: str, named: set[str]) -> None:
    assert labels(text) == named


@pytest.mark.parametrize(
    ("accuracy", "form", "idle", "reward"),
    [
        (1.0, 1.0, False, 1.0),
        (1.0, 1.0, True, 0.9),
        (1.0, 0.5, False, 0.95),
        (0.0, 1.0, False, 0.1),
        (0.0, 1.0, True, 0.1),  # a program pays nothing where the answer is wrong
        (0.0, 0.0, False, 0.0),
        (0.5, 1.0, True, 0.5),
    ],
)
def test_a_program_pays_only_with_a_right_answer(accuracy: float, form: float, idle: bool, reward: float) -> None:
    assert coding_reward(accuracy, form, idle, 0.1, 0.1) == pytest.approx(reward)


def test_format_is_the_share_of_turns_in_the_strict_form() -> None:
    progress = Progress(np.zeros((1, 1, 3), dtype=np.uint8))
    assert progress.format == 0.0
    for text in ("<think>a</think><answer>b</answer>", "<answer>b</answer>", "x", "<think>a</think><answer>c</answer>"):
        progress = progress.after(parse(text))
    assert progress.format == 0.5


def test_what_a_model_said_is_bounded_and_can_be_stored() -> None:
    assert clean("a\ud800b") == "a?b"
    assert len(clean("x" * 100_000)) < 5000


def test_advice_does_not_tell_whether_it_is_right() -> None:
    assert advise(frozenset({"dark"})) == advise(frozenset({"blur", "crop"}))
    assert "names no problem" in advise(frozenset())
