"""Options from a recipe and the command line: jsonargparse does the parsing, this file says what a mistake means."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from .config import Config
from .errors import ConfigError
from .recipes import find

Options = TypeVar("Options")


def recipe_parser(command: str) -> ArgumentParser:
    """A parser with every option of a recipe."""
    parser = ArgumentParser(
        prog=f"python -m agent {command}",
        exit_on_error=False,
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
    return _parsed(parser, ["--recipe", str(find(recipe)), *options], Config)


def read_options(command: str, arguments: Sequence[str], kind: type[Options], description: str) -> Options:
    """A dataclass of options from a command line without a recipe.

    Raises:
        ConfigError: an unknown or ill-typed option, which is named with what is allowed.
    """
    parser = ArgumentParser(prog=f"python -m agent {command}", exit_on_error=False, description=description)
    parser.add_class_arguments(kind, as_group=False)
    if not arguments or "-h" in arguments or "--help" in arguments:
        parser.print_help()
        sys.exit(0 if arguments else 2)
    return _parsed(parser, list(arguments), kind)


def _parsed(parser: ArgumentParser, arguments: list[str], kind: type[Options]) -> Options:
    try:
        parsed = parser.parse_args(arguments)
    except ArgumentError as error:
        raise ConfigError(_explained(str(error), parser)) from error
    made = parser.instantiate(parsed)
    return kind(**{field.name: getattr(made, field.name) for field in fields(kind)})


def _explained(message: str, parser: ArgumentParser) -> str:
    """The parser's message, with the nearest option where one is unknown."""
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    options = [option for option in options if option not in ("--help", "--recipe", "--print_config")]
    unknown = re.search(r"unrecognized arguments: (--[^\s=]+)|Key '([^']+)' is not expected", message)
    if unknown:
        name = unknown[1] or f"--{unknown[2]}"
        near = get_close_matches(name, options, n=3, cutoff=0.5)
        area = [option for option in options if option.startswith(name.rpartition(".")[0] + ".")]
        allowed = near or area or sorted({option.split(".")[0] for option in options})
        return f"unknown option {name}; did you mean {', '.join(allowed)}? All options: --help"
    return message
