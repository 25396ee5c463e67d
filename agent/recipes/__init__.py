"""Recipes: the only place where environment ids, a model and an algorithm meet. `find` gives a recipe's file.

Those of the folder `paper` are the published runs; their names begin with it: "paper/counting".
"""

from __future__ import annotations

from pathlib import Path

from .. import packaged as yaml_files


def find(name: str) -> Path:
    """A YAML file by its path, or a packaged recipe by its name.

    Raises:
        ConfigError: neither exists; the nearest packaged recipe is named.
    """
    return yaml_files.find(name, packaged(), "recipe")


def packaged() -> dict[str, Path]:
    """The packaged recipes by name, those in a folder after the others."""
    return yaml_files.packaged(__name__)
