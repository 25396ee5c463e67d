"""Coding: what does a spoilt document say, once a program has mended its picture?"""

from .environment import Coding

__all__ = ["Coding"]
