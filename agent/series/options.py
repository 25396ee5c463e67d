"""A run's options in a series' file as options of a command line, such that what is written is what arrives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..cli import nearest, option_names
from ..config import Config
from ..errors import ConfigError
from ..strict_yaml import short

THE_SERIES_OWN = {"run.name": "give the run a `name`", "run.folder": "it is the command's --folder"}


def check_name(option: object) -> None:
    """Refuse what is no dotted option of a recipe.

    Raises:
        ConfigError: the nearest options are told.
    """
    known = list(option_names(Config))
    if option in THE_SERIES_OWN:
        raise ConfigError(f"{option} is not for here: {THE_SERIES_OWN[str(option)]}")
    if inside := [name for name in known if name.startswith(f"{option}.")]:
        raise ConfigError(f"{option} is an area; give its options by dotted names, such as {inside[0]}")
    # Below an option that is a mapping, such as env.kwargs, names are the environment's.
    if not any(f"{option}.".startswith(f"{name}.") for name in known if not _is_area(name, known)):
        raise ConfigError(f"unknown option {option}; {nearest(str(option), known)}")


def argument(option: str, value: Any) -> str:
    """`--option=value`. Text stands as it is, everything else as JSON, which is YAML too.

    Raises:
        ConfigError: a value that JSON has no form for, such as a date.
    """
    if isinstance(value, str):
        return f"--{option}={value}"
    try:
        return f"--{option}={json.dumps(value, allow_nan=False)}"
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{option} takes text, numbers, true, false, null, lists and mappings; got {short(value)}. Text "
            "that looks like something else stands in quotes"
        ) from error


def check_arrived(config: Config, option: str, value: Any) -> None:
    """Refuse a free-form value that a command line changes: text in env.kwargs that reads as a number, for example.

    Raises:
        ConfigError: says what it would become.
    """
    found: Any = config
    free = False
    for part in option.split("."):
        free = free or isinstance(found, Mapping)
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
    if (free or isinstance(found, Mapping)) and found != value:
        raise ConfigError(
            f"{option}: {value!r} would arrive as {found!r}, as on a command line; write it into a recipe of your own, "
            "or give the whole mapping that it stands in"
        )


def _is_area(name: str, known: list[str]) -> bool:
    return any(other.startswith(f"{name}.") for other in known)
