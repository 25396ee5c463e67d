"""Grounding: where is the object that a phrase denotes?

expression   what a phrase says, as a tree: attributes, negation, relations, ordinals
evaluate     which object a tree denotes in a scene, or none
generate     trees that denote exactly one object of a scene, and scenes in which every part of a tree is needed
wording      trees in English
environment  the environment
"""

from .environment import Grounding

__all__ = ["Grounding"]
