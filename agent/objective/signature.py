"""What a function declares by its signature: the tensors that it needs, and its options with type and default.

    def estimator(scores, groups, valid, *, scale: float = 1.0): ...

needs `scores`, `groups` and `valid`, and has one option. Nothing else is asked of a plug-in.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from ..errors import ConfigError

SIMPLE = (float, int, bool, str)


@dataclass(frozen=True)
class Signature:
    """`needs`: names of tensors; `options`: name -> (annotation, default), in the order of the signature."""

    needs: frozenset[str]
    options: dict[str, tuple[Any, Any]]


def read_signature(function: Callable[..., Any], what: str, vocabulary: Collection[str], required: str) -> Signature:
    """The declaration of a function that is given tensors of a vocabulary by name.

    Args:
        function: Anything callable that Python can tell the parameters of.
        what: How messages name it, such as "advantage estimator 'mine'".
        vocabulary: Names that parameters before the `*` may have.
        required: The one of them that must be there.

    Raises:
        ConfigError: a parameter that cannot be given (outside the vocabulary, `*args`, `**kwargs`, positional only, a
            tensor with a default), no `required`, or an option without default or without a simple annotation.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} is not a function with a signature that can be read: {error}") from error
    allowed = f"tensors are {', '.join(vocabulary)}; options stand after `*`, with a default"
    needs, options = set(), {}
    for name, parameter in parameters.items():
        has_default = parameter.default is not parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise ConfigError(f"{what} takes `{stars}{name}`; every parameter must be named: {allowed}.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigError(f"{what} takes `{name}` by position only; parameters are given by name: remove the `/`.")
        if parameter.kind is parameter.KEYWORD_ONLY:
            if name in vocabulary:
                raise ConfigError(f"{what} takes the tensor `{name}` after the `*`: move it before; {allowed}.")
            if not has_default:
                raise ConfigError(f"{what} has the option `{name}` without a default: give it one; {allowed}.")
            options[name] = (_annotation(function, parameter, what), parameter.default)
            _check_default(name, *options[name], what)
        elif name not in vocabulary:
            raise ConfigError(f"{what} takes `{name}`, which nothing provides: {allowed}.")
        elif has_default:
            raise ConfigError(f"{what} gives the tensor `{name}` a default: remove it, tensors are always given.")
        else:
            needs.add(name)
    if required not in needs:
        raise ConfigError(f"{what} does not take `{required}`: every one must; {allowed}.")
    return Signature(frozenset(needs), options)


def converted(value: Any, annotation: Any) -> Any:
    """A value as an option of this annotation takes it: an int is also a float, a bool is neither.

    Raises:
        TypeError: it is of another type, or none of the annotation's literals.
    """
    if get_origin(annotation) is Literal:
        fits = any(value == literal and type(value) is type(literal) for literal in get_args(annotation))
    elif annotation is float:
        fits = type(value) in (float, int)
        value = float(value) if fits else value
    else:
        fits = type(value) is annotation
    if not fits:
        raise TypeError(f"{value!r} is not {spelled(annotation)}")
    return value


def spelled(annotation: Any) -> str:
    """How messages and tables write an annotation: "float", or "'group' | 'none'"."""
    if get_origin(annotation) is Literal:
        return " | ".join(repr(literal) for literal in get_args(annotation))
    return str(annotation.__name__)


def call(function: Callable[..., Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Call a function with those of the tensors and options that its signature names."""
    names = inspect.signature(function).parameters
    return function(**{name: value for name, value in {**tensors, **options}.items() if name in names})


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter, what: str) -> Any:
    """The parameter's annotation, read where the function was written: `from __future__` makes it a string."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    holder = type("Holder", (), {"__annotations__": {"option": parameter.annotation}})
    try:
        annotation = typing.get_type_hints(holder, names)["option"]
    except Exception as error:
        raise ConfigError(
            f"{what}: the annotation of option `{parameter.name}` cannot be read: {parameter.annotation!r} ({error})."
        ) from error
    if annotation not in SIMPLE and get_origin(annotation) is not Literal:
        came = "no annotation" if annotation is parameter.empty else f"the annotation {annotation}"
        raise ConfigError(
            f"{what}: option `{parameter.name}` has {came}; allowed: float, int, bool, str or a Literal of them."
        )
    return annotation


def _check_default(name: str, annotation: Any, default: Any, what: str) -> None:
    try:
        converted(default, annotation)
    except TypeError as error:
        raise ConfigError(f"{what}: the default of option `{name}` does not fit its annotation: {error}.") from error
