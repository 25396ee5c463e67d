"""Which descriptions may be asked about, and which objects fit them."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..core import arguments
from ..core.errors import ArgumentError
from ..core.held_out import allowed
from .looks import Look
from .wording import Query, misses

Names = tuple[str, ...]  # a value for each attribute of a look


class Asking:
    """The questions of one environment.

    kinds: those asked, each attributes joined by "+". A pair of colour and shape is held out by the places of the two
    in the look's full lists, whatever part of the lists is used.

    Raises:
        ArgumentError: a kind of question that no object could miss, or that `combinations` leaves nothing to ask of.
    """

    def __init__(self, look: Look, question: Sequence[str] | None, combinations: str) -> None:
        self.look, self.values, self.combinations = look, look.values, combinations
        self._pools: dict[Query, tuple[list[Names], ...]] = {}
        self.kinds = self._kinds(question)
        self._queries: dict[str, list[Query]] = {}
        if combinations != "all":
            self._queries = {kind: self._permitted(kind) for kind in self.kinds}
            self.kinds = self._not_empty(question)

    def draw(self, rng: np.random.Generator) -> Query:
        """A query of a kind that is drawn first, uniformly."""
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        if self._queries:
            return self._queries[kind][int(rng.integers(len(self._queries[kind])))]
        return tuple((a, self.values[a][int(rng.integers(len(self.values[a])))]) for a in kind.split("+"))

    def pools(self, query: Query) -> tuple[list[Names], ...]:
        """The names that an object may have: those that fit, that miss in exactly one attribute, that do not fit."""
        if query not in self._pools:
            attributes = self.look.attributes
            every = [names for names in product(*(self.values[a] for a in attributes)) if self._shown(names)]
            missed = [misses(names, query, attributes) for names in every]
            others = [names for names, n in zip(every, missed, strict=True) if n > 0]
            self._pools[query] = (
                [names for names, n in zip(every, missed, strict=True) if n == 0],
                [names for names, n in zip(every, missed, strict=True) if n == 1] or others,
                others,
            )
        return self._pools[query]

    def _kinds(self, question: Sequence[str] | None) -> tuple[str, ...]:
        every = self.look.questions
        askable = [q for q in every if all(len(self.values[a]) > 1 for a in q.split("+"))]
        if question is None and askable:
            return tuple(askable)
        kinds = arguments.names("question", every if question is None else question, every)
        for kind in kinds:
            if kind not in askable:
                raise ArgumentError(
                    f"question={kind!r} needs two values of each of its attributes, so that an object can miss it; got "
                    f"{', '.join(f'{a}: {len(v)}' for a, v in self.values.items())}. Add values or ask: {askable}"
                )
        return kinds

    def _not_empty(self, question: Sequence[str] | None) -> tuple[str, ...]:
        possible = tuple(kind for kind in self.kinds if self._queries[kind])
        if not possible or (question is not None and possible != self.kinds):
            lacking = next(kind for kind in self.kinds if not self._queries[kind])
            needs = "it must name colour and shape, and " if self.combinations == "unseen" else ""
            raise ArgumentError(
                f"combinations={self.combinations!r} leaves nothing to ask with question={lacking!r}: {needs}the pairs "
                f"of the colours {list(self.values['colour'])} and the shapes {list(self.values['shape'])} that may be "
                "used are too few. Allow more colours or shapes, or choose other kinds of question"
            )
        return possible

    def _permitted(self, kind: str) -> list[Query]:
        """Every query of a kind that may be asked, that some object can fit and that another one can miss."""
        names = kind.split("+")
        queries = [tuple(zip(names, values, strict=True)) for values in product(*(self.values[a] for a in names))]
        return [query for query in queries if self._asked(dict(query)) and all(self.pools(query))]

    def _asked(self, words: dict[str, str]) -> bool:
        if "colour" in words and "shape" in words:
            return self._pair(self.combinations, words["colour"], words["shape"])
        return self.combinations != "unseen"

    def _shown(self, names: Names) -> bool:
        # Held-out pairs are missing from the pictures of training; at the test the others are there as well.
        by_attribute = dict(zip(self.look.attributes, names, strict=True))
        return self.combinations != "seen" or self._pair("seen", by_attribute["colour"], by_attribute["shape"])

    def _pair(self, combinations: str, colour: str, shape: str) -> bool:
        every = self.look.every
        return allowed(combinations, every["colour"].index(colour), every["shape"].index(shape))
