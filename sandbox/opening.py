"""From a string that fits in a recipe to a sandbox: `open_sandbox("local")`.

One sandbox per process and string is shared by all who ask for it: lanes are processes with libraries loaded, and an
environment of its own for each of sixty-four episodes must not start sixty-four of them.
"""

from __future__ import annotations

import atexit
import os
import threading

from .contract import Sandbox
from .errors import RequestError, Unavailable
from .local import LocalSandbox

NAMES = ("docker", "local", "unix:DIR", "http://HOST:PORT")
_INSTEAD = (
    'Nothing is taken in its place by itself. sandbox="local" runs programs as processes of this machine, with limits '
    "but without walls that hold against hostile code: choose it for code that you would run yourself."
)

_shared: dict[str, LocalSandbox] = {}
_lock = threading.Lock()


def open_sandbox(name: str) -> Sandbox:
    """The shared sandbox of this process for `name`, started when first used and stopped when the process ends.

    name: "local". The names "docker", "unix:DIR" and "http://..." are reserved.

    Raises:
        RequestError: another name.
        Unavailable: this kind cannot be had here. It is never replaced by another kind.
    """
    if not isinstance(name, str):
        raise RequestError(f"sandbox must be one of {', '.join(NAMES)}; got {name!r}")
    if name == "docker":
        raise Unavailable(
            f'sandbox="docker" is not available: no container engine can be used from here yet. {_INSTEAD}'
        )
    if name.startswith(("unix:", "http://", "https://")):
        raise Unavailable(f"sandbox={name!r} is not available: no such service can be used from here yet. {_INSTEAD}")
    if name != "local":
        raise RequestError(f"sandbox must be one of {', '.join(NAMES)}; got {name!r}")
    with _lock:
        if name not in _shared or _shared[name].closed:
            _shared[name] = LocalSandbox()
        return _shared[name]


def close_all() -> None:
    """Stop every shared sandbox of this process. Called by itself at its end."""
    with _lock:
        for sandbox in _shared.values():
            sandbox.close()
        _shared.clear()


def _forget() -> None:
    # In a forked child the workers belong to the parent. Its ends of their sockets are closed here, or the workers
    # would not notice when the parent dies.
    global _lock
    _lock = threading.Lock()
    for sandbox in _shared.values():
        sandbox.abandon()
    _shared.clear()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget)
