"""What the diagram predicates of an Inter-GPS problem say, as typed facts about named points.

on_line     P lies on the line AB              on_circle  P lies on a circle (its centre, its name)
right       AB and CD are perpendicular        parallel   AB and CD are parallel
same_length AB and CD are equally long         same_angle the angles ABC and DEF are equal
length      AB is labelled with a text         angle      the angle ABC is labelled with a text
arc         the arc from A to B is labelled    number     the angle ABC is called by a number
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .logic_form import Form

Points = tuple[str, ...]
Coordinates = Mapping[str, tuple[float, float]]  # pixels of the original picture, y down

_POINT = r"(?:point_\d+|[A-Z]'?)"
_LINE = re.compile(rf"({_POINT})({_POINT})")
_NUMBER = re.compile(r"(?:angle\s*)?(\d+)")


class FigureError(ValueError):
    """A predicate that is not understood, or that speaks of no point. The message quotes it."""


@dataclass(frozen=True)
class Circle:
    """A circle: the point in its middle, the name of its radius (circles around one point differ in it), and the points
    that lie on it."""

    centre: str
    name: str
    points: Points


@dataclass
class Figure:
    """The facts of a diagram. `points` are the known positions; a named point may have none."""

    points: Coordinates
    lines: list[tuple[str, str]] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    on_line: list[Points] = field(default_factory=list)  # P, A, B
    right: list[Points] = field(default_factory=list)  # A, B, C, D
    parallel: list[Points] = field(default_factory=list)
    same_length: list[Points] = field(default_factory=list)
    same_angle: list[Points] = field(default_factory=list)  # A, B, C, D, E, F
    length: list[tuple[Points, str]] = field(default_factory=list)
    angle: list[tuple[Points, str]] = field(default_factory=list)
    arc: list[tuple[Points, str]] = field(default_factory=list)
    number: list[tuple[Points, str]] = field(default_factory=list)

    def named(self) -> set[str]:
        """Every point that is drawn or spoken of."""
        found = {p for line in self.lines for p in line}
        found |= {p for circle in self.circles for p in (circle.centre, *circle.points)}
        for group in (self.on_line, self.right, self.parallel, self.same_length, self.same_angle):
            found |= {p for points in group for p in points}
        for labels in (self.length, self.angle, self.arc, self.number):
            found |= {p for points, _ in labels for p in points}
        return found


def figure(points: Coordinates, lines: Iterable[str], centres: Iterable[str], forms: Iterable[Form | str]) -> Figure:
    """Read the predicates of a diagram.

    Raises:
        FigureError: a line or predicate that is not understood.
    """
    result = Figure(points)
    for text in filter(None, lines):
        match = _LINE.fullmatch(text)
        if match is None:
            raise FigureError(f"the line {text!r} does not name two points")
        result.lines.append((match[1], match[2]))
    members: dict[tuple[str, str], list[str]] = {}
    numbered: list[tuple[str, str]] = []
    for form in forms:
        _read(form, result, members, numbered)
    for number, text in numbered:
        where = [points for points, known in result.number if known == number]
        if not where:
            raise FigureError(f"nothing says where the angle {number} is")
        result.angle.append((where[0], text))
    for centre in filter(None, centres):
        if not any(centre == known for known, _ in members):
            members[centre, ""] = []
    result.circles += [Circle(centre, name, tuple(on)) for (centre, name), on in members.items()]
    return result


def _read(
    form: Form | str, result: Figure, members: dict[tuple[str, str], list[str]], numbered: list[tuple[str, str]]
) -> None:
    if not isinstance(form, Form) or len(form.args) != 2:
        raise FigureError(f"{form} is no fact about a diagram")
    first, second = form.args
    if form.name == "PointLiesOnLine" and isinstance(first, str):
        result.on_line.append((_point(first, form), *_points(second, "Line", 2, form)))
    elif form.name == "PointLiesOnCircle" and isinstance(first, str):
        if not isinstance(second, Form) or second.name != "Circle" or not all(isinstance(a, str) for a in second.args):
            raise FigureError(f"{form} names no circle")
        centre, *radius = map(str, second.args)
        members.setdefault((_point(centre, form), "".join(radius)), []).append(_point(first, form))
    elif form.name in ("Perpendicular", "Parallel"):
        four = (*_points(first, "Line", 2, form), *_points(second, "Line", 2, form))
        (result.right if form.name == "Perpendicular" else result.parallel).append(four)
    elif form.name == "Equals":
        _equal(_measured(first, form), _measured(second, form), form, result, numbered)
    else:
        raise FigureError(f"{form} is no fact about a diagram")


def _equal(
    one: tuple[str, Points], other: tuple[str, Points], form: Form, result: Figure, numbered: list[tuple[str, str]]
) -> None:
    if one[0] in ("text", "number") and other[0] != "text":
        one, other = other, one
    kinds, points, text = (one[0], other[0]), one[1], other[1][0]
    if kinds == ("segment", "segment"):
        result.same_length.append((*points, *other[1]))
    elif kinds == ("angle", "angle"):
        result.same_angle.append((*points, *other[1]))
    elif kinds == ("angle", "number"):
        result.number.append((points, text))
    elif kinds == ("number", "text"):
        numbered.append((points[0], text))
    elif other[0] == "text" and one[0] in ("segment", "angle", "arc"):
        {"segment": result.length, "angle": result.angle, "arc": result.arc}[one[0]].append((points, text))
    else:
        raise FigureError(f"{form} equates what cannot be drawn as equal")


def _measured(arg: Form | str, form: Form) -> tuple[str, Points]:
    """What is measured: ("segment", (A, B)), ("angle", (A, B, C)), ("arc", (A, B)), ("number", ("1",)), ("text", _)."""
    if isinstance(arg, str):
        return "text", (arg,)
    if arg.name in ("LengthOf", "MeasureOf") and len(arg.args) == 1:
        inner = arg.args[0]
        if isinstance(inner, str):
            match = _NUMBER.fullmatch(inner)
            if match and arg.name == "MeasureOf":
                return "number", (match[1],)
            raise FigureError(f"{form} measures {inner!r}")
        arg = inner
    count = len(arg.args)
    if arg.name in ("Line", "LengthOf") and count == 2:
        return "segment", _points(arg, arg.name, 2, form)
    if arg.name in ("Angle", "MeasureOf") and count == 3:
        return "angle", _points(arg, arg.name, 3, form)
    if arg.name == "Arc" and count in (2, 3):
        ends = _points(arg, "Arc", count, form)
        return "arc", (ends[0], ends[-1])
    if arg.name == "Angle" and count == 1 and isinstance(arg.args[0], str) and _NUMBER.fullmatch(arg.args[0]):
        return "number", (arg.args[0],)
    raise FigureError(f"{form} speaks of {arg}, which names no points")


def _points(arg: Form | str, name: str, count: int, form: Form) -> Points:
    names = arg.names(count) if isinstance(arg, Form) and arg.name == name else None
    if names is None:
        raise FigureError(f"{form}: expected {name} of {count} points; got {arg}")
    return tuple(_point(point, form) for point in names)


def _point(name: str, form: Form) -> str:
    if not re.fullmatch(_POINT, name):
        raise FigureError(f"{form}: {name!r} is no point")
    return name
