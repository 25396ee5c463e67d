"""The first process of a container: it talks to clients, and hands each lease on to the session.

    front (this)    accepts clients, answers for a session that died, ends the container
    ├── session     serves the lease: has programs run, watches and judges them (worker_session)
    ├── janitor     has the programs' rights, to kill, collect and wipe (worker_janitor)
    └── zygote      has NumPy, Pillow and OpenCV loaded, and forks (worker_nursery)
        └── program     (worker_program)

All but the zygote and the programs are small: when memory runs out, the kernel takes the large first.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
import traceback
from typing import Any

from . import frames
from .worker_janitor import Janitor
from .worker_kernel import die_with_parent, oom_kills
from .worker_nursery import Zygote
from .worker_run import Setup
from .worker_session import last_words, serve_lease

FILES, VARIABLES = b"f", b"v"
TALK_SECONDS = 10.0  # for a client to take what it is told
HEAR_SECONDS = 1.0  # for the rest of a message that a client began: a short one, which goes out whole
CLIENTS = 64


class Front:
    """Who is connected, and who has the lease.

    hello: what every client is told first. session: a socket to it. orphan_seconds: see `worker`.
    """

    def __init__(
        self, hello: dict[str, Any], session: socket.socket, listener: socket.socket, orphan_seconds: float
    ) -> None:
        self._hello, self._session, self._listener, self._orphan_seconds = hello, session, listener, orphan_seconds
        self._clients: dict[int, socket.socket] = {}
        self._holder: socket.socket | None = None
        self._kills = -1  # see `last_words`
        self._alone_since = time.monotonic()
        self._poll = select.poll()
        self._poll.register(session, select.POLLIN)
        self._poll.register(listener, select.POLLIN)

    def _greet(self, client: socket.socket) -> None:
        try:
            client.settimeout(TALK_SECONDS)
            frames.send(client, self._hello)
        except OSError:
            client.close()
            return
        self._clients[client.fileno()] = client
        self._poll.register(client, select.POLLIN)

    def serve(self) -> None:
        """Go on until told to stop, or orphaned, or until there is nothing more to serve with."""
        while True:
            for fd, _ in self._poll.poll(1000 * self._patience()):
                if fd == self._session.fileno():
                    if not self._lease_ended():
                        return
                elif fd == self._listener.fileno():
                    self._accept()
                elif fd in self._clients and not self._hear(self._clients[fd]):
                    return
            self._reap()
            if self._orphan_seconds and self._idle_for() > self._orphan_seconds:
                return

    def _patience(self) -> float:
        """Seconds to sleep at most."""
        return 1.0 if self._orphan_seconds else 5.0

    def _idle_for(self) -> float:
        if self._clients:
            self._alone_since = time.monotonic()
        return time.monotonic() - self._alone_since

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            if len(self._clients) >= CLIENTS:
                client.close()
                return
            self._greet(client)

    def _hear(self, client: socket.socket) -> bool:
        """One message of a client that has no lease. False if the worker is to end."""
        try:
            request, _ = frames.receive(client, time.monotonic() + HEAR_SECONDS)
            if request.get("do") == "stop":
                return False
            if request.get("do") != "lease" or request.get("state") not in ("files", "variables"):
                raise frames.BrokenFrameError("only a lease can be asked for")
            client.settimeout(TALK_SECONDS)
            if self._holder is not None:
                frames.send(client, {"busy": 1})
                return True
            frames.send(client, {"leased": 1})
        except (frames.ClosedError, frames.BrokenFrameError, OSError):
            self._let_go(client)
            return True
        self._holder = client
        self._poll.unregister(client)
        self._kills = oom_kills(True)
        socket.send_fds(self._session, [VARIABLES if request["state"] == "variables" else FILES], [client.fileno()])
        return True

    def _lease_ended(self) -> bool:
        """What the session says when a lease is over. False if the worker is to end."""
        client, self._holder = self._holder, None
        try:
            said, _ = frames.receive(self._session, time.monotonic() + TALK_SECONDS)
        except (frames.ClosedError, frames.BrokenFrameError, OSError):
            if client is not None:  # it could not answer any more
                with contextlib.suppress(OSError):
                    client.settimeout(TALK_SECONDS)
                    frames.send(client, last_words(self._kills, "the process that watched the program died"))
            return False
        if client is None or not said.get("clean"):
            return False
        self._poll.register(client, select.POLLIN)
        return True

    def _let_go(self, client: socket.socket) -> None:
        self._poll.unregister(client)
        del self._clients[client.fileno()]
        client.close()
        self._alone_since = time.monotonic()

    def _reap(self) -> None:
        """As the first process of a container it inherits the dead of everybody."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def spawn_session(setup: Setup, janitor: Janitor, zygote: Zygote) -> socket.socket:
    """The process that serves leases; a socket to it, which takes a byte and a client's connection."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            die_with_parent(signal.SIGKILL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            ours.close()
            while True:
                kind, fds, _, _ = socket.recv_fds(theirs, 1, 1)
                if not kind:
                    break
                with socket.socket(fileno=fds[0]) as client:
                    client.setblocking(True)
                    frames.send(theirs, {"clean": serve_lease(client, kind == VARIABLES, setup)})
        except BaseException:
            traceback.print_exc()  # into the container's log
        finally:
            os._exit(1)
    theirs.close()
    janitor.let_go()  # they are the session's alone
    zygote.let_go()
    return ours
