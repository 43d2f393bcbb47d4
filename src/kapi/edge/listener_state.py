"""What the connections of one listener share, whatever protocol each of them speaks.

Made by `listener.py`; the protocols look at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from kapi.clock import Clock

WRITE_STALL_SECONDS = 60.0  # without the client taking anything of the answer


class ListenerState:
    """What the connections of one listener share."""

    def __init__(
        self, config: Config, clock: Clock, tunnels: Callable[[str], bool] = lambda path: False
    ) -> None:
        self.config = config
        self.tunnels = tunnels
        self.uvicorn = ServerState()
        self.draining = False
        self.emptied: asyncio.Event | None = None  # set when the last connection is gone
        self._clock = clock
        self._date_second = -1
        self._headers: list[tuple[bytes, bytes]] = []

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The `Date` header, made once a second."""
        second = int(self._clock.now())
        if second != self._date_second:
            self._date_second = second
            self._headers = [(b"date", formatdate(second, usegmt=True).encode())]
            self.uvicorn.default_headers = self._headers  # for WebSocket answers
        return self._headers

    def connection_lost(self) -> None:
        if self.emptied is not None and not self.uvicorn.connections:
            self.emptied.set()
