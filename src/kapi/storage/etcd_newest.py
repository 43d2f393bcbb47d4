"""The newest revision of an etcd, which others write to as well, asked for as rarely as possible.

One question is under way at a time; who comes meanwhile shares the next one, for the one under way
may be older than what the caller has seen. Used by `etcd.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import EtcdClient
from kapi.storage.etcd_delivery import settle
from kapi.storage.etcd_identity import Identity
from kapi.storage.etcd_messages import Header
from kapi.storage.interface import Unavailable
from kapi.storage.watch import Hub


class Newest:
    """Made on the event loop that uses it."""

    def __init__(
        self, client: EtcdClient, hub: Hub, identity: Identity, distrust: Callable[[], None]
    ) -> None:
        """`distrust` is called when another etcd answers; it is looked into at once."""
        self._client = client
        self._hub = hub
        self._identity = identity
        self._distrust = distrust
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[int]] = []  # for the next question
        self._asking: asyncio.Task[None] | None = None
        self.asked = 0

    async def revision(self) -> int:
        """As of now. Raises Unavailable."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append(future)
        if self._asking is None:
            self._asking = self._loop.create_task(self._ask())
        return await future

    async def _ask(self) -> None:
        """One question after the other, as long as somebody waits."""
        waiting: list[asyncio.Future[int]] = []
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._question(waiting)
        except asyncio.CancelledError:
            for future in (*waiting, *self._waiting):
                if not future.done():
                    future.set_exception(Unavailable("the store is closed"))
            raise
        finally:
            self._asking = None

    async def _question(self, waiting: list[asyncio.Future[int]]) -> None:
        self.asked += 1
        floor = self._hub.revision
        try:
            data = await self._client.read("KV/Range", messages.range_request(b"\0"))
            revision = self._recognized(messages.header_of(data), floor)
        except Exception as error:
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future in waiting:
            settle(future, revision)

    def _recognized(self, header: Header, floor: int) -> int:
        """The revision of an answer; `floor` was there before the question. Raises Unavailable."""
        reason = self._identity.judge(header, floor)
        if reason:
            self._distrust()
            raise Unavailable(f"etcd is not the one that it was: {reason}")
        return header.revision

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
