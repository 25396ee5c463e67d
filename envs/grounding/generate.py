"""What a phrase says: first its conditions on the target's own attributes, then, on the finished scene, the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .candidates import Candidates
from .evaluate import Scene, denoted
from .expression import Condition, Is, Not, Referring, weaker
from .looks import Look
from .template import Template

TRIALS = 12  # expressions tried on one scene before another is drawn


def own_conditions(
    template: Template, target: Look, values: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> tuple[tuple[Condition, ...], str]:
    """Conditions on the target's own attributes, and, for the relation "same", the attribute that is compared
    (otherwise ""). Drawn at random; `templates` gives only forms for which there are any."""
    names = list(values)
    order = [names[k] for k in rng.permutation(len(names)).tolist()]
    denied: list[Condition] = []
    if template.negated:
        name = next(a for a in order if len(values[a]) >= template.negated + 2)
        # An attribute of two values leaves no value for objects beyond the block, so others are said first.
        order = sorted((a for a in order if a != name), key=lambda a: len(values[a]) == 2)
        others = [v for v in values[name] if v != target[names.index(name)]]
        denied = [Not(Is(name, others[k])) for k in sorted(rng.permutation(len(others))[: template.negated].tolist())]
    compared = ""
    if template.relation == "same":
        # See Looks: what is said needs three values. One word describes an anchor best by an attribute of many values.
        order.sort(key=lambda a: len(values[a]) == 2)
        compared = (
            min(order[1:], key=lambda a: len(values[a])) if template.anchor == 1 else order[int(rng.integers(2)) + 1]
        )
    said = order[: template.own]
    return (*(Is(a, v) for a, v in zip(names, target, strict=True) if a in said), *denied), compared


def complete(
    template: Template,
    conditions: tuple[Condition, ...],
    compared: str,
    target: int,
    scene: Scene,
    names: Sequence[str],
    rng: np.random.Generator,
) -> Referring | None:
    """An expression of this form that begins with `conditions`, denotes `target` and loses that by the loss of any of
    its parts; None where the scene has none. All there are have about the same chance."""
    found = Candidates(conditions, target, scene, names).of(template, compared)
    tried = (found[int(k)] for k in rng.permutation(len(found))[:TRIALS])
    return next((expression for expression in tried if exact(expression, target, scene)), None)


def exact(expression: Referring, target: int, scene: Scene) -> bool:
    """Whether it denotes `target`, and nothing weaker does."""
    return denoted(expression, scene) == target and all(denoted(e, scene) != target for e in weaker(expression))
