"""From a string that fits in a recipe to a sandbox: `open_sandbox("local")`.

One sandbox per process and string is shared by all who ask for it: lanes are processes with libraries loaded, and an
environment of its own for each of sixty-four episodes must not start sixty-four of them.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Protocol

from .contract import Sandbox
from .errors import RequestError
from .local import LocalSandbox
from .socket_lane import SocketSandbox

NAMES = ("docker", "local", "unix:DIR", "http://HOST:PORT")

_INSTEAD = (
    'Nothing is taken in its place by itself. sandbox="local" runs programs as processes of this machine, with limits '
    "but without walls that hold against hostile code: choose it for code that you would run yourself."
)

_shared: dict[str, Shared] = {}
_lock = threading.Lock()


class Shared(Sandbox, Protocol):
    """What is kept here: a sandbox that knows when it was closed, and what to do in a forked child."""

    closed: bool

    def abandon(self) -> None: ...


def open_sandbox(name: str) -> Sandbox:
    """The shared sandbox of this process for `name`, started when first used and stopped when the process ends.

    name: "docker": containers of this machine, owned by this process. "local": processes of this machine. "unix:DIR":
        lanes that somebody else started, behind the sockets of a folder. "http://HOST:PORT": a service on another host.

    Raises:
        RequestError: another name.
        Unavailable: this kind cannot be had here. It is never replaced by another kind.
    """
    if not isinstance(name, str):
        raise RequestError(f"sandbox must be one of {', '.join(NAMES)}; got {name!r}")
    with _lock:
        if name not in _shared or _shared[name].closed:
            _shared[name] = _open(name)
        return _shared[name]


def _open(name: str) -> Shared:
    if name == "local":
        return LocalSandbox()
    if name == "docker":
        from .docker_pool import DockerSandbox

        return DockerSandbox()
    if name.startswith("unix:") and name != "unix:":
        return SocketSandbox(name.removeprefix("unix:"))
    if name.startswith(("http://", "https://")):
        from .remote import RemoteSandbox

        return RemoteSandbox(name)
    raise RequestError(f"sandbox must be one of {', '.join(NAMES)}; got {name!r}")


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
