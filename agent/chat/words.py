"""What a server says, out of the forms in which servers wrap it."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 500


def said(text: str) -> str:
    """The server's own words in the body of an error."""
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    while isinstance(told, dict):
        inner = next((told[key] for key in ("error", "message", "detail") if told.get(key)), None)
        if inner is None:
            break
        told = inner
    return f"{told}"[:LONGEST]


def labels(text: str) -> dict[str, str]:
    """`code`, `type` and `param` of an error, as far as it has them."""
    try:
        told: Any = json.loads(text)
    except ValueError:
        return {}
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        told = told["error"]
    if not isinstance(told, dict):
        return {}
    return {name: str(told[name]) for name in ("code", "type", "param") if told.get(name) is not None}
