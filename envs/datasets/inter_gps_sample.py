"""A small synthetic set in both published layouts of Inter-GPS: right triangles, parallelograms, circles, parallels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41))


def write_sample(folder: str | Path) -> None:
    """Twelve problems of each split as NUMBER/data.json and logic_form.json (train and validation), or as annotations
    with answers (test)."""
    folder = Path(folder)
    for part, first in (("train", 0), ("val", 2101)):
        for number in range(first, first + 12):
            forms, data = _problem(number)
            place = folder / part / str(number)
            place.mkdir(parents=True, exist_ok=True)
            (place / "logic_form.json").write_text(json.dumps(forms, indent=1), encoding="utf-8")
            (place / "data.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    diagrams, texts, answers = {}, {}, {}
    for number in range(2401, 2413):
        forms, data = _problem(number)
        name = str(number)
        texts[name] = {"annot_id": "sample", "text_logic_forms": forms["text_logic_form"]}
        diagrams[name] = {
            "annot_id": "sample",
            "point_instances": sorted(forms["point_positions"]),
            "line_instances": forms["line_instances"],
            "circle_instances": forms["circle_instances"],
            "diagram_logic_forms": forms["diagram_logic_form"],
            "point_positions": forms["point_positions"],
        }
        answers[name] = {"answer": data["precise_value"][0], "runs": 12, "spread": 0.0}
    for file, value in (
        ("diagram_logic_forms_annot.json", diagrams),
        ("text_logic_forms_annot.json", texts),
        ("solved_test_answers.json", answers),
    ):
        (folder / file).write_text(json.dumps(value, indent=1), encoding="utf-8")


def _problem(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    a, b, c = TRIPLES[number % len(TRIPLES)]
    grow = 1 + number // len(TRIPLES) % 3
    points, lines, circles, diagram, text, wording, answer = (_triangle, _parallelogram, _circle, _parallels)[
        number % 4
    ](a * grow, b * grow, c * grow, number)
    forms = {
        "text_logic_form": text,
        "diagram_logic_form": diagram,
        "line_instances": lines,
        "circle_instances": circles,
        "point_positions": points,
    }
    data = {
        "id": number,
        "problem_text": wording,
        "choices": [str(answer), str(answer + 1), str(answer + 2), str(answer + 4)],
        "answer": "A",
        "precise_value": [float(answer), answer + 1.0, answer + 2.0, answer + 4.0],
        "data_type": "train" if number < 2101 else "val" if number < 2401 else "test",
    }
    return forms, data


def _triangle(a: int, b: int, c: int, number: int) -> tuple[Any, ...]:
    points = {"A": [10.0, 10.0], "B": [10.0, 10.0 + 6 * a], "C": [10.0 + 6 * b, 10.0 + 6 * a]}
    diagram = [
        f"Equals(LengthOf(Line(A, B)), {a})",
        f"Equals(LengthOf(Line(B, C)), {b})",
        "Equals(LengthOf(Line(A, C)), x)",
        "Perpendicular(Line(A, B), Line(B, C))",
    ]
    return points, ["AB", "BC", "AC"], [""], diagram, ["Find(x)"], "Find x.", c


def _parallelogram(a: int, b: int, c: int, number: int) -> tuple[Any, ...]:
    points = {"A": [40.0, 10.0], "B": [240.0, 10.0], "C": [200.0, 110.0], "D": [0.0, 110.0]}
    diagram = [f"Equals(LengthOf(Line(A, B)), x+{a})", f"Equals(LengthOf(Line(C, D)), {a + c + number})"]
    text = ["Parallelogram(A,B,C,D)", "Find(x)"]
    return points, ["AB", "BC", "CD", "DA"], [], diagram, text, "ABCD is a parallelogram. Find x.", c + number


def _circle(a: int, b: int, c: int, number: int) -> tuple[Any, ...]:
    points = {"O": [100.0, 100.0], "A": [0.0, 100.0], "B": [160.0, 20.0], "C": [200.0, 100.0]}
    diagram = [f"PointLiesOnCircle({p}, Circle(O, radius_0_0))" for p in "ABC"]
    diagram += ["PointLiesOnLine(O, Line(A, C))", f"Equals(LengthOf(Line(O, B)), {a + number})"]
    text = ["Circle(O)", "Find(LengthOf(Line(A,C)))"]
    return points, ["AC", "OA", "OC", "OB"], ["O"], diagram, text, "In circle O, find AC.", 2 * (a + number)


def _parallels(a: int, b: int, c: int, number: int) -> tuple[Any, ...]:
    # The crossing line runs 3 down in 4: an angle of 36.87 degrees, labelled 37 or thereabouts.
    points = {
        "A": [0.0, 30.0], "B": [200.0, 30.0], "C": [0.0, 90.0], "D": [200.0, 90.0],
        "E": [20.0, 0.0], "F": [180.0, 120.0], "G": [60.0, 30.0], "H": [140.0, 90.0],
    }  # fmt: skip
    size = 30 + (a + number) % 15
    diagram = [
        "Parallel(Line(A, B), Line(C, D))",
        *(
            f"PointLiesOnLine({p}, Line({line}))"
            for p, line in (("G", "A, B"), ("H", "C, D"), ("G", "E, F"), ("H", "E, F"))
        ),
        f"Equals(MeasureOf(Angle(B, G, F)), {size})",
        "Equals(MeasureOf(Angle(C, H, F)), MeasureOf(angle 1))",
    ]
    text = ["Find(MeasureOf(Angle(1)))"]
    return points, ["AB", "CD", "EF"], [""], diagram, text, "Find m \\angle 1.", 180 - size
