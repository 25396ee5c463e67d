"""Options from a recipe and the command line: jsonargparse does the parsing, this file says what a mistake means."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from .config import Config
from .errors import ConfigError
from .recipes import find
from .strict_yaml import read_yaml, short

Options = TypeVar("Options")


def recipe_parser(command: str) -> ArgumentParser:
    """A parser with every option of a recipe."""
    parser = ArgumentParser(
        prog=f"python -m agent {command}",
        exit_on_error=False,
        allow_abbrev=False,
        description="RECIPE is the name of a packaged recipe or the path of a YAML file; options override its values.",
        usage=f"python -m agent {command} RECIPE [--option value ...]",
    )
    parser.add_argument("--recipe", action="config", help="Set by RECIPE.")
    parser.add_class_arguments(Config, as_group=False, fail_untyped=False)
    return parser


def read_config(command: str, arguments: Sequence[str]) -> Config:
    """The configuration that a command line means: `RECIPE [--dotted.option value ...]`.

    Raises:
        ConfigError: no such recipe; an unknown or ill-typed option, which is named with what is allowed.
    """
    parser = recipe_parser(command)
    if not arguments or arguments[0] in ("-h", "--help"):
        parser.print_help()
        sys.exit(0 if arguments else 2)
    if arguments[0].startswith("-"):
        raise ConfigError(f"the recipe comes first: python -m agent {command} RECIPE [--option value ...]")
    recipe, *options = arguments
    if "-h" in options or "--help" in options:
        parser.print_help()
        sys.exit(0)
    path = find(recipe)
    _check_recipe(path)
    return _parsed(parser, ["--recipe", str(path), *options], Config)


def config_of(content: Mapping[str, Any], where: Path) -> Config:
    """The configuration that a run wrote into its `config.yaml`.

    Raises:
        ConfigError: an option that this version does not have, or an ill-typed one.
    """
    parser = recipe_parser("replay")
    try:
        made = parser.instantiate(parser.parse_object(dict(content)))
    except (ArgumentError, TypeError) as error:
        raise ConfigError(f"{where}: {_explained(str(error), Config)}") from error
    return Config(**{field.name: getattr(made, field.name) for field in fields(Config)})


def read_options(command: str, arguments: Sequence[str], kind: type[Options], description: str) -> Options:
    """A dataclass of options from a command line without a recipe.

    Raises:
        ConfigError: an unknown or ill-typed option, which is named with what is allowed.
    """
    parser = ArgumentParser(
        prog=f"python -m agent {command}", exit_on_error=False, allow_abbrev=False, description=description
    )
    parser.add_class_arguments(kind, as_group=False)
    if not arguments or "-h" in arguments or "--help" in arguments:
        parser.print_help()
        sys.exit(0 if arguments else 2)
    return _parsed(parser, list(arguments), kind)


def option_names(kind: type, prefix: str = "") -> Iterator[str]:
    """Dotted names of every option of a dataclass and of the dataclasses inside it."""
    for name, hint in get_type_hints(kind).items():
        yield prefix + name
        if is_dataclass(hint):
            yield from option_names(hint, f"{prefix}{name}.")


def _parsed(parser: ArgumentParser, arguments: list[str], kind: type[Options]) -> Options:
    try:
        parsed = parser.parse_args(arguments)
        made = parser.instantiate(parsed)
    except ArgumentError as error:
        raise ConfigError(_explained(str(error), kind)) from error
    except TypeError as error:  # jsonargparse on an area that is not a mapping: --optimizer 5
        raise ConfigError(
            f"an area such as env or optimizer takes a mapping of options, not a value ({error})"
        ) from error
    return kind(**{field.name: getattr(made, field.name) for field in fields(kind)})


def _explained(message: str, kind: type) -> str:
    """The parser's message in the user's words, with the nearest option where one is unknown."""
    unknown = re.search(r"unrecognized arguments: --([^\s=]+)", message)
    if unknown:
        return f"unknown option --{unknown[1]}; {nearest(unknown[1], list(option_names(kind)), '--')}"
    message = re.sub(r"Expected a <class '(\w+)'>", r"expected \1", message)
    return message.replace("Expected a typing.Literal", "expected one of ").replace("Parser key", "option")


def nearest(name: str, options: list[str], dashes: str = "") -> str:
    """The end of a message about an option that is not there: those of `options` that may have been meant."""
    area, _, last = name.rpartition(".")
    inside = {option.rpartition(".")[2]: option for option in options if option.rpartition(".")[0] == area}
    if area and inside:  # the area exists: --optimizer.stps is a misspelt steps
        near = [inside[found] for found in get_close_matches(last, inside, cutoff=0.5)] or list(inside.values())
    else:
        near = get_close_matches(name, options, cutoff=0.6) or [option for option in options if "." not in option]
    return f"did you mean {', '.join(dashes + option for option in near)}? All options: --help"


def _check_recipe(path: Path) -> None:
    """Read the recipe's keys before its values are parsed, so that a misspelt one is told in the recipe's own words.

    Raises:
        ConfigError: not YAML, not a mapping, a key that stands twice or that no option has.
    """
    content, _ = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: a recipe is a mapping such as `env: {{id: ...}}`, got {short(content)}")
    _check_keys(content, Config, "", path)


def _check_keys(content: Mapping[Hashable, Any], kind: Any, prefix: str, path: Path) -> None:
    """Refuse keys that the dataclass `kind` has no field for, here and in the mappings inside."""
    hints = get_type_hints(kind)
    for key, value in content.items():
        name, _, rest = str(key).partition(".")
        if rest:  # `optimizer.steps: 3` means the same as the nested form
            value = {rest: value}
        if name not in hints:
            options = [f"{prefix}{option}" for option in option_names(kind)] if prefix else list(option_names(kind))
            raise ConfigError(f"{path}: unknown option {prefix}{name}; {nearest(f'{prefix}{name}', options)}")
        hint = hints[name]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                allowed = ", ".join(get_type_hints(hint))
                raise ConfigError(f"{path}: {prefix}{name} takes a mapping of {allowed}; got {short(value)}")
            _check_keys(value, hint, f"{prefix}{name}.", path)
        elif get_origin(hint) is list and is_dataclass(get_args(hint)[0]) and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    _check_keys(item, get_args(hint)[0], f"{prefix}{name}[{index}].", path)
