"""The worker: one lane, in which programs run one after the other. It knows nothing of who started it.

In a container, as its first process, root with CAP_SETUID and CAP_SETGID alone (`worker_front` has the picture):

    python -m sandbox.worker --listen PATH --scratch DIR [--orphan-seconds N]

--listen          a Unix socket to make; a folder, or what ends in "/", stands for HOSTNAME.sock in it, so that all
                  lanes of Compose have one command. Its group is the worker's: choose the clients' group, and shut its
                  folder to all others (where a folder was named, the worker does). Programs run as a user without that
                  group, behind a system call filter; where there is no filter for the processor, the worker refuses to
                  start. A worker that is told to stop (SIGTERM) takes the socket away.
--orphan-seconds  end when no client has been connected for so long; 0: never. An open connection may idle for ever.

For a container's health check; 0 if the worker behind the socket answers, or else 1, and a line that says why not:

    python -m sandbox.worker --ask PATH

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
from typing import NoReturn

from . import frames
from .worker_door import Door, NoPlaceError, ask, place_of
from .worker_facts import look_around, places_of
from .worker_filter import NoFilterError, build
from .worker_front import Front, spawn_session
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
    where.add_argument("--ask", metavar="PATH")
    parser.add_argument("--scratch")
    parser.add_argument("--orphan-seconds", type=float, default=0.0)
    parser.add_argument("--unshare", action="store_true")
    parser.add_argument("--enclose", action="store_true")
    parser.add_argument("--uid", default=None)
    parser.add_argument("--sockets", choices=["any"], default=None)
    options = parser.parse_args(arguments)
    if options.ask is None and options.scratch is None:
        parser.error("--scratch is required: an existing folder in which programs get theirs")
    if options.listen is not None:
        options.uid = options.uid or "auto"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Serve whoever the command line says; the exit status."""
    options = _options(arguments)
    if options.ask is not None:
        return _ask(options.ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    return _in_container(options) if options.listen is not None else _on_machine(options)


def _ask(path: str) -> int:
    # A process of root's among programs that nobody vouches for. That they are other users keeps them from signalling
    # and tracing it; this keeps its memory and its open files from whatever else comes to run as its user, and from a
    # core file. It opens nothing that a program can write to, sends nothing, and starts no process.
    be_unreadable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    why = ask(path)
    if why:
        print(why, flush=True)
    return 1 if why else 0


def _in_container(options: argparse.Namespace) -> int:
    """Nothing is done without: what is missing is printed, and written beside the socket that clients wait for."""
    be_unreadable()
    try:
        door = Door(place_of(options.listen))
    except NoPlaceError as error:
        print(f"the worker did not start: {error}", file=sys.stderr, flush=True)
        return 1

    def leave(*_: object) -> NoReturn:
        door.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)  # the first process of a container has no default for it
    adopt_orphans()
    try:
        if door.path != options.listen:
            door.shut_folder()
        front = _prepare(options, os.path.realpath(options.scratch), door)
    except (OSError, NoFilterError, JanitorLostError, ZygoteLostError) as error:
        why = f"the worker did not start: {error}"
        print(why, file=sys.stderr, flush=True)
        door.explain(why)
        return 1
    try:
        front.serve()
    finally:
        door.close()
    return 0


def _prepare(options: argparse.Namespace, scratch: str, door: Door) -> Front:
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
    return Front(hello, session, door.open(), options.orphan_seconds)


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
