"""Who plays what, how, and which episodes that takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ..errors import ConfigError
from ..evaluate import episode_spec
from ..rollout.episode import Budget, EpisodeSpec
from .benchmark import Benchmark

SLUG = 100


@dataclass(frozen=True)
class Wanted:
    """An episode: the task's place in the split, which of its samples, and the specification."""

    index: int
    sample: int
    spec: EpisodeSpec


@dataclass(frozen=True)
class Sitting:
    """One subject at one benchmark.

    Attributes:
        subject: The name of who plays.
        fingerprint: What says that it is still the same who plays.
        variant: One of the benchmark's, or "".
        temperature: Of sampling; 0 is greedy, None for a baseline, which nobody samples.
        samples: Episodes of each task.
        seed: Root of every random draw.
        checkpoint: The folder of who plays, for those who look at tokens later; "" without one. Where it lies is no
            setting: it may be moved.
    """

    subject: str
    fingerprint: Mapping[str, Any]
    benchmark: Benchmark
    variant: str
    temperature: float | None
    samples: int
    seed: int
    checkpoint: str = ""

    @property
    def decoding(self) -> str:
        """How it is called in tables."""
        if self.temperature is None:
            return "none"
        return "greedy" if self.temperature == 0 else "sampled"

    @property
    def slug(self) -> str:
        """The name of its file."""
        heat = "none" if self.temperature is None else f"t{self.temperature:g}"
        parts = (self.subject, self.benchmark.name, self.benchmark.split, self.variant, heat)
        return slug("_".join(part for part in parts if part))

    @property
    def budget(self) -> Budget:
        """What an episode may use."""
        sizes = self.benchmark.sizes
        return Budget(
            self.temperature or 0.0,
            sizes.max_turn_tokens,
            sizes.max_row_tokens,
            sizes.max_turns,
            sizes.max_episode_tokens,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What an episode depends on. A later call continues only where all of it is the same."""
        spec, sizes = self.benchmark.played(self.variant), self.benchmark.sizes
        limits = ("max_turn_tokens", "max_row_tokens", "max_turns", "max_episode_tokens", "observations")
        return {
            "subject": self.subject,
            "fingerprint": dict(self.fingerprint),
            "benchmark": self.benchmark.name,
            "split": self.benchmark.split,
            "variant": self.variant,
            "env": {"id": spec.id, "kwargs": dict(spec.kwargs)},
            "temperature": self.temperature,
            "seed": self.seed,
            "limits": {name: getattr(sizes, name) for name in limits},
        }

    def episodes(self, count: int | None) -> list[Wanted]:
        """The episodes, all of sample 0 first. count: the tasks that the split numbers, or None.

        The first sample has the dice of a run's own test, so that figures can be compared bit for bit.
        """
        tasks = self.benchmark.tasks(count)
        return [
            Wanted(index, sample, episode_spec(index, None if count is None else index, self.seed, sample))
            for sample in range(self.samples)
            for index in range(tasks)
        ]


def check_sizes(benchmark: Benchmark) -> None:
    """Raises ConfigError for limits that no episode can be played with."""
    sizes = benchmark.sizes
    for name, least in (("max_turn_tokens", 1), ("max_turns", 1), ("max_episode_tokens", 0), ("concurrency", 1)):
        if getattr(sizes, name) < least:
            raise ConfigError(f"rollout.{name}: must be at least {least}, got {getattr(sizes, name)}")


def slug(text: str) -> str:
    """Text as the name of a file: letters, digits, dots, dashes; what is long ends in a hash. Two texts may have one
    name; their settings differ then, and the second is refused (`folder`)."""
    plain = re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_.") or "evaluation"
    if len(plain) <= SLUG:
        return plain
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: SLUG - 9]}_{digest}"


def unique(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that stood before."""
    found: list[str] = []
    for name in names:
        told, number = name, 2
        while told in found:
            told, number = f"{name} ({number})", number + 1
        found.append(told)
    return found
