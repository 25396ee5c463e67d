"""The forms that an expression may take, and how many conditions each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

KINDS = ("attributes", "negation", "ordinal", "relation", "same")
MAX_CONDITIONS = 6


@dataclass(frozen=True, slots=True)
class Template:
    """The form of an expression.

    kind: the rarest thing in it. own: attributes that the target is said to have; negated: values that it is said not
    to have, all of one attribute. relation: "", "side", "nearest" or "same"; anchor: attributes that its anchor is said
    to have; hop: the anchor is itself described by its side of a third object. ordinal: it ends in an ordinal.
    """

    kind: str
    own: int = 0
    negated: int = 0
    relation: str = ""
    anchor: int = 0
    hop: bool = False
    ordinal: bool = False

    @property
    def size(self) -> int:
        """Conditions and picks in all, as `expression.size` counts them."""
        related = (1 + self.anchor if self.relation else 0) + 2 * self.hop
        return self.own + self.negated + related + self.ordinal

    @property
    def objects(self) -> int:
        """How many objects it takes: near misses in all combinations, and the members."""
        if self.relation == "same":
            return 3 * 2
        return (1 << self.own) * (1 + self.negated) + self.members - 1

    @property
    def members(self) -> int:
        """How many objects, at the least, meet the conditions on attributes, so that the rest is needed too."""
        return 1 + self.placed + (self.ordinal and bool(self.relation))

    @property
    def placed(self) -> bool:
        """Whether it says anything about other objects or about places."""
        return bool(self.relation) or self.ordinal


def templates(
    kinds: Sequence[str], sizes: tuple[int, int], values: Mapping[str, Sequence[str]], objects: int
) -> dict[str, list[Template]]:
    """Every form of these kinds with `sizes` conditions, for objects with these varying attributes; by kind.

    A form that combines kinds is listed under the last of them in `KINDS`, and only if all are wanted. Forms that need
    more than `objects` objects are left out.
    """
    varying, most = len(values), max(map(len, values.values()), default=0)
    found: dict[str, list[Template]] = {}
    for own, negated, relation, anchor, hop, ordinal in product(
        range(varying + 1), range(3), ("", "side", "nearest", "same"), range(3), (False, True), (False, True)
    ):
        features = {
            "attributes": not (negated or relation or ordinal),
            "negation": negated > 0,
            "ordinal": ordinal,
            "relation": relation in ("side", "nearest") or hop,
            "same": relation == "same",
        }
        has = [kind for kind in KINDS if features[kind]]
        template = Template(has[-1], own, negated, relation, anchor, hop, ordinal)
        fits = (
            set(has) <= set(kinds)
            and sizes[0] <= template.size <= sizes[1]
            and bool(relation) == (anchor > 0)
            and anchor <= varying - (relation == "same")
            and not (relation == "same" and hop and anchor > 1)
            and not (hop and not relation)
            and not (ordinal and relation in ("nearest", "same"))
            and own + bool(negated) <= varying
            # One attribute is said, one compared and a third describes the anchor.
            and (relation != "same" or (own == 1 and not negated and varying > 2 and most > 2))
            # Of two values, "not large" would only be another word for "small".
            and (not negated or negated + 2 <= most)
            # "The object that is not red" needs all others to be red; "the object left of ..." is always outermost.
            and (own > 0 or (negated == 0 and (ordinal or relation == "nearest")))
            # More conditions on the target are hardly ever all needed where places count as well.
            and not (relation and own + negated > (1 if ordinal else 2))
            and template.objects <= objects
        )
        if fits:
            found.setdefault(template.kind, []).append(template)
    return found
