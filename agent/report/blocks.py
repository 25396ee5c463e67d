"""Data inside HTML: nothing that a transcript says can end the element that it stands in, or begin another."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

# JSON has no use for these outside of strings, and inside them an escape means the same.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
DEPTH = 12


def as_json(value: object) -> str:
    """JSON in ASCII that may stand in a script element. Numbers that JSON has no form for become their names."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def block(name: str, text: str, kind: str) -> str:
    """An element that holds data and runs nothing."""
    return f'<script type="{kind}" id="{name}">{text}</script>\n'


def json_block(name: str, value: object) -> str:
    return block(name, as_json(value), "application/json")


def packed(value: object) -> str:
    """JSON, deflated, in base64: what the page unpacks when somebody looks at it."""
    return b64encode(zlib.compress(as_json(value).encode("ascii"), 6)).decode("ascii")


def plain(value: Any, depth: int = 0) -> Any:
    """What JSON can say, whatever somebody recorded: not a number, endless, nested without end, not even data."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)  # a script's numbers end there
    if depth > DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [plain(each, depth + 1) for each in value]
    return str(value)
