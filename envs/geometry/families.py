"""The list of all problem families: what a recipe may name, and which of them training never shows."""

from __future__ import annotations

from functools import lru_cache

from . import areas, circles, parallels, polygons, similar, triangles
from .family import Case, Family, Limits
from .values import Value

FAMILIES: dict[str, Family] = {
    "third_angle": triangles.ThirdAngle(),
    "exterior_angle": triangles.ExteriorAngle(),
    "isosceles_apex": triangles.IsoscelesApex(),
    "isosceles_base": triangles.IsoscelesBase(),
    "triangle_perimeter": triangles.TrianglePerimeter(),
    "right_triangle_area": triangles.RightTriangleArea(),
    "triangle_area": triangles.TriangleArea(),
    "hypotenuse": triangles.Hypotenuse(),
    "leg": triangles.Leg(),
    "midsegment": triangles.Midsegment(),
    "thirty_sixty": triangles.ThirtySixty(),
    "forty_five": triangles.FortyFive(),
    "law_of_cosines": triangles.LawOfCosines(),
    "geometric_mean": triangles.GeometricMean(),
    "angle_bisector": triangles.AngleBisector(),
    "linear_pair": parallels.LinearPair(),
    "right_angle_split": parallels.RightAngleSplit(),
    "around_point": parallels.AroundPoint(),
    "vertical_algebra": parallels.VerticalAlgebra(),
    "co_interior": parallels.CoInterior(),
    "corresponding_supplement": parallels.CorrespondingSupplement(),
    "alternate_algebra": parallels.AlternateAlgebra(),
    "corresponding_algebra": parallels.CorrespondingAlgebra(),
    "co_interior_algebra": parallels.CoInteriorAlgebra(),
    "zigzag": parallels.Zigzag(),
    "inscribed_angle": circles.InscribedAngle(),
    "central_angle": circles.CentralAngle(),
    "thales": circles.Thales(),
    "cyclic_quadrilateral": circles.CyclicQuadrilateral(),
    "tangent_angle": circles.TangentAngle(),
    "tangent_length": circles.TangentLength(),
    "crossing_chords": circles.CrossingChords(),
    "chord": circles.Chord(),
    "arc_length": circles.ArcLength(),
    "sector_area": circles.SectorArea(),
    "circle_area": circles.CircleArea(),
    "circumference": circles.Circumference(),
    "square_in_circle": circles.SquareInCircle(),
    "rectangle_perimeter": polygons.RectanglePerimeter(),
    "rectangle_area": polygons.RectangleArea(),
    "rectangle_diagonal": polygons.RectangleDiagonal(),
    "regular_perimeter": polygons.RegularPerimeter(),
    "regular_angle": polygons.RegularAngle(),
    "quadrilateral_angle": polygons.QuadrilateralAngle(),
    "parallelogram_angle": polygons.ParallelogramAngle(),
    "parallelogram_area": polygons.ParallelogramArea(),
    "trapezoid_area": polygons.TrapezoidArea(),
    "trapezoid_midsegment": polygons.TrapezoidMidsegment(),
    "rhombus_area": polygons.RhombusArea(),
    "rhombus_side": polygons.RhombusSide(),
    "similar_sides": similar.SimilarRightTriangles(),
    "side_splitter": similar.SideSplitter(),
    "area_ratio": similar.AreaRatio(),
    "similar_perimeter": similar.SimilarPerimeter(),
    "l_shape_area": areas.LShapeArea(),
    "l_shape_perimeter": areas.LShapePerimeter(),
    "frame_area": areas.FrameArea(),
    "triangle_in_rectangle": areas.TriangleInRectangle(),
    "ring_area": areas.RingArea(),
    "quarter_circle": areas.QuarterCircle(),
    "house_area": areas.HouseArea(),
}

# Families that training never shows (families="train"), so that a test on them (families="test") measures what carries
# over. Some of every topic and of every difficulty.
HELD_OUT: tuple[str, ...] = (
    "exterior_angle",
    "isosceles_base",
    "leg",
    "angle_bisector",
    "around_point",
    "corresponding_algebra",
    "zigzag",
    "tangent_angle",
    "chord",
    "circumference",
    "regular_perimeter",
    "parallelogram_area",
    "rhombus_side",
    "area_ratio",
    "l_shape_perimeter",
)


@lru_cache(maxsize=1024)
def by_answer(name: str, limits: Limits) -> dict[Value, tuple[Case, ...]]:
    """Every answer that a family can have within the limits, and the given numbers that lead to it.

    The dictionary is shared; treat it as read-only.
    """
    family = FAMILIES[name]
    found: dict[Value, list[Case]] = {}
    for case in family.cases(limits):
        value = family.answer(*case)
        # What is printed in the picture could be copied instead of computed.
        if value.plain not in {text.rstrip("°") for text in family.printed(*case)}:
            found.setdefault(value, []).append(case)
    return {value: tuple(cases) for value, cases in found.items()}
