"""The newest revision of an etcd, which others write to as well, asked for as rarely as possible.

One question is under way at a time; who comes meanwhile shares the next one, for the one under way
may be older than what the caller has seen. Used by `etcd.py`.
"""

from __future__ import annotations

import asyncio

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import EtcdClient, retrieved


class Newest:
    """Made on the event loop that uses it."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None
        self.asked = 0

    async def revision(self) -> int:
        """As of now. Raises Unavailable."""
        if self._asking is None:
            self._asking = self._loop.create_task(self._question())
            self._asking.add_done_callback(retrieved)
            return await asyncio.shield(self._asking)
        if self._next is None:
            self._next = self._loop.create_task(self._question_after(self._asking))
            self._next.add_done_callback(retrieved)
        return await asyncio.shield(self._next)

    async def _question_after(self, earlier: asyncio.Task[int]) -> int:
        await asyncio.wait((earlier,))
        self._asking, self._next = self._next, None
        return await self._question()

    async def _question(self) -> int:
        try:
            self.asked += 1
            data = await self._client.read("KV/Range", messages.range_request(b"\0"))
            return messages.revision_of(data)
        finally:
            if self._next is None:
                self._asking = None

    async def close(self) -> None:
        tasks = [t for t in (self._asking, self._next) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
