"""A secret of the environment: the variable NAME holds it, or NAME_FILE the path of a file that does.

Docker and Compose put their secrets into files, under /run/secrets/. The search image has this module: it imports
nothing of ours. No error shows what was read, nor keeps it in an exception behind it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

MOST_BYTES = 65536
_SENDABLE = "printable ASCII characters in one line, without spaces around them"


def secret(name: str, refusal: Callable[[str], Exception]) -> str:
    """What the environment holds under this name, or "" where it holds nothing.

    A file's content goes without one newline at its end, a variable's without the space around it. An empty variable
    is as one that is not set.

    Raises:
        refusal: NAME and NAME_FILE are both set; the file cannot be read, or is empty; or what is there is not
            printable ASCII in one line, which no header could carry.
    """
    held, path = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "")
    if not path:
        return sendable(held, f"what the variable {name} holds", refusal)
    if held:
        raise refusal(f"both {name} and {name}_FILE are set, and one of them must hold the secret: unset the other")
    content, trouble = _read(path)
    if not trouble and not content.strip():
        trouble = "is empty"
    if not trouble and len(content) > MOST_BYTES:
        trouble = f"has more than {MOST_BYTES} bytes, and no secret has"
    if trouble:
        raise refusal(
            f"the file {path!r} {trouble}: {name}_FILE must be the path of a file that holds the secret and nothing "
            f"else, and that this user may read; or unset it, and put the secret into {name}"
        )
    text = content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
    return sendable(text, f"what the file {path!r} ({name}_FILE) holds", refusal)


def sendable(text: str, what: str, refusal: Callable[[str], Exception]) -> str:
    """The text, if a header can carry it. Raises `refusal`, which does not repeat it: what a library says might."""
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise refusal(f"{what} must be {_SENDABLE}")
    return text


def _read(path: str) -> tuple[bytes, str]:
    """The beginning of a file, and what went wrong."""
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1), ""
    except OSError as error:
        return b"", f"cannot be read ({error.strerror or type(error).__name__})"
