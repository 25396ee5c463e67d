"""What is said of objects: attributes in the order in which English names them, kinds of question, plurals."""

from collections.abc import Sequence
from itertools import combinations

Query = tuple[tuple[str, str], ...]  # (attribute, value), in the order of the attributes

FLAT_ATTRIBUTES = ("size", "colour", "shape")
CLEVR_ATTRIBUTES = ("size", "colour", "material", "shape")

# The order is part of what seeds mean.
QUESTIONS = ("colour", "shape", "size", "colour+shape", "size+colour", "size+shape", "size+colour+shape")
CLEVR_QUESTIONS = tuple("+".join(chosen) for n in range(1, 5) for chosen in combinations(CLEVR_ATTRIBUTES, n))

PROTOCOL = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."


def plural(query: Query, noun: str) -> str:
    """The things that fit a query: "large red squares"; `noun` stands for a shape that is not asked about."""
    words = dict(query)
    noun = words.pop("shape", noun)
    return " ".join([*words.values(), noun + ("es" if noun.endswith("s") else "s")])


def misses(look: Sequence[str], query: Query, attributes: Sequence[str]) -> int:
    """How many attributes of a look (a value for each attribute) miss the query; 0 is a fit."""
    return sum(look[attributes.index(attribute)] != value for attribute, value in query)


def said(thought: str, answer: str) -> str:
    """A turn in the strict form."""
    return f"<think>{thought}</think><answer>{answer}</answer>"
