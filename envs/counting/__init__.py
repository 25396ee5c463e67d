"""Counting: how many objects of a picture fit a description?

environment   the task: plans, questions, scoring
looks         what the pictures look like: flat shapes, or three-dimensional solids
wording       what is said of objects
"""

from .environment import Counting, CountingPlan, CountingWorld
from .wording import QUESTIONS

__all__ = ["QUESTIONS", "Counting", "CountingPlan", "CountingWorld"]
