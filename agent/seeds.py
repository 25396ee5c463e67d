"""Seeds from coordinates: no generator is ever carried along, so a run can be entered anywhere.

Each random draw belongs to coordinates such as (run seed, "rollout", step, task, sibling, turn). Their hash keys a
counter-based Philox generator of its own, and nothing depends on the order in which draws are made.
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np

Coordinate = int | str | None


def derive_seed(*coordinates: Coordinate) -> int:
    """A 63-bit seed, equal on every machine for equal coordinates; each coordinate changes it."""
    # A NumPy integer prints otherwise than the same int, and a float is nobody's coordinate.
    plain = tuple(c if c is None or isinstance(c, str) else operator.index(c) for c in coordinates)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*coordinates: Coordinate) -> np.random.Generator:
    """The generator that belongs to these coordinates."""
    return np.random.Generator(np.random.Philox(key=derive_seed(*coordinates)))


def uniforms(seed: int, count: int) -> np.ndarray:
    """(count,) float64 in [0, 1): the draws of one action, token by token."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
