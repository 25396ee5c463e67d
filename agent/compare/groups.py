"""Which runs are repetitions of each other: those that differ in their seed alone, or those that a label names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..config import Config, EnvironmentConfig
from ..errors import ConfigError
from .runs import RunRecord

LABEL = 36  # characters of a label that is made of options; a longer one ends in how many more there are
DEFAULTS = Config(EnvironmentConfig(""))
AREA = "run"  # where a run lives, and its seed: no group differs by that


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that are averaged.

    Attributes:
        label: What the group is called.
        runs: Sorted by seed.
        options: What distinguishes the group from the others: dotted option -> value.
        mixed: Options that differ inside a group that a label made.
    """

    label: str
    runs: tuple[RunRecord, ...]
    options: Mapping[str, Any]
    mixed: tuple[str, ...] = ()

    @property
    def finished(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.finished)

    @property
    def title(self) -> str:
        """The label, and how many runs are not finished."""
        missing = len(self.runs) - len(self.finished)
        return f"{self.label} [{missing} of {len(self.runs)} unfinished]" if missing else self.label


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Groups whose numbers can stand in one table: one environment, one metric (None: no run of it says which yet)."""

    env_id: str
    metric: str | None
    groups: tuple[Group, ...]

    @property
    def title(self) -> str:
        return f"{self.env_id}: {self.metric}" if self.metric else self.env_id


def grouped(runs: Sequence[RunRecord], labels: Mapping[str, str]) -> tuple[Group, ...]:
    """Groups in the order of their first runs. `labels`: pattern of a run's folder -> the name of its group.

    Raises:
        ConfigError: a pattern fits no run; a label or a seed would average what is not the same.
    """
    for pattern in labels:
        if not any(_fits(run, pattern) for run in runs):
            names = ", ".join(run.name for run in runs)
            raise ConfigError(f"--label {pattern!r}: fits none of the runs {names}; * stands for any characters")
    options = [_options(run) for run in runs]
    members: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        named = [name for pattern, name in labels.items() if _fits(run, pattern)]
        key = f"label {named[-1]}" if named else json.dumps(options[index], sort_keys=True, default=str)
        members.setdefault(key, []).append(index)
    varying = _varying(options)
    between = [
        name for name in varying if any(len({_text(options[i], name) for i in m}) == 1 for m in members.values())
    ]
    found: list[Group] = []
    for key, indices in members.items():
        own = [options[i] for i in indices]
        mixed = tuple(_varying(own))
        told = {name: own[0].get(name) for name in between if name not in mixed}
        label = key.removeprefix("label ") if key.startswith("label ") else _label(told, len(found) + 1)
        if any(group.label == label for group in found):
            label = f"{label} ({len(found) + 1})"
        found.append(Group(label, tuple(sorted((runs[i] for i in indices), key=lambda r: r.seed)), told, mixed))
    for group in found:
        _check(group)
    return tuple(found)


def benchmarks(groups: Sequence[Group]) -> tuple[Benchmark, ...]:
    """Tables of what can be compared. A group none of whose runs names its metric yet goes with the others of its
    environment where these have one."""
    metrics = {id(group): next((run.metric for run in group.runs if run.metric), None) for group in groups}
    known: dict[str, set[str]] = {}
    for group in groups:
        if (metric := metrics[id(group)]) is not None:
            known.setdefault(_env(group), set()).add(metric)
    found: dict[tuple[str, str | None], list[Group]] = {}
    for group in groups:
        names = known.get(_env(group), set())
        metric = metrics[id(group)] or (next(iter(names)) if len(names) == 1 else None)
        found.setdefault((_env(group), metric), []).append(group)
    return tuple(Benchmark(env_id, metric, tuple(members)) for (env_id, metric), members in found.items())


def tasks_of(run: RunRecord) -> str:
    """What decides which test tasks a run was tested on, beside their number."""
    return json.dumps([run.option(f"env.{name}") for name in ("id", "kwargs", "test")], sort_keys=True, default=str)


def _check(group: Group) -> None:
    first = group.runs[0]
    for run in group.runs[1:]:
        for what, get in (("environment", _env_of), ("metric", _metric_of)):
            if get(first) is not None and get(run) is not None and get(first) != get(run):
                raise ConfigError(
                    f"--label {group.label}: {first.name} and {run.name} are not to be averaged: their {what}s are "
                    f"{get(first)} and {get(run)}; give them labels of their own"
                )
    seeds: dict[tuple[int, str], RunRecord] = {}
    for run in group.runs:
        same = (run.seed, json.dumps(_options(run), sort_keys=True, default=str))
        if (other := seeds.setdefault(same, run)) is not run:
            raise ConfigError(
                f"{other.path} and {run.path} are one run twice (seed {run.seed}, the same options), and averaging "
                "them would make an interval too narrow; leave one out, or give them labels of their own: "
                f"--label '{run.name}=NAME'"
            )


def _env_of(run: RunRecord) -> str:
    return str(run.option("env.id"))


def _metric_of(run: RunRecord) -> str | None:
    return run.metric


def _env(group: Group) -> str:
    return _env_of(group.runs[0])


def _fits(run: RunRecord, pattern: str) -> bool:
    return fnmatchcase(run.name, pattern) or fnmatchcase(str(run.path), pattern)


def _options(run: RunRecord) -> dict[str, Any]:
    """Every option that may distinguish a group. What a run of an earlier version does not say was the default."""
    return _flat({area: value for area, value in asdict(DEFAULTS).items() if area != AREA}) | _flat(
        {area: value for area, value in run.config.items() if area != AREA}
    )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Dotted names of every leaf; a list is one."""
    if isinstance(value, Mapping) and value:
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key))
        return found
    return {name: value}


def _varying(options: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for of_one in options for name in of_one)
    return [name for name in names if len({_text(of_one, name) for of_one in options}) > 1]


def _text(options: Mapping[str, Any], name: str) -> str:
    return json.dumps(options[name], sort_keys=True, default=str) if name in options else "(not given)"


def _label(told: Mapping[str, Any], number: int) -> str:
    if not told:
        return "all runs" if number == 1 else f"group {number}"
    said = [f"{name}: {'none' if value is None else value}" for name, value in told.items()]
    shown = len(said)
    while shown > 1 and len(", ".join(said[:shown])) > LABEL:
        shown -= 1
    more = f" (+{len(said) - shown})" if shown < len(said) else ""
    return ", ".join(said[:shown])[:LABEL] + more
