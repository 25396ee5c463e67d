"""From a family's construction to one picture of it: turned, mirrored, lettered, and a question in words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ..render.diagram import Arc, Diagram, Label, Mark
from ..render.diagram_fit import Fitted
from .directions import direction
from .family import Case, Family

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and no O: they look like digits
ASKS_FOR_X = re.compile(r"\bx\b")


def construct(
    family: Family, case: Case, wording: str, with_x: bool, rng: np.random.Generator
) -> tuple[Diagram, str] | None:
    """The diagram of a problem and its question, or None if this trial gave no fair figure.

    An x is written at what is asked for if the wording speaks of x, or always `with_x`.
    """
    figure = family.figure(case, rng)
    if figure is None:
        return None
    luck = rng.integers(1 << 30, size=6).tolist()
    degrees = 0 if luck[0] % 8 < 3 else luck[1] % 61 - 30 if luck[0] % 8 < 7 else luck[1] % 360
    letters = dict(zip(figure.lettered, _letters(luck[3], luck[4], len(figure.lettered), rng), strict=True))
    labels = list(figure.diagram.labels)
    if figure.unknown is not None and (with_x or ASKS_FOR_X.search(wording)):
        labels.append(Label("x", *figure.unknown))
    marks = list(figure.diagram.marks)
    if luck[5] % 2:
        marks += [Mark("angle", label.names) for label in labels if label.kind == "angle"]
    if "{" in wording or luck[5] % 4 < 2:
        labels += [Label(letter, "point", (name,)) for name, letter in letters.items()]
    diagram = replace(figure.diagram, labels=tuple(labels), marks=tuple(marks))
    return _turned(diagram, degrees, mirrored=bool(luck[2] % 2)), wording.format(**letters)


def outline(diagram: Diagram, fitted: Fitted) -> bytes:
    """What can be seen of a diagram, whatever its points are called and in which order its parts are drawn."""
    at = fitted.at
    lines = sorted(sorted((at[a], at[b])) for a, b in (*diagram.segments, *diagram.dashed))
    circles = sorted((at[c.center], fitted.length(c.radius)) for c in diagram.circles)
    arcs = sorted((at[a.center], *sorted((at[a.start], at[a.end]))) for a in diagram.arcs)
    labels = sorted((label.text, *sorted(at[name] for name in label.names)) for label in diagram.labels)
    return repr((lines, circles, arcs, labels)).encode()


def _letters(kind: int, start: int, count: int, rng: np.random.Generator) -> list[str]:
    """Letters in alphabetical order: half of the time one after the other, else from anywhere in the alphabet."""
    if kind % 2:
        first = start % (len(LETTERS) - count + 1)
        return list(LETTERS[first : first + count])
    return [LETTERS[k] for k in sorted(rng.permutation(len(LETTERS))[:count].tolist())]


def _turned(diagram: Diagram, degrees: int, mirrored: bool) -> Diagram:
    """The diagram turned counterclockwise, after a reflection if `mirrored`."""
    c, s = direction(degrees)
    sign = -1 if mirrored else 1
    points = {
        name: (sign * float(x) * c - float(y) * s, sign * float(x) * s + float(y) * c)
        for name, (x, y) in diagram.points.items()
    }
    if not mirrored:
        return replace(diagram, points=points)
    # A reflection turns counterclockwise into clockwise: arcs run from their other end.
    arcs = tuple(Arc(a.center, a.end, a.start) for a in diagram.arcs)
    labels = tuple(
        Label(label.text, label.kind, (label.names[0], label.names[2], label.names[1]))
        if label.kind == "arc"
        else label
        for label in diagram.labels
    )
    return replace(diagram, points=points, arcs=arcs, labels=labels)
