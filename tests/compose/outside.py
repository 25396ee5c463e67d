"""A host outside: a network namespace of this machine, which answers at one address and knows no way to containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NAME, HERE, THERE, PORT = "rllava-outside", "10.213.7.1", "10.213.7.2", 9999
SERVER = f"import http.server as h; h.HTTPServer(('{THERE}', {PORT}), h.BaseHTTPRequestHandler).serve_forever()"
REACH = (
    "import socket; s = socket.socket(); s.settimeout(3); "
    f"print('reached' if s.connect_ex(('{THERE}', {PORT})) == 0 else 'no way')"
)


@contextmanager
def outside() -> Iterator[None]:
    """The host is there meanwhile. Needs root and iproute2."""
    for command in (
        f"ip netns add {NAME}",
        f"ip link add {NAME[:8]}-a type veth peer name {NAME[:8]}-b netns {NAME}",
        f"ip addr add {HERE}/30 dev {NAME[:8]}-a",
        f"ip link set {NAME[:8]}-a up",
        f"ip -n {NAME} addr add {THERE}/30 dev {NAME[:8]}-b",
        f"ip -n {NAME} link set {NAME[:8]}-b up",
    ):
        subprocess.run(command.split(), check=True)
    server = subprocess.Popen(["ip", "netns", "exec", NAME, sys.executable, "-c", SERVER])
    try:
        yield
    finally:
        server.kill()
        server.wait()
        subprocess.run(["ip", "netns", "del", NAME], check=True)
