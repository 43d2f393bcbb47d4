"""Ports for servers that must be told theirs, or that come back at the same one.

Not from those that the system gives to connections: while nobody listens at such a port, a client
of this machine may get it, or even reach itself by trying to connect to it.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_FIRST = 15_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 at which nobody listens."""
    given = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    if given <= _FIRST:  # all of them, so nothing is better than another
        given = 32_768
    chance = random.SystemRandom()  # several runs may look at once
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            break
        port = chance.randrange(_FIRST, given)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    assert len(found) == count, "no port is free"
    return found
