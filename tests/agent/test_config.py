"""The configuration: frozen, explained, and plain enough to be written down and read back."""

import json
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
from docstring_parser import parse

from agent.config import Config, Demonstrations, EnvironmentConfig


def areas(kind: type = Config) -> list[type]:
    inside = [hint for hint in get_type_hints(kind).values() if is_dataclass(hint)]
    return [kind, *(deeper for area in inside for deeper in areas(area))]


@pytest.mark.parametrize("kind", [*areas(), Demonstrations], ids=lambda kind: kind.__name__)
def test_the_docstring_explains_every_field_and_nothing_else(kind: type) -> None:
    explained = {parameter.arg_name: parameter.description for parameter in parse(kind.__doc__ or "").params}
    assert list(explained) == [field.name for field in fields(kind)]
    assert all(explained.values())


@pytest.mark.parametrize("kind", [*areas(), Demonstrations], ids=lambda kind: kind.__name__)
def test_it_is_frozen(kind: type) -> None:
    made = (
        Config(EnvironmentConfig("X-v0"))
        if kind is Config
        else kind(**({"id": "X"} if kind is EnvironmentConfig else {}))
    )
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, None)


def test_two_configurations_share_no_default_that_can_be_changed() -> None:
    first, second = Config(EnvironmentConfig("X-v0")), Config(EnvironmentConfig("X-v0"))
    first.env.kwargs["cells"] = 3
    first.modules.append("mine")
    first.cold_start.sources.append(Demonstrations())
    assert (second.env.kwargs, second.modules, second.cold_start.sources) == ({}, [], [])


def test_it_survives_being_written_as_json() -> None:
    plain = asdict(Config(EnvironmentConfig("X-v0")))
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize("kind", areas(), ids=lambda kind: kind.__name__)
def test_a_default_is_one_of_the_allowed_values(kind: type) -> None:
    for field in fields(kind):
        allowed = [value for value in get_args(get_type_hints(kind)[field.name]) if isinstance(value, str)]
        if allowed and isinstance(field.default, str):
            assert field.default in allowed
