"""What is written in the documents, and what is asked about it: every question has one answer, printed as it stands.

All values of a document that a question could mean differ from each other, so that reading the wrong line is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..render.document import Document, Line, Look

FOODS = ("Tea", "Coffee", "Bread", "Butter", "Cheese", "Apples", "Olives", "Honey", "Rice", "Salad", "Soup", "Pasta")
CITIES = ("Oslo", "Lima", "Cairo", "Rome", "Quito", "Seoul", "Porto", "Delhi", "Tunis", "Boston", "Zagreb", "Nairobi")
SHOPS = ("CORNER SHOP", "GREEN MARKET", "CITY STORE", "OLD MILL", "SUN MARKET", "RIVER STORE")
PRODUCTS = ("SEA SALT", "OAT FLAKES", "PLUM JAM", "MINT TEA", "TOMATO SAUCE", "PEANUTS", "DARK CHOCOLATE", "RYE FLOUR")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUTRIENTS = ("Fat", "Sugar", "Fibre", "Protein", "Salt", "Starch")

# Neither white nor black: those are left to noise.
_PAPERS = ((244, 244, 244), (244, 240, 226), (232, 238, 242), (240, 234, 240), (230, 240, 230))
_INKS = ((20, 20, 20), (20, 30, 80), (80, 20, 20), (15, 60, 35))


@dataclass(frozen=True)
class Written:
    """A document with every question that may be asked about it, and the answers."""

    document: Document
    questions: tuple[tuple[str, str], ...]


class Author:
    """Draws names and numbers from a generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def one(self, values: Sequence[str]) -> str:
        return values[int(self.rng.integers(len(values)))]

    def some(self, values: Sequence[str], count: int) -> list[str]:
        return [values[k] for k in self.rng.permutation(len(values))[:count].tolist()]

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def numbers(self, low: int, high: int, count: int) -> list[int]:
        """Different ones."""
        return [low + k for k in self.rng.permutation(high + 1 - low)[:count].tolist()]

    def date(self) -> str:
        return f"{self.number(1, 28)} {self.one(MONTHS)} {self.number(2025, 2034)}"

    def times(self, low: int, high: int, count: int) -> list[str]:
        """Different times of the day, between two hours, in order, in steps of five minutes."""
        return [f"{t // 12:02d}:{t % 12 * 5:02d}" for t in sorted(self.numbers(12 * low, 12 * high - 1, count))]

    def code(self) -> str:
        # No letter that looks like a digit.
        return self.one("ACEFHKLMNPRTUX") + str(self.number(1000, 9999))

    def look(self, **kwargs: object) -> Look:
        paper = _PAPERS[self.number(0, len(_PAPERS) - 1)]
        ink = _INKS[self.number(0, len(_INKS) - 1)]
        band = ink if kwargs.pop("banded", False) else None
        return Look(paper, ink, band, **kwargs)  # type: ignore[arg-type]


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _receipt(a: Author) -> Written:
    items = a.some(FOODS, a.number(3, 5))
    while True:
        prices = a.numbers(60, 1999, len(items))
        if sum(prices) not in prices:
            break
    date = a.date()
    lines = [Line("title", (a.one(SHOPS),)), Line("small", (f"Date: {date}",)), Line("rule")]
    lines += [Line("row", (item, _money(price))) for item, price in zip(items, prices, strict=True)]
    lines += [Line("rule"), Line("strong", ("TOTAL", _money(sum(prices))))]
    questions = [("What is the total?", _money(sum(prices))), ("What is the date on the receipt?", date)]
    questions += [(f"What is the price of {i.lower()}?", _money(p)) for i, p in zip(items, prices, strict=True)]
    return Written(Document("receipt", a.look(), tuple(lines)), tuple(questions))


def _menu(a: Author) -> Written:
    items = a.some(FOODS, 5)
    prices = a.numbers(15, 195, 10)
    small, large = ([_money(10 * p) for p in part] for part in (prices[:5], prices[5:]))
    lines = [Line("title", ("MENU",)), Line("strong", ("", "small", "large"))]
    lines += [Line("row", cells) for cells in zip(items, small, large, strict=True)]
    questions = [
        (f"What does a {size} portion of {item.lower()} cost?", price)
        for size, column in (("small", small), ("large", large))
        for item, price in zip(items, column, strict=True)
    ]
    look = a.look(banded=True, grid=True, columns=(58,))
    return Written(Document("menu", look, tuple(lines)), tuple(questions))


def _nutrition(a: Author) -> Written:
    energy = a.number(120, 690)
    amounts = [f"{n // 10}.{n % 10} g" for n in a.numbers(3, 480, len(NUTRIENTS))]
    lines = [Line("title", ("NUTRITION",)), Line("small", ("per 100 g",)), Line("rule")]
    lines += [Line("strong", ("Energy", f"{energy} kcal"))]
    lines += [Line("row", cells) for cells in zip(NUTRIENTS, amounts, strict=True)]
    questions = [("What is the energy per 100 g?", f"{energy} kcal")]
    questions += [(f"How much {n.lower()} is in 100 g?", g) for n, g in zip(NUTRIENTS, amounts, strict=True)]
    return Written(Document("nutrition", a.look(frame=True, grid=True), tuple(lines)), tuple(questions))


def _label(a: Author) -> Written:
    date, lot, net, origin = a.date(), a.code(), f"{5 * a.number(10, 199)} g", a.one(CITIES)
    lines = (
        Line("title", (a.one(PRODUCTS),)),
        Line("rule"),
        Line("row", ("Best before", date)),
        Line("row", ("Lot", lot)),
        Line("row", ("Net weight", net)),
        Line("row", ("Packed in", origin)),
    )
    questions = (
        ("What is the best-before date?", date),
        ("What is the lot number?", lot),
        ("What is the net weight?", net),
        ("In which city was it packed?", origin),
    )
    return Written(Document("label", a.look(frame=True), lines), questions)


def _hours(a: Author) -> Written:
    opens, closes = a.times(6, 12, 7), a.times(13, 23, 7)
    opens, closes = a.some(opens, 7), a.some(closes, 7)
    lines = [Line("title", ("OPENING HOURS",))]
    lines += [Line("row", (day, f"{o} - {c}")) for day, o, c in zip(DAYS, opens, closes, strict=True)]
    questions = [(f"When does it open on {day}?", o) for day, o in zip(DAYS, opens, strict=True)]
    questions += [(f"When does it close on {day}?", c) for day, c in zip(DAYS, closes, strict=True)]
    return Written(Document("hours", a.look(banded=True), tuple(lines)), tuple(questions))


def _ticket(a: Author) -> Written:
    start, end = a.some(CITIES, 2)
    date, time = a.date(), a.times(5, 23, 1)[0]
    seat, gate = f"{a.number(1, 39)}{a.one('ABCDEF')}", f"{a.one('ABCD')}{a.number(1, 39)}"
    lines = (
        Line("title", ("BOARDING PASS",)),
        Line("strong", ("From", start)),
        Line("strong", ("To", end)),
        Line("row", ("Date", date)),
        Line("row", ("Time", time)),
        Line("row", ("Gate", gate)),
        Line("row", ("Seat", seat)),
    )
    questions = (
        ("From which city does the passenger leave?", start),
        ("To which city does the passenger go?", end),
        ("What is the date on the ticket?", date),
        ("What is the time on the ticket?", time),
        ("What is the gate?", gate),
        ("What is the seat?", seat),
    )
    return Written(Document("ticket", a.look(banded=True, frame=True), lines), questions)


def _timetable(a: Author) -> Written:
    cities = a.some(CITIES, 5)
    times, platforms = a.times(5, 23, 5), [str(p) for p in a.numbers(1, 24, 5)]
    lines = [Line("title", ("DEPARTURES",)), Line("strong", ("Time", "To", "Platform"))]
    lines += [Line("row", cells) for cells in zip(times, cities, platforms, strict=True)]
    questions = [(f"When does the train to {c} leave?", t) for c, t in zip(cities, times, strict=True)]
    questions += [
        (f"From which platform does the train to {c} leave?", p) for c, p in zip(cities, platforms, strict=True)
    ]
    return Written(Document("timetable", a.look(banded=True, grid=True, columns=(48,)), tuple(lines)), tuple(questions))


# The order matters: held-out combinations go by it, and `kinds=3` means the first three.
KINDS: dict[str, Callable[[Author], Written]] = {
    "receipt": _receipt,
    "label": _label,
    "hours": _hours,
    "menu": _menu,
    "nutrition": _nutrition,
    "ticket": _ticket,
    "timetable": _timetable,
}


def write(kind: str, rng: np.random.Generator) -> Written:
    """A document of this kind with fresh contents."""
    return KINDS[kind](Author(rng))
