"""What an attack may find of this machine, and must not: listeners, a secret file, a secret in the environment.

Whether something got out is seen here, by who comes to the door, and not told by the attack.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..contract import ExecResult

VARIABLE = "RLLAVA_SANDBOX_DECOY"


class Decoys:
    """Listeners on every address of this machine, a file and an environment variable that hold a secret.

    As a context manager. `target` is what attacks are told, as a JSON file: ports, addresses, names; never the secret.
    """

    def __init__(self) -> None:
        self.secret = "decoy-" + secrets.token_hex(16)
        self._visits: list[str] = []
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._folder = ""

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="sandbox-decoy-")
        os.chmod(self._folder, 0o755)
        file = Path(self._folder, "secret.txt")
        file.write_text(self.secret)
        file.chmod(0o644)
        self._pickled = Path(self._folder, "unpickled")
        os.environ[VARIABLE] = self.secret
        tcp = self._listen(socket.AF_INET, ("0.0.0.0", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        self._open.append(udp)
        threading.Thread(target=self._receive, args=(udp,), daemon=True).start()
        abstract = "decoy-" + secrets.token_hex(8)
        self._listen(socket.AF_UNIX, "\0" + abstract)
        facts: dict[str, Any] = {
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract,
            "addresses": _addresses(),
            "file": str(file),
            "pickled": str(self._pickled),
        }
        self.target = json.dumps(facts).encode()
        self._machine = _machine()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._open:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # or the thread would go on waiting
            listener.close()
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def caught(self, results: Iterable[ExecResult | None]) -> str:
        """What came to light since the last call; empty if nothing did."""
        found = self._leaked(results)
        with self._lock:
            visits, self._visits = self._visits, []
        if visits and not found:
            found = f"a decoy outside was reached: {visits[0]}"
        if self._pickled.exists() and not found:
            self._pickled.rmdir()
            found = "an object of the program's was loaded outside"
        now = _machine()
        changed = [name for name in now if now[name] != self._machine[name]]
        self._machine = now
        if changed and not found:
            found = f"the machine outside changed: {', '.join(changed)}"
        return found

    def _leaked(self, results: Iterable[ExecResult | None]) -> str:
        needle = self.secret.encode()
        for result in results:
            if result is None:
                continue
            for name, content in {"stdout": result.stdout, "stderr": result.stderr, **result.files}.items():
                if needle in (content.encode("utf-8", "replace") if isinstance(content, str) else content):
                    return f"a secret of the machine outside came back in {name!r}"
        return ""

    def _listen(self, family: int, address: Any) -> socket.socket:
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen(16)
        self._open.append(listener)
        threading.Thread(target=self._accept, args=(listener, str(address)), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket, name: str) -> None:
        while True:
            try:
                visitor, who = listener.accept()
            except OSError:
                return
            with visitor, contextlib.suppress(OSError):
                self._note(f"{name} by {who}")
                visitor.sendall(self.secret.encode())

    def _receive(self, listener: socket.socket) -> None:
        while True:
            try:
                _, who = listener.recvfrom(2048)
            except OSError:
                return
            if not listener._closed:  # type: ignore[attr-defined]
                self._note(f"a datagram from {who}")

    def _note(self, visit: str) -> None:
        with self._lock:
            self._visits.append(visit)


def _addresses() -> list[str]:
    """The addresses at which a program might find this machine."""
    found = ["127.0.0.1", "172.17.0.1", "172.18.0.1"]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; the kernel says from where it would
        found.append(str(probe.getsockname()[0]))
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return list(dict.fromkeys(found))


def _machine() -> Mapping[str, object]:
    """What an attack could change of this machine."""
    facts: dict[str, object] = {
        "host name": socket.gethostname(),
        "clock": round((time.time() - time.monotonic()) / 10),
    }
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory"):
        with contextlib.suppress(OSError):
            facts[path] = Path(path).read_text()
    return facts
