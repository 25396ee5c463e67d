"""The worker: one lane, in which programs run one after the other. It knows nothing of who started it.

In a container, as its first process, root with CAP_SETUID and CAP_SETGID alone (`worker_front` has the picture):

    python -m sandbox.worker --listen PATH --scratch DIR [--orphan-seconds N]

--listen          a Unix socket to make. Its group is the worker's: choose the clients' group, and shut its folder to
                  all others. Programs run as a user without that group, behind a system call filter; where there is no
                  filter for the processor, the worker refuses to start.
--orphan-seconds  end when no client has been connected for so long; 0: never. An open connection may idle for ever.

On a machine without containers, for one client:

    python -m sandbox.worker --fd 3 --scratch DIR [--unshare] [--enclose] [--uid auto|N] [--sockets any]

--fd       a connected stream socket; the worker ends when it is closed, and deletes what is in DIR.
--scratch  an existing folder of its own, in which programs get theirs.
--unshare  cut the network, System V IPC and host name off, as far as the kernel allows; otherwise they are as found.
--enclose  hide all other processes, and make everything read-only but the scratch folder, as far as is allowed.
--uid      as root, run programs under this user; auto takes one that nobody has. Without it they run as the worker.
--sockets  any: programs may make sockets of every family. Otherwise, and where it can be had, a filter refuses them.

A client gets `{"hello": 2, "modules": {...}, "isolation": {...}}`, and may ask for a lease whenever it likes:
`{"do": "lease", "state": "files" | "variables"}`, answered by `{"leased": 1}` or, while another client has one,
`{"busy": 1}`. Within the lease it talks to the session. When it goes away, even in the middle of a program, everything
is stopped and deleted. `{"do": "stop"}` ends the worker.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import signal
import socket
import sys

from . import frames
from .worker_facts import look_around, places_of
from .worker_filter import NoFilterError, build
from .worker_front import Front, listen, spawn_session
from .worker_identity import OPEN_TO_ALL, Cell, choose_identity
from .worker_janitor import Janitor, JanitorLostError
from .worker_kernel import adopt_orphans, be_unreadable, enclose, unshare
from .worker_nursery import OwnNursery, Zygote, ZygoteLostError, load_libraries, settle
from .worker_place import empty
from .worker_run import WIPE_SECONDS, Setup
from .worker_session import serve_lease


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.worker", description=(__doc__ or "").split("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int)
    where.add_argument("--listen", metavar="PATH")
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--orphan-seconds", type=float, default=0.0)
    parser.add_argument("--unshare", action="store_true")
    parser.add_argument("--enclose", action="store_true")
    parser.add_argument("--uid", default=None)
    parser.add_argument("--sockets", choices=["any"], default=None)
    options = parser.parse_args(arguments)
    if options.listen is not None:
        options.uid = options.uid or "auto"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Serve whoever the command line says; the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    return _in_container(options) if options.listen is not None else _on_machine(options)


def _in_container(options: argparse.Namespace) -> int:
    """Nothing is done without: what is missing is printed, and written beside the socket that clients wait for."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container has no default for it
    be_unreadable()
    adopt_orphans()
    try:
        front = _prepare(options, os.path.realpath(options.scratch))
    except (OSError, NoFilterError, JanitorLostError, ZygoteLostError) as error:
        why = f"the worker did not start: {error}"
        print(why, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError), open(f"{options.listen}.why", "w") as file:
            os.chmod(file.fileno(), 0o660)
            file.write(why)
        return 1
    front.serve()
    return 0


def _prepare(options: argparse.Namespace, scratch: str) -> Front:
    program = build(os.uname().machine)
    identity = choose_identity(options.uid, scratch, (), OPEN_TO_ALL)
    if identity.uid is None:
        raise OSError(errno.EPERM, "it must be root with CAP_SETUID and CAP_SETGID, to give programs another user")
    places = places_of(identity.uid, scratch)
    walls = look_around(identity.uid)
    janitor = Janitor(identity.uid, identity.uid + 1, scratch, places)
    zygote = Zygote(Cell(identity, program))
    session = spawn_session(Setup(scratch, identity.uid, zygote, janitor), janitor, zygote)
    isolation = {"uid": identity.uid, "filter": True, "walls": walls, "wiped": [scratch, *places]}
    hello = {"hello": frames.PROTOCOL, "modules": zygote.modules, "isolation": isolation}
    return Front(hello, session, listen(options.listen), options.orphan_seconds)


def _on_machine(options: argparse.Namespace) -> int:
    """One process does it all: as the first of its namespace, where that is to be had, no program can end it."""
    os.set_inheritable(options.fd, False)
    # First: a process that has threads cannot enter a user namespace, and libraries start threads.
    cut = unshare() if options.unshare else frozenset()
    if options.enclose:
        cut |= enclose(options.scratch, options.fd)
    adopt_orphans()
    client, scratch = socket.socket(fileno=options.fd), os.path.realpath(options.scratch)
    modules = load_libraries()
    identity = choose_identity(options.uid, scratch, cut)
    cell = Cell(identity, filter_here(options.sockets == "any"))
    settle()
    isolation = {
        "cut": sorted(cut),
        "uid": identity.uid,
        "processes": identity.processes,
        "filter": cell.filter is not None,
    }
    try:
        frames.send(client, {"hello": frames.PROTOCOL, "modules": modules, "isolation": isolation})
        _serve_alone(client, Setup(scratch, identity.uid, OwnNursery(cell)))
    except (frames.ClosedError, frames.BrokenFrameError, OSError):
        pass
    finally:
        client.close()
        empty(scratch, WIPE_SECONDS)
        with contextlib.suppress(OSError):  # it is mounted here, or something in it would not go
            os.rmdir(scratch)
    return 0


def _serve_alone(client: socket.socket, setup: Setup) -> None:
    while True:
        request, _ = frames.receive(client)
        if request.get("do") != "lease":
            return
        frames.send(client, {"leased": 1})
        if not serve_lease(client, request.get("state") == "variables", setup):
            return


def filter_here(any_socket: bool) -> bytes | None:
    """The filter of system calls for this processor; None where there is none."""
    with contextlib.suppress(NoFilterError):
        return build(os.uname().machine, any_socket=any_socket)
    return None


if __name__ == "__main__":
    sys.exit(main())
