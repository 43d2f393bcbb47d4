"""Whether etcd answers in time: what `/livez` and `/readyz` say of it, kept up to date by a task.

The checks of the server must not block, so etcd is asked beside them, about once a second.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kapi.clock import Clock
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_rpc import RpcError
from kapi.storage.etcd_watch import status
from kapi.storage.interface import StorageError

# Between two questions, in seconds, unless a timeout is shorter.
EVERY_S: Final = 1.0
# Between two looks at the size of the database, as on the real server.
MEASURE_S: Final = 30.0
MEASURE_TIMEOUT_S: Final = 1.0


class Probe:
    """`alive` and `ready` are complaints; "" if there is none."""

    def __init__(
        self, storage: EtcdStorage, clock: Clock, *, alive_s: float, ready_s: float
    ) -> None:
        """How long an answer may take, for either."""
        self._storage = storage
        self._clock = clock
        self._alive_s, self._ready_s = alive_s, ready_s
        self.alive = ""
        self.ready = ""
        self._measured = -MEASURE_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.step()
            await self._measure()
            await self._clock.sleep(min(EVERY_S, self._alive_s, self._ready_s))

    async def step(self) -> None:
        start = self._clock.monotonic()
        problem = ""
        try:
            async with asyncio.timeout(max(self._alive_s, self._ready_s)):
                await self._storage.current_revision()
        except TimeoutError:
            problem = "context deadline exceeded"
        except StorageError as error:
            problem = str(error)
        took = self._clock.monotonic() - start
        self.alive = problem or _late(took, self._alive_s)
        self.ready = problem or _late(took, self._ready_s) or self._storage.trouble()

    async def _measure(self) -> None:
        """Now and then: how large the database is, by each of the endpoints."""
        if self.ready or self._clock.monotonic() < self._measured + MEASURE_S:
            return
        self._measured = self._clock.monotonic()
        sizes = self._storage.sizes
        for member in self._storage.client.members:
            try:
                async with asyncio.timeout(MEASURE_TIMEOUT_S):
                    sizes[member.url] = (await status(member)).db_size
            except (TimeoutError, RpcError, OSError):
                sizes.pop(member.url, None)


def _late(took: float, allowed: float) -> str:
    return "" if took <= allowed else f"etcd took {took:.1f} s to answer"
