"""The process with the libraries: it forks one session for every lease, and sees nothing of what programs are given.

Loading NumPy, Pillow and OpenCV takes a tenth of a second or more; forking a process that has them takes milliseconds.
In a container it talks to the front, its parent, over a socket: a byte and a client's connection come, and when the
lease is over, `{"end": "clean" | "spent" | "oom" | "died", "why": str}` goes back.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from . import frames, worker_filter
from .worker_facts import look_around, places_of
from .worker_identity import OPEN_TO_ALL, Cell, choose_identity
from .worker_janitor import Janitor
from .worker_kernel import adopt_orphans, die_with_parent, oom_kills
from .worker_run import Setup
from .worker_session import CLEAN, SPENT, serve_lease

FILES, VARIABLES = b"f", b"v"


def load_libraries() -> dict[str, str]:
    """Import what programs use and return the versions; a library that is not installed is left out."""
    modules = {}
    for name in ("numpy", "PIL", "cv2"):
        try:
            modules[name] = str(getattr(__import__(name), "__version__", "?"))
        except ImportError:
            continue
    if "numpy" in modules:
        import numpy.random  # NumPy itself loads its parts when they are first used, and that would be in every child

        numpy.random.seed(0)
    if "PIL" in modules:
        from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps  # noqa: F401

        Image.init()  # every format's decoder, which would otherwise be loaded by the first picture of each program
    if "cv2" in modules:
        import cv2

        cv2.setNumThreads(0)  # threads do not survive a fork
    return {"python": sys.version.split()[0], **modules}


def be_zygote(channel: socket.socket, path: str, scratch: str, uid: str) -> NoReturn:
    """Load everything, say hello over the channel, and serve leases. path: the socket that clients wait for.

    Whatever fails is printed, and written beside the socket.
    """
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(signal.SIGKILL)
        setup, hello = _prepare(os.path.realpath(scratch), uid)
        frames.send(channel, hello)
        _serve_leases(channel, setup)
    except Exception as error:
        why = f"the worker did not start: {type(error).__name__}: {error}"
        print(why, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError), open(f"{path}.why", "w") as file:
            os.chmod(file.fileno(), 0o660)
            file.write(why)
    finally:
        os._exit(1)


def _prepare(scratch: str, uid: str) -> tuple[Setup, dict[str, Any]]:
    """Everything that leases share, and the hello that tells of it. Nothing is done without: it raises instead."""
    modules = load_libraries()
    program = worker_filter.build(os.uname().machine)
    identity = choose_identity(uid, scratch, (), OPEN_TO_ALL)
    if identity.uid is None:
        raise OSError(0, "it must be root with CAP_SETUID and CAP_SETGID, to give programs another user")
    places = places_of(identity.uid, scratch)
    isolation = {
        "uid": identity.uid,
        "filter": True,
        "walls": look_around(identity.uid),
        "wiped": [scratch, *places],
    }
    adopt_orphans()
    gc.collect()
    gc.freeze()  # or every collection in a child would copy the pages that it shares with us
    janitor = Janitor(identity.uid, identity.uid + 1, scratch, places)
    hello = {"hello": frames.PROTOCOL, "modules": modules, "isolation": isolation}
    return Setup(scratch, Cell(identity, program), janitor), hello


def _serve_leases(channel: socket.socket, setup: Setup) -> NoReturn:
    """Fork a session for each connection that comes, one after the other, until nobody can send one any more."""
    while True:
        kind, fds, _, _ = socket.recv_fds(channel, 1, 1)
        if not kind:
            os._exit(0)
        kills = oom_kills(True)
        pid = os.fork()
        if pid == 0:
            _session(fds[0], kind == VARIABLES, setup)
        os.close(fds[0])
        frames.send(channel, _outcome(_wait(pid), kills))


def _session(fd: int, variables: bool, setup: Setup) -> NoReturn:
    code = SPENT
    try:
        assert setup.janitor is not None
        _close_all_but({fd, setup.janitor.fd})
        die_with_parent(signal.SIGKILL)
        client = socket.socket(fileno=fd)
        client.setblocking(True)
        code = serve_lease(client, variables, setup)
    except BaseException:
        traceback.print_exc()  # into the container's log
    finally:
        os._exit(code)


def _close_all_but(kept: set[int]) -> None:
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 65536)


def _wait(session: int) -> int:
    """The session's wait status; what it left to us is reaped as well."""
    while True:
        pid, status = os.wait()
        if pid == session:
            return status


def _outcome(status: int, kills: int) -> dict[str, Any]:
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == CLEAN:
        return {"end": "clean", "why": ""}
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == SPENT:
        return {"end": "spent", "why": "a program left something that could not be cleared away"}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and -1 < kills < oom_kills(True):
        # Nothing in a container takes memory but the program: whom the kernel chose to kill is a matter of chance.
        return {"end": "oom", "why": "the program took all the memory of its container"}
    return {"end": "died", "why": f"the session ended with wait status {status:#x}"}
