"""The first process of a container: it talks to clients, and hands each lease on to a process made for it.

front (this)    accepts clients, answers for a session that died, ends the container; imports next to nothing
└── zygote      has NumPy, Pillow and OpenCV loaded and forks (worker_zygote)
    ├── janitor     has the program's rights, to kill, collect and wipe (worker_janitor)
    └── session     one lease: one client's programs, one after the other (worker_session)
        └── program     (worker_program)
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from typing import Any

from . import frames

TALK_SECONDS = 10.0  # for a client to take what it is told
HEAR_SECONDS = 1.0  # for the rest of a message that a client began: a short one, which goes out whole
CLIENTS = 64


class Front:
    """Who is connected, and who has the lease.

    hello: what every client is told first. zygote: a socket to it. orphan_seconds: see `worker`.
    """

    def __init__(
        self, hello: dict[str, Any], zygote: socket.socket, listener: socket.socket, orphan_seconds: float
    ) -> None:
        self._hello, self._zygote, self._listener, self._orphan_seconds = hello, zygote, listener, orphan_seconds
        self._clients: dict[int, socket.socket] = {}
        self._holder: socket.socket | None = None
        self._alone_since = time.monotonic()
        self._poll = select.poll()
        self._poll.register(zygote, select.POLLIN)
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
                if fd == self._zygote.fileno():
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
        return 1.0 if self._orphan_seconds and not self._clients else 5.0

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
        kind = b"v" if request["state"] == "variables" else b"f"
        socket.send_fds(self._zygote, [kind], [client.fileno()])
        return True

    def _lease_ended(self) -> bool:
        """What the zygote says when a session is over. False if the worker is to end."""
        try:
            said, _ = frames.receive(self._zygote, time.monotonic() + TALK_SECONDS)
        except (frames.ClosedError, frames.BrokenFrameError, OSError):
            said = {"end": "died", "why": "the process that forks sessions is gone"}
        client, self._holder = self._holder, None
        if client is None:
            return False
        if said["end"] == "clean":
            self._poll.register(client, select.POLLIN)
            return True
        if said["end"] in ("oom", "died"):  # the session could not answer any more
            with contextlib.suppress(OSError):
                client.settimeout(TALK_SECONDS)
                frames.send(client, {"session": said["end"], "why": said["why"]})
        return False

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


def listen(path: str) -> socket.socket:
    """A Unix socket for this process's group."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Under another name first: who sees it may connect to it.
    beside = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    listener.bind(beside)
    os.chmod(beside, 0o660)
    listener.listen(CLIENTS)
    os.rename(beside, path)
    return listener
