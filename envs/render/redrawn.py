"""A figure of Inter-GPS as a diagram: its lines and circles by their coordinates, and what its predicates say as labels
and marks.

A length or an angle with a number or an expression becomes a label, equal ones become ticks and arcs, parallels arrow
heads, perpendiculars squares, as in the originals. Points have their names; where there are many, or where angles are
called by numbers, only those do that the question speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from ..datasets.inter_gps_check import ON_LINE, circle_of, distance, from_line, radius
from ..datasets.inter_gps_figure import Figure, Points
from ..datasets.inter_gps_text import math_text
from .diagram import Circle, Diagram, Drawing, Label, Mark, Style, draw

MOST_NAMES = 12  # points that all have their names in the picture; more would cover it
MOST_MARKS = 3  # classes of equal sides that ticks can tell apart


LETTERING = (None, 12, 10, 8)  # heights of capitals in pixels that are tried until no labels overlap; None: as usual


def picture(figure: Figure, size: Sequence[int], spoken: Collection[str] = (), numbered: bool = True) -> Drawing:
    """The figure in a picture of (width, height) pixels, in smaller letters where usual ones would overlap."""
    parts = diagram(figure, spoken, numbered)
    drawings = (draw(parts, size, Style(text_height=height)) for height in LETTERING)
    best = next(drawings)
    while best.overlaps:
        following = next(drawings, None)
        if following is None:
            break
        best = min(best, following, key=lambda drawing: drawing.overlaps)
    return best


def diagram(figure: Figure, spoken: Collection[str] = (), numbered: bool = True) -> Diagram:
    """The diagram of a figure that passes the check.

    spoken: the points that the question names. numbered: whether angles get their numbers.
    """
    named = sorted(figure.named())
    segments = _pieces(figure)
    shown = [p for p in named if (len(named) <= MOST_NAMES and not numbered) or p in spoken]
    labels = [Label(math_text(text), "segment", line) for line, text in _first(figure.length)]
    angles = [(three, _degrees(text)) for three, text in _first(figure.angle)]
    angles += [(three, text) for three, text in figure.number if numbered]
    labels += [Label(text, "angle", _near(three, figure)) for three, text in _joined(angles)]
    for ends, text in _first(figure.arc):
        circle = circle_of(ends, figure)
        if circle is not None:
            labels.append(
                Label(_degrees(text), "arc", (circle.centre, *_counterclockwise(circle.centre, ends, figure)))
            )
    labels += [Label(p, "point", (p,)) for p in shown]
    marks = [Mark("right", corner) for corner in _corners(figure, named)]
    for k, lines in enumerate(_classes(figure.same_length, 2)):
        marks += [Mark("ticks", line, min(k + 1, MOST_MARKS)) for line in lines]
    for k, three in enumerate(_classes(figure.same_angle, 3)):
        marks += [Mark("angle", _near(points, figure), min(k + 1, MOST_MARKS)) for points in three]
    for k, lines in enumerate(_classes(figure.parallel, 2)):
        marks += [Mark("arrows", line, min(k + 1, MOST_MARKS)) for line in _apart(lines, figure)]
    marks += [Mark("dot", (centre,)) for centre in sorted({c.centre for c in figure.circles})]
    return Diagram(
        points={p: (figure.points[p][0], -figure.points[p][1]) for p in named},
        segments=tuple(segments),
        circles=tuple(Circle(c.centre, radius(c, figure)) for c in figure.circles),
        labels=tuple(labels),
        marks=tuple(marks),
    )


def _pieces(figure: Figure) -> list[tuple[str, str]]:
    """The lines cut at the points that are said to lie on them: overlapping lines share their pieces, and each piece is
    drawn once."""
    pieces: dict[frozenset[str], tuple[str, str]] = {}
    for a, b in figure.lines:
        stops = _stops(a, b, figure)
        for pair in pairwise(stops):
            pieces.setdefault(frozenset(pair), pair)
    return list(pieces.values())


def _stops(a: str, b: str, figure: Figure) -> list[str]:
    """The points on the line from a to b, both included, in their order."""
    start = figure.points[a]
    far = distance(start, figure.points[b])
    between = {p for p, x, y in figure.on_line if {x, y} == {a, b} and p not in (a, b)}
    chain = sorted((distance(start, figure.points[p]), p) for p in between)
    return [a, *(p for d, p in chain if d < far), b]


def _first(labels: Iterable[tuple[Points, str]]) -> list[tuple[Points, str]]:
    """One label for each thing, the first: annotations repeat themselves."""
    found: dict[object, tuple[Points, str]] = {}
    for points, text in labels:
        key = (points[1], frozenset(points)) if len(points) == 3 else frozenset(points)
        found.setdefault(key, (points, text))
    return list(found.values())


def _joined(labels: list[tuple[Points, str]]) -> list[tuple[Points, str]]:
    """One label for each angle: "1: 58°" where it has a number and a size."""
    found: dict[object, tuple[Points, str]] = {}
    for points, text in labels:
        key = (points[1], frozenset(points))
        if key not in found:
            found[key] = (points, text)
        elif text not in found[key][1]:
            found[key] = (points, f"{text}: {found[key][1]}")
    return list(found.values())


def _degrees(text: str) -> str:
    """As in the originals: 54 is "54°", 2x+3 is "(2x+3)°"."""
    text = math_text(text).rstrip("°")
    return f"{text}°" if re.fullmatch(r"[\w.]+", text) else f"({text})°"


def _near(three: Points, figure: Figure) -> tuple[str, str, str]:
    """The angle with arms as short as the figure allows: labels look for room between the arms."""
    a, v, b = three
    arms = []
    for arm in (a, b):
        on = [p for p, x, y in figure.on_line if {x, y} == {v, arm}]
        on = [p for p in on if p not in (v, arm) and _same_side(p, v, arm, figure)]
        arms.append(min([arm, *on], key=lambda p: (distance(figure.points[p], figure.points[v]), p)))
    return arms[0], v, arms[1]


def _same_side(p: str, v: str, arm: str, figure: Figure) -> bool:
    (px, py), (vx, vy), (ax, ay) = (figure.points[q] for q in (p, v, arm))
    return (px - vx) * (ax - vx) + (py - vy) * (ay - vy) > 0


def _counterclockwise(centre: str, ends: Points, figure: Figure) -> tuple[str, str]:
    """The ends of the smaller arc between two points in the order that runs counterclockwise, y up."""
    (cx, cy), (ax, ay), (bx, by) = (figure.points[p] for p in (centre, *ends))
    # In the pixels of the original y points down, where this cross product is negative for a counterclockwise turn.
    turn = (ax - cx) * (by - cy) - (ay - cy) * (bx - cx)
    return (ends[0], ends[1]) if turn < 0 else (ends[1], ends[0])


def _corners(figure: Figure, named: list[str]) -> list[tuple[str, str, str]]:
    """Where perpendicular lines meet: (point on one, meeting point, point on the other), one for each meeting point."""
    xs, ys = zip(*(figure.points[p] for p in named), strict=True)
    near = ON_LINE * max(max(xs) - min(xs), max(ys) - min(ys))
    found: dict[str, tuple[str, str, str]] = {}
    for a, b, c, d in figure.right:
        on_both = [p for p in (a, b, c, d, *named) if all(_on(p, line, near, figure) for line in ((a, b), (c, d)))]
        if on_both:
            v = on_both[0]
            found.setdefault(v, (_other(a, b, v, figure), v, _other(c, d, v, figure)))
    return list(found.values())


def _on(p: str, line: tuple[str, str], near: float, figure: Figure) -> bool:
    return p in line or from_line(figure.points[p], *(figure.points[q] for q in line)) <= near


def _other(a: str, b: str, v: str, figure: Figure) -> str:
    """The end of the line ab that is farther from v."""
    return max((a, b), key=lambda p: distance(figure.points[p], figure.points[v]))


def _classes(pairs: Iterable[Points], size: int) -> list[list[tuple[str, ...]]]:
    """Things (of `size` points each) that are said to be equal, gathered: A = B and B = C make one class."""
    classes: list[list[tuple[str, ...]]] = []
    for points in pairs:
        two = [points[:size], points[size:]]
        keys = {_key(thing) for thing in two}
        touched = [c for c in classes if keys & {_key(thing) for thing in c}]
        merged = [thing for c in touched for thing in c]
        merged += [thing for thing in two if _key(thing) not in {_key(t) for t in merged}]
        classes = [c for c in classes if c not in touched] + [merged]
    return classes


def _key(thing: tuple[str, ...]) -> object:
    return (thing[1], frozenset(thing)) if len(thing) == 3 else frozenset(thing)


def _apart(lines: list[tuple[str, ...]], figure: Figure) -> list[tuple[str, ...]]:
    """Parallels without those that lie on one another: one arrow head a line."""
    kept: list[tuple[str, ...]] = []
    for line in sorted(lines, key=lambda two: -distance(*(figure.points[p] for p in two))):
        a, b = (figure.points[p] for p in line)
        reach = ON_LINE * 2 * distance(a, b)
        if all(
            max(from_line(a, *(figure.points[p] for p in other)), from_line(b, *(figure.points[p] for p in other)))
            > reach
            for other in kept
        ):
            kept.append(line)
    # Arrow heads of parallels point the same way.
    ax, ay = (figure.points[kept[0][1]][k] - figure.points[kept[0][0]][k] for k in (0, 1))
    turned: list[tuple[str, ...]] = []
    for p, q in kept:
        bx, by = (figure.points[q][k] - figure.points[p][k] for k in (0, 1))
        stops = _stops(p, q, figure)
        # In the longest piece between two crossings: at a crossing the head would hide what stands there.
        p, q = max(pairwise(stops), key=lambda s: distance(*(figure.points[n] for n in s)))
        turned.append((p, q) if ax * bx + ay * by >= 0 else (q, p))
    return turned
