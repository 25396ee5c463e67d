"""Predictions in the released formats of MAT-Search and MAT-Coding, scored as published: what comes out is what the
rules of the published evaluation code give, worked by hand, to the last digit."""

# ruff: noqa: RUF001, RUF003  (characters that look like others are what these tests are about)

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from envs.core.text_match import exact_match, f1
from envs.scoring.suites import score_file
from envs.scoring.tally import Result
from tests.oracle.text_match import published

CLOSE = 1e-9


@dataclass(frozen=True)
class Case:
    """An answer, its golds, and what it is worth. F1 is 2c / (p + g): c common tokens of p said and g of the gold."""

    said: str | None
    golds: str | list[str]
    f1: Fraction
    exact: int = 0

    @property
    def all_golds(self) -> list[str]:
        return [self.golds] if isinstance(self.golds, str) else self.golds


def right(said: str, golds: str | list[str]) -> Case:
    return Case(said, golds, Fraction(1), 1)


def wrong(said: str | None, golds: str | list[str]) -> Case:
    return Case(said, golds, Fraction(0))


def partly(said: str, golds: str | list[str], top: int, below: int) -> Case:
    return Case(said, golds, Fraction(top, below))


SEARCH = [
    right("Play well", "Play well."),  # punctuation
    right("the Statue of Liberty", "Statue of Liberty"),  # an article
    right("MICKEY MOUSE", "Mickey Mouse"),
    right("ÉCOLE", "école"),
    wrong("STRASSE", "straße"),  # lower case is not case folding
    right("U.S.A.", "USA"),
    right("co-founder", "cofounder"),
    wrong("co-founder", "co founder"),  # {cofounder} against {co, founder}
    right("x_y", "xy"),
    right("1,866", "1866"),
    right("8.5", "85"),  # the point is punctuation
    right("-3", "3"),  # the minus too
    right("50%", "50"),
    right("$20,689", "20689"),
    wrong("2–3", "23"),  # an en dash is not
    partly("0 °C", "0 degrees Celsius", 2 * 1, 2 + 3),  # {0, °c} against {0, degrees, celsius}
    partly("Natsume Soseki", "Natsume Sōseki", 2 * 1, 2 + 2),
    wrong("“Moby-Dick”", "Moby-Dick"),  # “mobydick”: only ASCII punctuation is dropped
    partly("‘the’ sea", "sea", 2 * 1, 3 + 1),  # ‘, ’, sea: the article goes, the quotation marks stay
    right("a.n. other", "other"),  # punctuation goes first, and leaves an article
    right("t-h-e end", "end"),
    partly("theatre", "re theatre", 2 * 1, 1 + 2),  # no article inside of a word
    right("A", "the"),  # nothing is left of either
    right("!!!", "..."),
    right("", "a"),
    right("the a an", ["x", "The"]),
    wrong("", "cat"),
    wrong("the", "cat"),
    wrong("a", "a cat"),  # {} against {cat}
    wrong(None, "cat"),
    wrong(None, "a"),  # null is not the empty answer
    wrong("Peter", ""),  # a gold that is blank, as one of the published ones
    right("the", ""),
    right("yes", "Yes"),
    wrong("No.", "Yes"),
    partly("Yes, it was.", "Yes", 2 * 1, 3 + 1),
    partly("yes no", "no", 2 * 1, 2 + 1),
    partly("it is 42", "42.", 2 * 1, 3 + 1),
    partly("new york new york", "new york", 2 * 2, 4 + 2),  # common: {new, york}, counted once each
    partly("new york new york", "New York New York City", 2 * 2, 4 + 5),
    partly("cat a cat", "cat", 2 * 1, 2 + 1),
    right("new new", "new new"),  # 2 * 1 / (2 + 2), but it is exact
    right("new new", ["new", "new new"]),
    partly("new new", ["new", "old"], 2 * 1, 2 + 1),
    partly("Light blue", ["aquamarine", "blue sky", "light blue shade"], 2 * 2, 2 + 3),  # the best gold
    partly("  London ,\tRiver\nThames ", "London, Thames", 2 * 2, 3 + 2),
    right("\u00a0Paris", "paris\u3000"),  # blanks of every kind
    partly("Termites and ants", "Ants or termites", 2 * 2, 3 + 3),
    right("北京", "北京"),
    wrong("北京市", "北京"),  # words, in MAT-Search
    wrong("北京 大学", "北京大学"),
    wrong("北京。", "北京"),
]

CODING = [
    right("软件工程", "软件工程"),
    right("软件工程。", "软件工程"),
    right("软件 工程", "软件工程"),  # spaces go
    partly("软件\n工程", "软件工程", 2 * 4, 5 + 4),  # no other blank does
    partly("软件\u3000工程", "软件工程", 2 * 4, 5 + 4),
    partly("折旧和摊销", "折旧及摊销", 2 * 4, 5 + 5),
    wrong("对", "错"),
    partly("是的", "是", 2 * 1, 2 + 1),
    partly("哈哈哈", "哈", 2 * 1, 3 + 1),  # common: {哈}, counted once
    right("哈哈", "哈哈"),  # 2 * 1 / (2 + 2), but it is exact
    partly("哈哈好", "哈好好", 2 * 2, 3 + 3),
    partly("11元", "1元", 2 * 2, 3 + 2),
    right("ABC公司", "abc公司"),
    partly("the公司", "公司", 2 * 2, 5 + 2),  # an article stays beside Chinese
    partly("a 公司", "公司", 2 * 2, 3 + 2),
    partly("apple", "苹果apple", 2 * 4, 5 + 7),  # characters for both: {a, p, l, e}
    wrong("red apple", "红"),
    partly("the red", "红 r e d", 2 * 3, 3 + 4),  # said without Chinese it loses the article: r, e, d
    partly("new red", "红wred", 2 * 4, 7 + 5),  # n, e, w, blank, r, e, d: {w, e, r, d}
    partly("日本の国", "日本国", 2 * 3, 4 + 3),
    partly("TGR 5268 沁和园", "TGR\n沁和园\n5268", 2 * 10, 10 + 12),  # two line breaks are tokens
    wrong("㐀", "㐀㐁"),  # outside of U+4E00 to U+9FFF: words
    right("金额：贰元整", "{'金额': '贰元整'}"),
    right("《红楼梦》", "红楼梦"),
    partly("「红楼梦」", "红楼梦", 2 * 3, 5 + 3),  # these brackets are not in the list
    partly("红楼梦……", "红楼梦", 2 * 3, 5 + 3),
    right("“yes”", "yes"),  # Chinese punctuation goes from any text here
    wrong("、", "软"),
    right("。", "A"),  # nothing is left of either
    right("", "A"),
    right("the", "A"),
    wrong("B", "A"),
    wrong(None, "A"),
    wrong("１２", "12"),
    wrong("３．５", "35"),  # ３５, whose digits are others
    wrong("A、B、C", "ABCD"),
    right("Under", "under"),
    right("U-TURN", "UTURN"),
    right("72.7%", "72.7"),
    right("7.5", "75"),
    right("$20,689", ["20", "$ 20689"]),
    partly("51 (51.0%)", ["51", "51.0%", "51%"], 2 * 1, 2 + 1),  # {51, 510}
    # Six words: 2 of 5 with the first gold, 2 of 2 with the second, 1 of 2 with the third.
    partly("No orders have been placed yet.", ["have not ordered anything yet", "no orders", "no order"], 2 * 2, 6 + 2),
    partly("GREAT TASTE", "KOKO\nGREAT\nTASTE", 2 * 2, 2 + 3),
    wrong("SIZE 3", "SIZE\\n3"),  # a written line break is a word: sizen3
]

BOTH = [*((case, False) for case in SEARCH), *((case, True) for case in CODING)]


@pytest.mark.parametrize(("case", "chinese"), BOTH)
def test_an_answer_is_worth_what_was_worked_out_by_hand(case: Case, chinese: bool) -> None:
    assert f1(case.said, case.all_golds, "faithful", chinese) == pytest.approx(float(case.f1), abs=CLOSE)
    assert exact_match(case.said, case.all_golds, "faithful", chinese) == case.exact


@pytest.mark.parametrize(("case", "chinese"), BOTH)
def test_the_slow_reference_agrees_with_what_was_worked_out_by_hand(case: Case, chinese: bool) -> None:
    assert published(case.said, case.all_golds, chinese) == (case.f1, case.exact)


PIECES = [
    *("a", "an", "The", "cat", "Cat", "cat", "dog-house", "U.S.", "8.5", "85", "-3", "yes", "No", "é", "É", "ß", "x_y"),
    *("软件", "工程", "软", "哈", "の", "㐀", "１２", "，", "。", "“", "”", "‘", "’", "「", "…", "：", "《", "°", "–"),
    *(" ", "  ", "\n", "\t", "\u3000", "\u00a0", ".", "!", "$", "\\n", "'", "\u0301"),
]


@pytest.mark.parametrize("chinese", [False, True])
def test_it_agrees_with_the_slow_reference_on_any_mixture(chinese: bool) -> None:
    dice = random.Random(0)
    seen: set[Fraction] = set()
    for _ in range(6000):
        some = [*dice.choices(PIECES, k=4), *[" "] * 4]  # few, so that answers have something in common
        said, *golds = ["".join(dice.choices(some, k=dice.randrange(14))) for _ in range(dice.choice((2, 2, 3)))]
        value, exact = published(said, golds, chinese)
        assert f1(said, golds, "faithful", chinese) == pytest.approx(float(value), abs=CLOSE), (said, golds)
        assert exact_match(said, golds, "faithful", chinese) == exact, (said, golds)
        seen.add(value)
    assert len(seen) > 10  # the mixtures are neither all alike nor all different


def scored(tmp_path: Path, suite: str, rows: Sequence[dict[str, Any]]) -> Result:
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=4), "utf-8")
    return score_file(suite, path, "faithful")


def figures(result: Result) -> list[tuple[str, int, float, float]]:
    return [(group.name, group.n, group.metrics["f1"], group.metrics["exact_match"]) for group in result.groups]


def expected(name: str, cases: Sequence[Case], divisor: int) -> tuple[str, int, Any, Any]:
    """A row of the table: sums over what is there, whatever it is divided by."""
    value = float(sum((case.f1 for case in cases), Fraction(0)) / divisor)
    exact = sum(case.exact for case in cases) / divisor
    return name, divisor, pytest.approx(value, abs=CLOSE), pytest.approx(exact, abs=CLOSE)


def test_a_file_of_mat_search_gives_the_means_of_both_halves(tmp_path: Path) -> None:
    simple = [*SEARCH[:30], *[wrong(None, "Yes")] * 20, *[right("yes", "Yes")] * 25]
    hard = [*SEARCH[30:], *[wrong("No", "Yes")] * (75 - len(SEARCH[30:]))]
    rows = [
        {"pred_answer": case.said, "gt": case.golds, "query": f"question {number}"}
        for number, case in enumerate([*simple, *hard])
    ]
    result = scored(tmp_path, "mat-search", rows)
    assert figures(result) == [
        expected("all", [*simple, *hard], 150),
        expected("simple", simple, 75),
        expected("hard", hard, 75),
    ]


@pytest.mark.parametrize("missing", [(), (1, 2, 50, 71, 130, 200), tuple(range(3, 120))])
def test_a_file_of_mat_coding_divides_by_70_130_and_200_whatever_is_missing(
    tmp_path: Path, missing: tuple[int, ...]
) -> None:
    items = [*CODING, *[right("B", "B")] * 35, *reversed(CODING)]
    items += [partly("b c", "b d e", 2, 5)] * (200 - len(items))
    rows = [
        {"id": number, "gt": case.all_golds, "pred_answer": case.said}
        for number, case in enumerate(items, 1)
        if number not in missing
    ]
    kept = [case for number, case in enumerate(items, 1) if number not in missing]
    result = scored(tmp_path, "mat-coding", rows)
    # Rows behind a missing one move up: the first 70 of the list are called simple.
    assert figures(result) == [
        expected("all", kept, 200),
        expected("simple", kept[:70], 70),
        expected("hard", kept[70:], 130),
    ]
