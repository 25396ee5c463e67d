"""Referring expressions in English.

Three styles word the same tree. A condition is worded where no reading but the tree's is natural: what an ordinal or
"nearest" ranks is said before it ("second non-red circle from the left"), or after "among"; a phrase that describes an
anchor further begins with "that is".
"""

from __future__ import annotations

from dataclasses import dataclass

from .expression import Beside, Is, Nearest, Not, Ordinal, Referring, Same

STYLES = 3
OPENINGS = ("Find the {}.", "Where is the {}?", "Locate the {}.", "Point out the {}.")
_ADJECTIVES = ("size", "colour", "material")  # in the order in which English names them
_PLACES = ("first", "second", "third", "fourth", "fifth")
_LATER = ("{1} {0} from the {2}", "{0} that is {1} from the {2}", "{0} in {1} place from the {2}")
_NEAREST = ("{} nearest to the {}", "{} closest to the {}", "{} that is nearest to the {}")
_SAME = ("{} with the same {} as the {}", "{} that has the same {} as the {}", "{} whose {} is that of the {}")


@dataclass(frozen=True)
class Terms:
    """The words that depend on what a picture shows: on paper things are above each other, on the ground behind.

    nouns: for an object whose shape is not said; by style. first: the outermost from each side; by style. edge: the
    name of each side. beside: on each side of another; by style. terse: the same in the short form.
    """

    nouns: tuple[str, str, str]
    first: dict[str, tuple[str, str, str]]
    edge: dict[str, str]
    beside: dict[str, tuple[str, str, str]]
    terse: dict[str, str]


_FIRST = {
    "left": ("leftmost {}", "{} farthest to the left", "first {} from the left"),
    "right": ("rightmost {}", "{} farthest to the right", "first {} from the right"),
}
_BESIDE = {
    "left": ("left of", "to the left of", "further left than"),
    "right": ("right of", "to the right of", "further right than"),
}
FLAT = Terms(
    nouns=("object", "shape", "thing"),
    first=_FIRST
    | {
        "above": ("topmost {}", "highest {}", "first {} from the top"),
        "below": ("bottommost {}", "lowest {}", "first {} from the bottom"),
    },
    edge={"left": "left", "right": "right", "above": "top", "below": "bottom"},
    beside=_BESIDE
    | {
        "above": ("above", "higher up than", "further up than"),
        "below": ("below", "lower down than", "further down than"),
    },
    terse={"left": "left of", "right": "right of", "above": "above", "below": "below"},
)
SOLID = Terms(
    nouns=("object", "thing", "solid"),
    first=_FIRST
    | {
        "above": ("{} farthest to the back", "{} at the very back", "first {} from the back"),
        "below": ("{} farthest to the front", "{} at the very front", "first {} from the front"),
    },
    edge={"left": "left", "right": "right", "above": "back", "below": "front"},
    beside=_BESIDE
    | {
        "above": ("behind", "further back than", "farther away than"),
        "below": ("in front of", "further to the front than", "closer to the viewer than"),
    },
    terse={"left": "left of", "right": "right of", "above": "behind", "below": "in front of"},
)


def short(expression: Referring, terms: Terms = FLAT) -> str:
    """The words that carry meaning and no others: "second red circle from left", "circle left of blue square"."""
    words = _adjectives(expression)
    words += [value for attribute, value in _said(expression) if attribute == "shape"]
    words = words or ["object"]
    words += [f"not {value}" for _, value in _denied(expression)]
    for condition in expression.conditions:
        if isinstance(condition, Beside):
            words.append(f"{terms.terse[condition.side]} {short(condition.anchor, terms)}")
        if isinstance(condition, Same):
            words.append(f"same {condition.attribute} as {short(condition.anchor, terms)}")
    if isinstance(expression.pick, Nearest):
        words.append(f"nearest to {short(expression.pick.anchor, terms)}")
    if isinstance(expression.pick, Ordinal):
        words = [_PLACES[expression.pick.place - 1], *words, "from", terms.edge[expression.pick.side]]
    return " ".join(words)


def phrase(expression: Referring, style: int, terms: Terms = FLAT, inside: bool = False) -> str:
    """The noun phrase without its article, in style 0, 1 or 2: "large circle that is not red". inside: it describes
    the anchor of another."""
    pick, denied = expression.pick, _denied(expression)
    related = [c for c in expression.conditions if isinstance(c, Beside | Same)]
    noun = dict(_said(expression)).get("shape", terms.nouns[style])
    adjectives = _adjectives(expression)
    if denied and (pick is not None or related or style == 2):
        adjectives += [f"non-{value}" for _, value in denied]
        denied = []
    if (
        style == 2
        and adjectives
        and noun not in terms.nouns
        and not (denied or pick or related or "non-" in adjectives[-1])
    ):
        return f"{noun} that is {' and '.join(adjectives)}"
    if isinstance(pick, Ordinal) and related:
        noun = noun + ("es" if noun.endswith("s") else "s")
    text = " ".join([*adjectives, noun])
    if denied:
        named = [f"a {value}" if attribute == "shape" else value for attribute, value in denied]
        link = (" and not ", " or ")[style]
        text += f" that is not {link.join(named)}"
    for condition in related:
        anchor = phrase(condition.anchor, style, terms, True)
        if isinstance(condition, Same):
            text = _SAME[style].format(text, condition.attribute, anchor)
        else:
            that = "that are " if isinstance(pick, Ordinal) else "that is " if style or inside else ""
            text += f" {that}{terms.beside[condition.side][style]} the {anchor}"
    if isinstance(pick, Nearest):
        text = _NEAREST[style].format(text, phrase(pick.anchor, style, terms, True))
    if isinstance(pick, Ordinal):
        if related:
            first = terms.first[pick.side][0].format("one")
            later = f"{_PLACES[pick.place - 1]} one from the {terms.edge[pick.side]}"
            return f"{first if pick.place == 1 else later} among the {text}"
        if pick.place == 1:
            return terms.first[pick.side][style].format(text)
        return _LATER[style].format(text, _PLACES[pick.place - 1], terms.edge[pick.side])
    return text


def _said(expression: Referring) -> list[tuple[str, str]]:
    return [(c.attribute, c.value) for c in expression.conditions if isinstance(c, Is)]


def _denied(expression: Referring) -> list[tuple[str, str]]:
    inner = [c.condition for c in expression.conditions if isinstance(c, Not)]
    return [(c.attribute, c.value) for c in inner if isinstance(c, Is)]


def _adjectives(expression: Referring) -> list[str]:
    said = dict(_said(expression))
    return [said[attribute] for attribute in _ADJECTIVES if attribute in said]
