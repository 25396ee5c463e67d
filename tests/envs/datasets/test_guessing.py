"""Guesses from the answers of a split."""

import numpy as np

from envs.datasets.guessing import Guesses

QUESTIONS = ["how many?", "how many?", "how many?", "which?", "how many?"]
ANSWERS = ["3", "4", "4", "3", "3"]
RNG = np.random.default_rng(0)


def test_the_constant_is_the_most_frequent_answer() -> None:
    assert {Guesses(QUESTIONS, ANSWERS).guess("constant", at, RNG) for at in range(5)} == {"3"}


def test_blind_takes_the_most_frequent_answer_of_the_others_with_the_same_question() -> None:
    guesses = Guesses(QUESTIONS, ANSWERS)
    # Without itself the first item sees 4, 4, 3, and the second 3, 4, 3. The fourth is asked once: the constant.
    assert [guesses.guess("blind", at, RNG) for at in range(5)] == ["4", "3", "3", "3", "4"]


def test_an_item_asked_once_is_not_given_away() -> None:
    guesses = Guesses(["a?", "b?", "c?"], ["1", "2", "2"])
    assert guesses.guess("blind", 0, RNG) == "2"


def test_random_draws_each_answer_that_occurs_as_often() -> None:
    guesses, rng = Guesses(QUESTIONS, ANSWERS), np.random.default_rng(1)
    drawn = [guesses.guess("random", 0, rng) for _ in range(400)]
    assert set(drawn) == {"3", "4"}
    assert abs(drawn.count("3") / 400 - 0.5) < 0.1
