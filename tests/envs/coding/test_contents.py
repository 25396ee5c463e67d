"""What is written: every answer is printed, once among what the question could mean."""

import numpy as np
import pytest

from envs.coding.contents import KINDS, Author, write
from envs.coding.tiny import DIGITS


def cells(kind: str, seed: int) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    written = write(kind, np.random.default_rng(seed))
    return [cell for line in written.document.lines for cell in line.cells], written.questions


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_printed(kind: str) -> None:
    for seed in range(25):
        printed, questions = cells(kind, seed)
        for question, answer in questions:
            found = [p for p in printed if answer in (p, p.removeprefix("Date: "), *p.split(" - "))]
            assert found, (question, answer, printed)


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_questions_are_the_same_and_no_two_answers_of_like_questions(kind: str) -> None:
    for seed in range(25):
        _, questions = cells(kind, seed)
        assert len({q for q, _ in questions}) == len(questions)
        # Questions with the same first two words ask for values of one column or sort.
        by_start: dict[tuple[str, ...], list[str]] = {}
        for question, answer in questions:
            by_start.setdefault(tuple(question.split()[:2]), []).append(answer)
        assert all(len(set(answers)) == len(answers) for answers in by_start.values()), questions


def test_a_receipt_adds_up() -> None:
    for seed in range(25):
        written = write("receipt", np.random.default_rng(seed))
        rows = [line.cells[1] for line in written.document.lines if line.style == "row"]
        cents = sum(int(price.replace(".", "")) for price in rows)
        assert dict(written.questions)["What is the total?"] == f"{cents // 100}.{cents % 100:02d}"


def test_a_shop_closes_after_it_opens() -> None:
    for seed in range(25):
        written = write("hours", np.random.default_rng(seed))
        for line in written.document.lines[1:]:
            opens, closes = line.cells[1].split(" - ")
            assert opens < closes


def test_papers_are_neither_white_nor_inks_black() -> None:
    for kind in KINDS:
        for seed in range(10):
            look = write(kind, np.random.default_rng(seed)).document.look
            # So that a pixel that is one of the two was spoilt, even in a picture of a tenth of the contrast.
            assert max(look.paper) <= 245 and min(look.ink) >= 10


def test_documents_of_a_kind_differ() -> None:
    for kind in KINDS:
        assert len({str(cells(kind, seed)) for seed in range(20)}) == 20


def test_a_tiny_document_begins_with_the_digit_of_its_kind() -> None:
    for first, kind in enumerate(DIGITS):
        written = DIGITS[kind](Author(np.random.default_rng(first)))
        digits = written.document.lines[0].cells
        assert len(digits) == 3 and digits[0] == str(first)
        assert written.questions == (("What number?", " ".join(digits)),)
