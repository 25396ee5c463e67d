"""YAML that people write, read without YAML's silent rules, and with the lines at which things stand."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """What a file says, and the tree it was read from, whose marks know the lines; an empty file has neither.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a key stands twice in one mapping.
    """
    try:
        loader = _Loader(path.read_text())
        tree = loader.get_single_node()
        return (None if tree is None else loader.construct_document(tree)), tree
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path}: not YAML: {where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error


def short(value: object) -> str:
    """A value as messages quote it."""
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.40}"


class _Loader(yaml.SafeLoader):
    """Safe, and without YAML's silent rule that the second of two equal keys wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue  # a list or a mapping as a key is refused by PyYAML itself
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
