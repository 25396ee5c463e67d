"""Options that name a field of a server's messages, or with a colon a function of the user's."""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import ArgumentError, EnvironmentAuthorError, ImageError
from ..core.images import decode_image
from ..core.spaces import Image


def function(option: str, value: str | None) -> Callable[..., Any] | None:
    """The function that "package.module:function" names; None for the name of a field, or for None.

    Raises:
        ArgumentError: no str, or a function that cannot be imported.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ArgumentError(f"{option} must name a field or a function, 'package.module:function'; got {value!r}")
    module, colon, name = value.partition(":")
    if not colon:
        return None
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(f"{option}: {value!r} cannot be imported: {error}") from error
    if not callable(found):
        raise ArgumentError(f"{option}: {value!r} is a {type(found).__name__}; it must be a function")
    return found  # type: ignore[no-any-return]


def at(option: str, path: str, fields: Mapping[str, Any]) -> Any:
    """What a path with dots leads to; None where it ends early below its first part, as an empty list has no first.

    Raises:
        ArgumentError: there is no field of the path's first part.
    """
    first, *rest = path.split(".")
    if first not in fields:
        raise ArgumentError(
            f"{option}: the server's Observation has no field {first!r}; it has {', '.join(fields) or 'none'}"
        )
    value: Any = fields[first]
    for part in rest:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def pictures_at(path: str | None, fields: Mapping[str, Any]) -> tuple[Image, ...]:
    """The pictures in a field: base64 or a data URL, one or a list of them. None, or an empty field: no picture.

    Raises:
        ArgumentError: there is no such field.
        EnvironmentAuthorError: it holds something else.
    """
    value = None if path is None else at("images", path, fields)
    if not value:
        return ()
    found = []
    for text in value if isinstance(value, list) else [value]:
        try:
            encoded = text.partition("base64,")[2] if text.startswith("data:") else text
            found.append(decode_image(base64.b64decode(encoded, validate=True)))
        except (AttributeError, binascii.Error, ImageError) as error:
            raise EnvironmentAuthorError(
                f"images: the field {path!r} must hold base64 of a PNG, JPEG or WebP: {error}; got {text!r:.60}"
            ) from error
    return tuple(found)
