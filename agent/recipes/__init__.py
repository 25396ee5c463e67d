"""Recipes: the only place where environment ids, a model and an algorithm meet. `find` gives a recipe's file.

Those of the folder `paper` are the published runs; their names begin with it: "paper/counting".
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from ..errors import ConfigError


def find(name: str) -> Path:
    """A YAML file by its path, or a packaged recipe by its name.

    Raises:
        ConfigError: neither exists; the nearest packaged recipes are named.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        if not Path(name).is_file():
            raise ConfigError(f"{name}: no such recipe file")
        return Path(name)
    known = packaged()
    if name not in known:
        near = get_close_matches(name, known, n=1) or list(known)
        raise ConfigError(
            f"{name!r} is not a packaged recipe; did you mean {near[0]!r}? Packaged: {', '.join(known)}. "
            "A recipe of your own is given by its path, ending in .yaml"
        )
    return known[name]


def packaged() -> dict[str, Path]:
    """The packaged recipes by name, those in a folder after the others."""
    root = Path(str(files(__package__)))
    paths = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*.yaml")}
    return dict(sorted(paths.items(), key=lambda named: (named[0].count("/"), named[0])))
