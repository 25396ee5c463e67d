"""An HTML document that runs and wears nothing but our own script and style, whatever it shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

WEB = Path(__file__).parent / "web"


def document(template: str, *, styles: Sequence[str], scripts: Sequence[str], allowed: str = "", **values: Any) -> str:
    """A template of `web/` with its values, which are escaped.

    Args:
        styles, scripts: Files of `web/`, each list joined to one element.
        allowed: Directives of the content security policy, beside script and style: where all else may come from.
    """
    style = "".join(map(_read, styles))
    script = "'use strict';\n" + "\n".join(map(_read, scripts))
    # Escaping, and texts that are never parsed as HTML, are the first line of defence; this is the second.
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(style)}'; "
        f"{allowed + '; ' if allowed else ''}"
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    jinja = Environment(loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined)
    return jinja.get_template(template).render(policy=policy, style=style, script=script, **values)


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
