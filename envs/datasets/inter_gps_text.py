"""The text predicates of an Inter-GPS problem in English: what is given, and what is asked for.

Predicates that have no sentence of their own are still said, word by word ("IsOrthocenterOf(Point(A),..)": "A is the
orthocenter of ..."), so that no published problem loses a condition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .logic_form import Form

_POLYGONS = ("Triangle", "Quadrilateral", "Parallelogram", "Square", "Rectangle", "Rhombus", "Trapezoid", "Kite")
_SHAPES = (*_POLYGONS, "Polygon", "Pentagon", "Hexagon", "Heptagon", "Octagon", "Circle", "Sector", "Shape")
_QUALITIES = ("Right", "Isosceles", "Equilateral", "Regular", "Red", "Blue", "Green", "Shaded", "Major", "Minor")
_RELATIONS = {
    "Parallel": "is parallel to",
    "Perpendicular": "is perpendicular to",
    "Congruent": "is congruent to",
    "Similar": "is similar to",
    "Tangent": "is tangent to",
    "Secant": "is a secant of",
    "BisectsAngle": "bisects",
    "InscribedIn": "is inscribed in",
    "CircumscribedTo": "is circumscribed about",
    "PointLiesOnLine": "lies on",
    "PointLiesOnCircle": "lies on",
}
_THE = ("Centroid", "Incenter", "Orthocenter", "Midpoint", "PerpendicularBisector", "Hypotenuse")
_SUMS = {"Add": " + ", "SumOf": " + ", "Sub": " - ", "Mul": " · ", "Div": " / ", "Pow": "^"}
_FUNCTIONS = {"SinOf": "sin", "CosOf": "cos", "TanOf": "tan", "CotOf": "cot"}
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def question(forms: Sequence[Form]) -> str:
    """All statements as sentences, then what is asked for."""
    given = [sentence for form in forms if form.name != "Find" for sentence in (_statement(form),) if sentence]
    asked = [f"Find {_and([_said(arg) for arg in form.args])}." for form in forms if form.name == "Find"]
    return " ".join([*(f"{_begun(sentence)}." for sentence in given), *asked])


def _begun(sentence: str) -> str:
    """A word gets a capital; "m∠1 = 58" and "c = 5" keep their letters."""
    return sentence[0].upper() + sentence[1:] if sentence[:2].isalpha() else sentence


def math_text(text: str) -> str:
    r"""An expression without LaTeX: `\frac{1}{2}x` is "(1/2)x", `2\sqrt{3}` "2√3", `x^{2}` "x²", `\pi` "π"."""
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}(?=\s*[A-Za-z\\])", _ratio(r"({}/{})"), text)
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", _ratio("{}/{}"), text)
    text = re.sub(r"\\sqrt\s*\{([^{}]*)\}", lambda m: f"√{_grouped(m[1])}", text).replace("\\sqrt", "√")
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?", "°", text)
    text = re.sub(r"\^\s*(?:\{([^{}]*)\}|(\w))", lambda m: _power((m[1] or m[2]).strip()), text)
    text = text.replace("\\pi", "π").replace("\\cdot", "·").replace("\\times", "\u00d7").replace("--", "-")
    return re.sub(r"[{}\\]", "", text).replace(" ", "").replace("*", "·")


def _ratio(pattern: str) -> Callable[[re.Match[str]], str]:
    return lambda m: pattern.format(_grouped(m[1]), _grouped(m[2]))


def _grouped(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"[\w.√]+", text) else f"({text})"


def _power(exponent: str) -> str:
    return {"2": "²", "3": "³"}.get(exponent, f"^{_grouped(exponent)}")


def _statement(form: Form) -> str:
    if form.name == "UseTheorem":
        return ""
    if form.name in ("Equals", *_RELATIONS) and len(form.args) == 2:
        left, right = map(_said, form.args)
        return f"{left} {_RELATIONS.get(form.name, '=')} {right}"
    if form.name == "IntersectAt":
        *crossing, point = map(_said, form.args)
        return f"{_and(crossing)} intersect at {point}"
    if form.name == "RightAngle":
        return f"{_said(form.args[0])} is a right angle"
    if form.name in _QUALITIES and len(form.args) == 1:
        return f"{_said(form.args[0])} is {form.name.lower()}"
    if form.name.startswith("Is") and form.name.endswith("Of") and len(form.args) == 2:
        role = form.name[2:-2]
        article = "the" if role in _THE else "an" if role[0] in "AEIO" else "a"
        return f"{_said(form.args[0])} is {article} {_words(role)} of {_said(form.args[1])}"
    if form.name in _SHAPES:
        # A bare shape says what is in the picture.
        names = [arg for arg in form.args if isinstance(arg, str) and not arg.startswith("$")]
        if form.name == "Circle":
            return f"the circle has the centre {names[0]}" if names else ""
        if form.name == "Shape":
            return ""
        subject = "".join(names) if len(names) > 2 else "the figure"
        return f"{subject} is a {form.name.lower()}"
    return "" if form.name in ("Line", "Angle", "Arc", "Point") else _said(form)


def _said(arg: Form | str) -> str:
    """A noun: a shape, a measure, an expression."""
    if isinstance(arg, str):
        return math_text(arg)
    names = [a for a in arg.args if isinstance(a, str)]
    plain = "".join(math_text(n) for n in names if not n.startswith("$"))
    inner = [_said(a) for a in arg.args]
    first = arg.args[0]
    if arg.name == "Point":
        return plain or "the point"
    if arg.name == "Line" and len(names) == len(arg.args):
        return (plain if len(names) > 1 else f"line {plain}") if plain else "the line"
    if arg.name == "Angle" and len(names) == len(arg.args):
        return f"∠{plain}" if plain else "the angle"
    if arg.name == "Arc" and len(names) == len(arg.args):
        return f"arc {plain}" if plain else "the arc"
    if arg.name in _SHAPES and len(names) == len(arg.args):
        noun = "figure" if arg.name == "Shape" else arg.name.lower()
        if not plain or plain.isdigit():
            return f"the {noun}" if not plain else f"{noun} {plain}"
        return f"△{plain}" if noun == "triangle" else f"{noun} {plain}"
    if arg.name in _QUALITIES:
        bare = inner[0].removeprefix("the ")
        return f"the {arg.name.lower()} {bare}" if not plain else f"{arg.name.lower()} {bare}"
    if arg.name == "MeasureOf" and isinstance(first, Form) and first.name == "Angle":
        return f"m{inner[0]}"
    if arg.name == "LengthOf" and isinstance(first, Form) and first.name == "Line":
        return inner[0]
    if arg.name in _FUNCTIONS:
        return f"{_FUNCTIONS[arg.name]} {inner[0].removeprefix('∠')}"
    if arg.name in _SUMS:
        return _SUMS[arg.name].join(inner)
    if arg.name == "RatioOf":
        return inner[0] if len(inner) == 1 else f"the ratio of {inner[0]} to {inner[1]}"
    if arg.name == "ScaleFactorOf" and len(inner) == 2:
        return f"the scale factor of {inner[0]} to {inner[1]}"
    if arg.name.endswith("Of"):
        return f"the {_words(arg.name[:-2])} of {_and(inner)}"
    return f"{_words(arg.name)} {''.join(inner)}"


def _words(name: str) -> str:
    return _CAPITAL.sub(" ", name).lower()


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
