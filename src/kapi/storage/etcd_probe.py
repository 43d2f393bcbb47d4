"""Whether etcd answers in time: what `/livez` and `/readyz` say of it, kept up to date by a task.

The checks of the server must not block, so etcd is asked beside them, about once a second.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kapi.clock import Clock
from kapi.storage.etcd import EtcdStorage
from kapi.storage.interface import StorageError

# Between two questions, in seconds, unless a timeout is shorter.
EVERY_S: Final = 1.0


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

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.step()
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


def _late(took: float, allowed: float) -> str:
    return "" if took <= allowed else f"etcd took {took:.1f} s to answer"
