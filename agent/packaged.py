"""YAML files that come with the package: recipes and suites, by name or by path."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from .errors import ConfigError


def packaged(package: str) -> dict[str, Path]:
    """The YAML files of a package by name, those in a folder after the others."""
    root = Path(str(files(package)))
    paths = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*.yaml")}
    return dict(sorted(paths.items(), key=lambda named: (named[0].count("/"), named[0])))


def find(name: str, known: Mapping[str, Path], what: str) -> Path:
    """A YAML file by its path, or one of `known` by its name. what: "recipe", as messages call it.

    Raises:
        ConfigError: neither exists; the nearest name is told.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        if not Path(name).is_file():
            raise ConfigError(f"{name}: no such {what} file")
        return Path(name)
    if name not in known:
        near = get_close_matches(name, known, n=1) or list(known)
        raise ConfigError(
            f"{name!r} is not a packaged {what}; did you mean {near[0]!r}? Packaged: {', '.join(known)}. "
            f"A {what} of your own is given by its path, ending in .yaml"
        )
    return known[name]
