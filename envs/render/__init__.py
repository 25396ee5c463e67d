"""How pictures are drawn: world state in, pixels out.

Whole numbers only on the way to a pixel, and one rounding at the end, so that the same world gives the same pixels on
every processor: no sine, no root, no fused multiply-add can differ.
"""
