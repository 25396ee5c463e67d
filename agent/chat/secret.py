"""A key of the environment: the variable NAME holds it, or NAME_FILE the path of a file that does.

Docker and Compose put their secrets into files, under /run/secrets/.
"""

from __future__ import annotations

import os

from ..errors import ConfigError

MOST_BYTES = 65536


def secret(name: str) -> str:
    """What the environment holds under this name, or "" where it holds nothing.

    A file's content goes without one newline at its end, a variable's without the space around it.

    Raises:
        ConfigError: NAME and NAME_FILE are both set; the file cannot be read, or is empty; or the key cannot stand in a
            header. The message does not show it, nor does an exception behind it.
    """
    held, path = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "")
    if held and path:
        raise ConfigError(f"both {name} and {name}_FILE are set, and one of them must hold the key: unset the other")
    where, text = f"the environment variable {name}", held
    if path:
        where, text = f"the file {path!r} ({name}_FILE)", _of_file(name, path)
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ConfigError(f"the key in {where} has characters that no key has: expected printable ASCII without spaces")
    return text


def _of_file(name: str, path: str) -> str:
    content, trouble = b"", ""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        trouble = f"cannot be read ({error.strerror or type(error).__name__})"
    if not trouble and not content.strip():
        trouble = "is empty"
    if len(content) > MOST_BYTES:
        trouble = f"has more than {MOST_BYTES} bytes, and no key has"
    if trouble:
        raise ConfigError(
            f"the file {path!r} {trouble}: {name}_FILE must be the path of a file that holds the key and nothing else, "
            f"and that this user may read; or unset it, and put the key into {name}"
        )
    return content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
