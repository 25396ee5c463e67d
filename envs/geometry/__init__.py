"""Geometry: problems over a diagram, twenty-odd families of them, and their exact answers."""

from .environment import Geometry

__all__ = ["Geometry"]
