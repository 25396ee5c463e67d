"""Inter-GPS: Geometry3K as formal text, diagram predicates and coordinates (Lu et al., arXiv 2105.04165, MIT).

Two published layouts, in one folder or in two:

    FOLDER/diagram_logic_forms_annot.json, text_logic_forms_annot.json   (or in FOLDER/logic_forms/) all problems by
        number; answers come from solved_test_answers.json beside them, {"2401": {"answer": 60.0, "spread": 0.0}, ..},
        or from the other layout
    FOLDER/[train|val|test|examples/]NUMBER/data.json, logic_form.json   one problem a folder, with its wording and its
        four choices

Numbers say the split: 0 to 2,100 train, 2,101 to 2,400 validation, 2,401 to 3,001 test. What cannot be asked (it has no
answer, its predicates cannot be read or disagree with the coordinates) is dropped, and `read` says why.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.arguments import one_of
from ..core.errors import DatasetError
from .inter_gps_check import inconsistency
from .inter_gps_figure import Figure, FigureError, figure
from .inter_gps_text import question
from .logic_form import Form, LogicFormError, parse

SPLITS = {"train": range(2101), "validation": range(2101, 2401), "test": range(2401, 3002)}
DIAGRAMS, TEXTS, ANSWERS = "diagram_logic_forms_annot.json", "text_logic_forms_annot.json", "solved_test_answers.json"
FETCH = (
    "To have it: `git clone https://github.com/lupantech/InterGPS`, unpack data/geometry3k/{train,val,test}.zip there "
    "and pass data=InterGPS/data/geometry3k"
)
MAX_SPREAD = 0.01  # of an answer: by how much the runs of the solver that gave it may disagree
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_ABSENT = (-1.0, -1.0)  # how the annotations write "this point is not in the picture"


@dataclass(frozen=True)
class Problem:
    """One problem that can be asked.

    question: in words. golds: the answer, in one or more forms of which any is right. figure: what is drawn.
    numbered: whether the question calls angles by their numbers. spoken: the points that it names.
    """

    number: int
    question: str
    golds: tuple[str, ...]
    figure: Figure
    numbered: bool
    spoken: frozenset[str]

    def __hash__(self) -> int:
        return hash(self.number)


@dataclass(frozen=True)
class Reading:
    """What a folder holds of a split: problems by number, and why each of the others was dropped."""

    problems: tuple[Problem, ...]
    dropped: Mapping[int, str]


@dataclass(frozen=True)
class _Raw:
    """One problem as it lies in the files, its fields checked for their types only."""

    where: str
    points: Mapping[str, tuple[float, float]]
    lines: tuple[str, ...]
    centres: tuple[str, ...]
    diagram: tuple[str, ...]
    text: tuple[str, ...]
    wording: str | None = None
    golds: tuple[str, ...] = ()
    refused: str | None = None


def load(data: str | None, split: str = "test") -> Sequence[Problem]:
    """The problems of a split that pass the check, by number.

    Raises:
        DatasetError: the data are missing or malformed, or no problem of the split passes.
    """
    reading = read(data, split)
    if not reading.problems:
        why = next((f": problem {n}: {reason}" for n, reason in reading.dropped.items()), "")
        raise DatasetError(
            f"{data} has no problem of the split {split!r} that can be asked{why}. Without data.json, answers are "
            f"known for the test split only. {FETCH}"
        )
    return reading.problems


def read(data: str | None, split: str = "test") -> Reading:
    """The problems of a split, and the reasons why others were dropped.

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, tuple(SPLITS))
    if data is None:
        raise DatasetError(f"Geometry3K-redrawn has no hub name: pass data=FOLDER. {FETCH}")
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"{data!r} is no folder. {FETCH}")
    stamps = tuple(sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*.json")))
    return _read(str(folder), split, stamps)


@lru_cache(maxsize=4)
def _read(name: str, split: str, stamps: tuple[tuple[str, int], ...]) -> Reading:
    raw = _all(Path(name), SPLITS[split])
    problems, dropped = [], {}
    for number in sorted(raw):
        try:
            problems.append(_problem(number, raw[number]))
        except (LogicFormError, FigureError) as error:
            dropped[number] = str(error)
    return Reading(tuple(problems), dropped)


def _problem(number: int, raw: _Raw) -> Problem:
    if raw.refused:
        raise FigureError(raw.refused)
    if not raw.golds:
        raise FigureError("no answer is known")
    forms = {name: [parse(t) for t in getattr(raw, name) if t.strip()] for name in ("diagram", "text")}
    drawn = figure(raw.points, raw.lines, raw.centres, forms["diagram"])
    breach = inconsistency(drawn)
    if breach:
        raise FigureError(breach)
    if raw.wording is None and not any(isinstance(f, Form) and f.name == "Find" for f in forms["text"]):
        raise FigureError("nothing is asked for")
    wording = raw.wording or question([f for f in forms["text"] if isinstance(f, Form)])
    names = [name for form in forms["text"] for name in _leaves(form)]
    numbered = any(name.isdigit() for form in forms["text"] for name in _angles(form))
    return Problem(number, wording, raw.golds, drawn, numbered, frozenset(names) & frozenset(drawn.points))


def _leaves(form: Form | str) -> list[str]:
    return [form] if isinstance(form, str) else [leaf for arg in form.args for leaf in _leaves(arg)]


def _angles(form: Form | str) -> list[str]:
    if isinstance(form, str):
        return []
    own = [arg for arg in form.args if isinstance(arg, str)] if form.name == "Angle" and len(form.args) == 1 else []
    return own + [name for arg in form.args for name in _angles(arg)]


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set: train and validation one problem a folder, test as annotations."""
    from .inter_gps_sample import write_sample as write

    write(folder)


def number_as_gold(value: float) -> str:
    """A whole number as such, any other with two decimals."""
    return str(round(value)) if abs(value - round(value)) < 1e-6 else f"{value:.2f}"


# The files.


def _all(folder: Path, numbers: range) -> dict[int, _Raw]:
    found: dict[int, _Raw] = {}
    annotated = next((p for p in (folder, folder / "logic_forms") if (p / DIAGRAMS).is_file()), None)
    if annotated is not None:
        found = _annotated(annotated, folder, numbers)
    singles = [
        p for part in ("", "train", "val", "test", "examples") for p in sorted((folder / part).glob("*/data.json"))
    ]
    for path in singles:
        number = path.parent.name
        if _NUMBER.fullmatch(number) and int(number) in numbers:
            found[int(number)] = _single(path.parent)
    if annotated is None and not singles:
        raise DatasetError(f"{folder} holds neither {DIAGRAMS} nor NUMBER/data.json. {FETCH}")
    return found


def _annotated(place: Path, folder: Path, numbers: range) -> dict[int, _Raw]:
    texts = _object(place / TEXTS)
    path = place / DIAGRAMS
    answers = next((p / ANSWERS for p in (place, folder) if (p / ANSWERS).is_file()), None)
    known = {} if answers is None else _object(answers)
    found = {}
    for key, entry in _object(path).items():
        if not _NUMBER.fullmatch(key):
            raise DatasetError(f"{path}: expected problems by number; got the key {key!r:.40}")
        if int(key) not in numbers:
            continue
        row = _Row(path, key, entry)
        if key not in texts:
            raise DatasetError(f"{place / TEXTS}: problem {key} of {DIAGRAMS} is missing")
        golds, refused = (), None
        if answers is not None and key in known:
            golds, refused = _solved(_Row(answers, key, known[key]))
        found[int(key)] = _Raw(
            f"{path}, problem {key}",
            row.points("point_positions"),
            row.texts("line_instances"),
            row.texts("circle_instances"),
            row.texts("diagram_logic_forms"),
            _Row(place / TEXTS, key, texts[key]).texts("text_logic_forms"),
            golds=golds,
            refused=refused,
        )
    return found


def _solved(row: _Row) -> tuple[tuple[str, ...], str | None]:
    answer = row.real("answer")
    spread = row.real("spread") if row.has("spread") else 0.0
    if spread > MAX_SPREAD * abs(answer):
        return (), f"the solver's answers to it differ by {spread:.3g} around {answer:.4g}"
    return (number_as_gold(answer),), None


def _single(place: Path) -> _Raw:
    number = place.name
    forms, data = _Row(place / "logic_form.json", number), _Row(place / "data.json", number)
    choices, letter = data.texts("choices"), data.text("answer").strip()
    if not re.fullmatch("[A-Z]", letter) or ord(letter) - ord("A") >= len(choices):
        raise data.wrong("answer", f"the letter of one of {len(choices)} choices", letter)
    index = ord(letter) - ord("A")
    golds = (choices[index].strip(),)
    if data.has("precise_value"):
        value = data.entry("precise_value", index)
        if value is not None:
            golds = tuple(dict.fromkeys((*golds, number_as_gold(value))))
    wording = data.text("compact_text" if data.has("compact_text") else "problem_text").strip()
    name = "diagram_logic_form" if forms.has("diagram_logic_form") else "diagram_logic_forms"
    return _Raw(
        f"{place}",
        forms.points("point_positions"),
        forms.texts("line_instances"),
        forms.texts("circle_instances"),
        forms.texts(name),
        forms.texts("text_logic_form" if forms.has("text_logic_form") else "text_logic_forms"),
        wording,
        golds,
        None if golds[0] else "its answer is empty",
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing. {FETCH}") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON in UTF-8: {error}") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected a JSON object; got {type(value).__name__}")
    return value


class _Row:
    """One problem of a file. Readers return a checked value or raise an error that names file, problem, field."""

    def __init__(self, path: Path, number: str, value: object = None) -> None:
        self.path, self.number = path, number
        value = _object(path) if value is None else value
        if not isinstance(value, dict):
            raise DatasetError(f"{path}, problem {number}: expected an object; got {type(value).__name__}")
        self.value: dict[str, Any] = value

    def wrong(self, name: str, expected: str, got: object) -> DatasetError:
        shown = repr(got)[:80].encode("ascii", "backslashreplace").decode()
        return DatasetError(f"{self.path}, problem {self.number}, field {name!r}: expected {expected}; got {shown}")

    def has(self, name: str) -> bool:
        return name in self.value

    def _get(self, name: str) -> Any:
        if name not in self.value:
            there = ", ".join(map(repr, self.value)) or "nothing"
            raise DatasetError(f"{self.path}, problem {self.number}, field {name!r}: it is missing; there is {there}")
        return self.value[name]

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, "a text that is not blank", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(name, "a list of texts", value)
        return tuple(value)

    def real(self, name: str) -> float:
        value = self._get(name)
        if not _finite(value):
            raise self.wrong(name, "a finite number", value)
        return float(value)

    def entry(self, name: str, index: int) -> float | None:
        """A number of a list of numbers; None where the list is too short or has something else there."""
        value = self._get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "a list of numbers", value)
        return float(value[index]) if index < len(value) and _finite(value[index]) else None

    def points(self, name: str) -> dict[str, tuple[float, float]]:
        value = self._get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "positions by the names of points", value)
        found = {}
        for point, place in value.items():
            if not isinstance(place, list) or len(place) != 2 or not all(map(_finite, place)):
                raise self.wrong(name, f"two finite numbers for the point {point}", place)
            if tuple(place) != _ABSENT:
                found[point] = (float(place[0]), float(place[1]))
        return found


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e9
