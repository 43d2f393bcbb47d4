"""Counts requests under way, so that a stop can wait for them; once draining, refuses new ones.

`server.py` owns the `WaitGroup`: it drains it when the server begins to stop and waits until it
is empty before it takes away what handlers need. Long-running requests are not waited for: what
feeds them ends them."""

from __future__ import annotations

import asyncio

from kapi.errors import ApiError
from kapi.filters.long_running import is_long_running
from kapi.filters.response_headers import NEVER_REFUSED
from kapi.messages import Handler, Request, Response


class WaitGroup:
    """Requests that are not answered to the last byte."""

    def __init__(self) -> None:
        self.active = 0
        self.draining = False
        self._empty: asyncio.Event | None = None

    def drain(self) -> None:
        """From now on new requests are refused."""
        self.draining = True

    def enter(self) -> None:
        self.active += 1

    def leave(self) -> None:
        self.active -= 1
        if self.active == 0 and self._empty is not None:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Until no request is under way. Bound it with a timeout."""
        while self.active:
            self._empty = asyncio.Event()
            await self._empty.wait()


def with_wait_group(handler: Handler, group: WaitGroup) -> Handler:
    async def filtered(request: Request) -> Response:
        if group.draining and not request.path.startswith(NEVER_REFUSED):
            raise ApiError(
                503,
                "ServiceUnavailable",
                "apiserver is shutting down",
                headers=(("Retry-After", "1"), ("X-Content-Type-Options", "nosniff")),
            )
        if not is_long_running(request.info):
            group.enter()
            request.exit.append(group.leave)
        return await handler(request)

    return filtered
