"""The worker: a process that has the image libraries loaded and forks a child for every program.

Loading NumPy, Pillow and OpenCV takes a tenth of a second or more; forking a process that has them takes milliseconds.
The worker serves one client over one connected socket, one program at a time. When the client goes away, even in the
middle of a program, it kills what runs, deletes its folder and ends itself: nothing outlives a killed trainer.

It knows nothing of who started it or of what surrounds it:

    python -m sandbox.worker --fd 3 --scratch DIR [--unshare] [--enclose] [--uid auto|N]

--fd       a connected stream socket.
--scratch  an existing folder of its own, in which programs get theirs. Deleted at the end.
--unshare  cut the network, System V IPC and host name off, as far as the kernel allows; otherwise they are as found.
--enclose  hide all other processes, and make everything read-only but the scratch folder, as far as is allowed.
--uid      as root, run programs under this user; auto takes one that nobody has. Without it they run as the worker.

What it could do and could not is said in its first message, `{"hello": 1, "modules": {...}, "isolation": {...}}`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from typing import Any

from . import frames
from .worker_kernel import adopt_orphans, enclose, unshare
from .worker_program import Identity, choose_identity
from .worker_run import ClientGoneError, Setup, run
from .worker_wipe import wipe


def serve(connection: socket.socket, setup: Setup) -> None:
    """Answer requests until the client closes the connection."""
    while True:
        try:
            request, blobs = frames.receive(connection)
            answer, files = run(request, blobs, setup, connection)
            frames.send(connection, answer, files)
        except (frames.ClosedError, frames.BrokenFrameError, ClientGoneError, OSError):
            return


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
    return modules


def _leave(scratch: str) -> None:
    for name in os.listdir(scratch):
        wipe(os.path.join(scratch, name), None)
    with contextlib.suppress(OSError):  # it is mounted here, or something in it would not go
        os.rmdir(scratch)


def main(arguments: list[str] | None = None) -> None:
    """Serve the socket given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.worker", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--unshare", action="store_true")
    parser.add_argument("--enclose", action="store_true")
    parser.add_argument("--uid", default=None)
    options = parser.parse_args(arguments)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    connection = socket.socket(fileno=options.fd)
    connection.set_inheritable(False)
    # First: a process that has threads cannot enter a user namespace, and libraries start threads.
    cut = unshare() if options.unshare else frozenset()
    if options.enclose:
        cut |= enclose(options.scratch, options.fd)
    adopt_orphans()
    modules = load_libraries()
    identity: Identity = choose_identity(options.uid, options.scratch, cut)
    setup = Setup(os.path.realpath(options.scratch), identity)
    gc.collect()
    gc.freeze()  # or every collection in a child would copy the pages that it shares with us

    hello: dict[str, Any] = {
        "hello": 1,
        "modules": {"python": sys.version.split()[0], **modules},
        "isolation": {"cut": sorted(cut), "uid": identity.uid, "processes": identity.processes},
    }
    try:
        frames.send(connection, hello)
        serve(connection, setup)
    except OSError:
        pass
    finally:
        connection.close()
        _leave(setup.scratch)


if __name__ == "__main__":
    main()
