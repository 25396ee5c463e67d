"""A listening socket for the services."""

from __future__ import annotations

import socket


def listen(host: str, port: int, backlog: int = 1024) -> socket.socket:
    """A socket that listens at a host (a name or an address) and port (0: a free one). Raises OSError.

    Small answers are sent at once. asyncio sees to that for sockets of its own, but not for one that it is given: every
    answer would then wait for the other side's acknowledgement, 40 ms long.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address, family=family, backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    return listener
