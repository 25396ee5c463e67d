"""Where worlds come from: numbered tasks, seeds, and splits that cannot overlap.

A world belongs to the split that the hash of its own state names (80% train, 10% validation, 10% test). To make a world
of a split, worlds are drawn until one falls into it. So two splits are disjoint by construction: no list of held-out
items is kept, none can leak, and it holds across seeds, machines and runs.

Generators are Philox, keyed by coordinates (environment, split, how it was asked for, number): world i needs no world
before it, and equal coordinates give equal worlds everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

import numpy as np

from .errors import WorldNotFoundError

World = TypeVar("World")

SPLITS = ("train", "validation", "test")

# Procedural worlds have no natural number. Held-out lists are short enough to be played whole; 2048 episodes give a
# 95% interval of about two points either way.
NUM_TASKS = {"train": 1_000_000, "validation": 2048, "test": 2048}

BUILDS_PER_PLAN = 400  # a split of 10% is missed 400 times in a row once in 10^18
PLANS_PER_TASK = 25


@dataclass(frozen=True)
class Task(Generic[World]):
    """One world and where it came from.

    index: number in the split's list, or None when the world came from a seed.
    seed: the seed asked for, or None when the world came from the list.
    key: 16 hexadecimal digits, the hash of the world's state; equal worlds have equal keys.
    """

    split: str
    index: int | None
    seed: int | None
    world: World
    key: str


def generator(*coordinates: str | int) -> np.random.Generator:
    """The random generator of these coordinates: the same everywhere, independent of all others."""
    digest = blake2b(repr(coordinates).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def hash_state(state: bytes) -> str:
    """The hash of a world's state: 16 hexadecimal digits."""
    return blake2b(state, digest_size=8).hexdigest()


def split_of(key: str) -> str:
    """The one split that a world with this hash belongs to."""
    bucket = int(key, 16) % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def draw_task(
    name: str,
    split: str,
    index: int | None,
    seed: int | None,
    plan: Callable[[np.random.Generator], object],
    build: Callable[[object, np.random.Generator], World | None],
    state: Callable[[World], bytes],
    admit: Callable[[World], bool],
) -> Task[World]:
    """Draw the world of (split, index) or of (split, seed).

    The plan is drawn once and kept while worlds that do not fit are thrown away, so that what it fixes (the answer,
    say) has the same distribution in every split, however often worlds are refused.

    Raises:
        WorldNotFoundError: hardly any world fits; the message says after how many trials.
    """
    rng = generator(name, split, "task" if index is not None else "seed", index if index is not None else seed or 0)
    for _ in range(PLANS_PER_TASK):
        planned = plan(rng)
        for _ in range(BUILDS_PER_PLAN):
            world = build(planned, rng)
            if world is None:
                continue
            key = hash_state(state(world))
            if split_of(key) == split and admit(world):
                return Task(split, index, seed, world, key)
    raise WorldNotFoundError(
        f"{name}: no world for the split {split!r} in {PLANS_PER_TASK * BUILDS_PER_PLAN} trials. The keyword arguments "
        "leave too few different worlds, or too little room for what they ask; allow more variety or more room."
    )
