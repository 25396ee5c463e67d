"""Suites: named sets of benchmarks, as YAML. Here and in recipes alone do environment ids stand.

title: one line.
include: other suites, by name.
modules: modules to import, because they register environments.
benchmarks: a list of
    name       how it is called in tables, and by --data
    env        a Gymnasium id
    kwargs     arguments of the environment
    splits     what is played where --split is not given
    rollout    limits, as in a recipe
    variants   other ways to play it: arguments over `kwargs`, by name
    measures   metrics that are shown beside the primary one
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .. import packaged as yaml_files
from ..errors import ConfigError

FIELDS = {"name", "env", "kwargs", "splits", "rollout", "variants", "measures"}
TOP = {"title", "include", "modules", "benchmarks"}


def packaged() -> dict[str, Path]:
    """The packaged suites by name."""
    return yaml_files.packaged(__name__)


def find(name: str) -> Path:
    """A YAML file by its path, or a packaged suite by its name.

    Raises:
        ConfigError: neither exists; the nearest packaged suite is named.
    """
    return yaml_files.find(name, packaged(), "suite")


def read(name: str, seen: tuple[str, ...] = ()) -> tuple[list[str], list[dict[str, Any]]]:
    """Modules and benchmarks of a suite, those of the suites that it includes first.

    Raises:
        ConfigError: the file says something else than a suite; it is named with what is allowed.
    """
    if name in seen:
        raise ConfigError(f"--suite: {' includes '.join((*seen, name))}: a suite cannot include itself")
    path = find(name)
    try:
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(suite, dict) or not set(suite) <= TOP:
        raise ConfigError(f"{path}: expected a mapping with {', '.join(sorted(TOP))}; got {_shown(suite)}")
    modules: list[str] = [str(module) for module in suite.get("modules") or ()]
    benchmarks: list[dict[str, Any]] = []
    for included in suite.get("include") or ():
        more, theirs = read(str(included), (*seen, name))
        modules, benchmarks = [*more, *modules], [*benchmarks, *theirs]
    benchmarks += list(_checked(path, suite.get("benchmarks") or ()))
    names = [benchmark["name"] for benchmark in benchmarks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not benchmarks or twice:
        raise ConfigError(f"{path}: " + (f"the benchmark {twice!r} stands twice" if twice else "it holds no benchmark"))
    return modules, benchmarks


def _checked(path: Path, benchmarks: Any) -> Iterator[dict[str, Any]]:
    for place, benchmark in enumerate(benchmarks, 1):
        if not isinstance(benchmark, dict) or not {"name", "env"} <= set(benchmark) <= FIELDS:
            raise ConfigError(
                f"{path}, benchmark {place}: expected a mapping with name and env, and of {', '.join(sorted(FIELDS))} "
                f"what is needed; got {_shown(benchmark)}"
            )
        yield benchmark


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, dict) else repr(value)[:80]
