"""The file of a series, and what it means: which runs, and by whose gain all of them are judged.

judged: a run's name. Its gain on the same test tasks, greedily, decides the command's exit status. May be left out.
runs: a list of
    recipe     a packaged recipe, or a YAML file beside this one
    name       the run's, and its folder's; the recipe's name where it is left out
    options    options over the recipe's by their dotted names, such as `env.kwargs.search: http://search:8001`
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..cli import read_config
from ..config import Config
from ..errors import ConfigError
from ..strict_yaml import read_yaml, short
from .options import argument, check_arrived, check_name

TOP = ("judged", "runs")
OF_A_RUN = ("name", "recipe", "options")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class PlannedRun:
    """A run before it is started.

    Attributes:
        name: Its own and its folder's.
        arguments: Of `python -m agent train`: the recipe, and every option.
        config: What they mean.
    """

    name: str
    arguments: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Series:
    """Runs in their order. `judged`: the name of one of them, or None."""

    runs: tuple[PlannedRun, ...]
    judged: str | None

    def only(self, names: list[str]) -> Series:
        """The runs of these names, in the file's order; without the judged one among them nothing is judged.

        Raises:
            ConfigError: no run has such a name.
        """
        known = [run.name for run in self.runs]
        if missing := [name for name in names if name not in known]:
            raise ConfigError(f"--only: no run is called {missing[0]!r}; there are {', '.join(known)}")
        runs = tuple(run for run in self.runs if run.name in names)
        return Series(runs, self.judged if self.judged in names else None)


def read_series(path: Path, folder: Path) -> Series:
    """A series from its file; `folder`: where its runs' folders will lie.

    Every run's options are read as `python -m agent train` will read them, so that a mistake in the last of them is
    told before the first has begun.

    Raises:
        ConfigError: the file says something else than a series, or a run's options are not acceptable.
    """
    content, tree = read_yaml(path)
    lines = _keys(path, "a series", content, tree, TOP)
    listed = content.get("runs")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(
            f"{_at(path, lines, 'runs')}: runs is a list such as `- recipe: counting`; got {short(listed)}"
        )
    nodes = next(value for key, value in tree.value if key.value == "runs").value
    runs: list[PlannedRun] = []
    for place, (said, node) in enumerate(zip(listed, nodes, strict=True), 1):
        run = _planned(path, f"run {place}", said, node, folder)
        if run.name in [other.name for other in runs]:
            raise ConfigError(
                f"{path}, line {node.start_mark.line + 1}: two runs are called {run.name!r}; give one another name"
            )
        runs.append(run)
    judged = content.get("judged")
    if judged is not None:
        _check_judged(_at(path, lines, "judged"), judged, runs)
    return Series(tuple(runs), judged)


def _planned(path: Path, what: str, said: Any, node: yaml.Node, folder: Path) -> PlannedRun:
    lines = _keys(path, what, said, node, OF_A_RUN)
    here = f"{path}, line {node.start_mark.line + 1}"
    recipe = said.get("recipe")
    if not isinstance(recipe, str) or not recipe:
        where = _at(path, lines, "recipe") if lines.get("recipe") else here
        raise ConfigError(f"{where}: {what} needs a recipe, by its name or its file; got {short(recipe)}")
    if recipe.endswith((".yaml", ".yml")):
        recipe = str(path.parent / recipe)
    name = said.get("name", Path(recipe).name.removesuffix(".yaml").removesuffix(".yml"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{_at(path, lines, 'name')}: a run's name is also its folder's: letters, digits, dots, dashes and "
            f"underscores, beginning with a letter or a digit; got {short(name)}"
        )
    options = said.get("options", {})
    if not isinstance(options, Mapping):
        raise ConfigError(
            f"{_at(path, lines, 'options')}: options is a mapping such as `optimizer.steps: 30`; got {short(options)}"
        )
    at = _lines(next(value for key, value in node.value if key.value == "options")) if options else {}
    arguments = [recipe]
    for option, value in options.items():
        with _told_at(_at(path, at, option), name):
            check_name(option)
            arguments.append(argument(option, value))
    arguments += [f"--run.folder={folder}", f"--run.name={name}"]
    with _told_at(here, name):
        config = read_config("train", arguments)
    for option, value in options.items():
        with _told_at(_at(path, at, option), name):
            check_arrived(config, option, value)
    return PlannedRun(name, tuple(arguments), config)


def _keys(path: Path, what: str, said: Any, node: yaml.Node | None, allowed: tuple[str, ...]) -> dict[str, int]:
    """The line of each key of a mapping, whose keys are all allowed."""
    if not isinstance(said, Mapping) or node is None:
        where = path if node is None else f"{path}, line {node.start_mark.line + 1}"
        raise ConfigError(f"{where}: {what} is a mapping of {', '.join(allowed)}; got {short(said)}")
    lines = _lines(node)
    for key in said:
        if key not in allowed:
            raise ConfigError(f"{_at(path, lines, key)}: {what} has no {key!r}; allowed: {', '.join(allowed)}")
    return lines


def _lines(node: yaml.Node) -> dict[str, int]:
    """The line of each key of a mapping, 1 is the first."""
    return {str(key.value): key.start_mark.line + 1 for key, _ in node.value}


@contextmanager
def _told_at(*places: str) -> Iterator[None]:
    """A ConfigError says first where it comes from."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{', '.join(places)}: {error}") from error


def _at(path: Path, lines: Mapping[str, int], key: object) -> str:
    line = lines.get(str(key))
    return str(path) if line is None else f"{path}, line {line}"


def _check_judged(where: str, judged: Any, runs: list[PlannedRun]) -> None:
    run = next((run for run in runs if run.name == judged), None)
    if run is None:
        known = ", ".join(run.name for run in runs)
        raise ConfigError(f"{where}: judged is the name of one of the runs: {known}; got {short(judged)}")
    if not run.config.evaluation.test_episodes:
        raise ConfigError(f"{where}: {judged} is never tested (evaluation.test_episodes is 0), so nothing judges it")
