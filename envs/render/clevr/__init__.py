"""Three-dimensional scenes in the look of CLEVR: solids on a plane, ray cast in closed form.

    solids    what stands on the ground, in the units of CLEVR
    camera    where it is seen from; projection
    boxes     the exact box of a solid in the picture
    arranging finding room on the ground
    tracing   which solid each sample shows: masks, visible pixels
    shadows   how much of a light arrives at a point
    shading   what colour arrives at the camera
    mirroring what metal mirrors
    drawing   the pixels

Only additions, products, quotients and square roots lead to a pixel, each rounded as IEEE 754 says, and sums are taken
in a fixed order: the same scene gives the same pixels on every processor.

Source of the look and its measures: Johnson et al., CLEVR (arXiv 1612.06890), and the settings of its generator.
"""

from .arranging import arrange
from .boxes import Box, box
from .camera import Camera, Light, View, draw_view
from .drawing import picture
from .solids import COLOURS, MATERIALS, SHAPES, SIZES, Solid
from .tracing import FINE, Tracing, trace

__all__ = [
    "COLOURS",
    "FINE",
    "MATERIALS",
    "SHAPES",
    "SIZES",
    "Box",
    "Camera",
    "Light",
    "Solid",
    "Tracing",
    "View",
    "arrange",
    "box",
    "draw_view",
    "picture",
    "trace",
]
