"""Calls into storage: what is done meanwhile, and what comes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from kapi.errors import ApiError
from kapi.registry.storing import storage_call
from kapi.storage.interface import NotFound, Unavailable


class Store:
    """A call that waits twice, and notes how far it is."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.seen: list[str] = []
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.failure = failure

    async def call(self) -> int:
        self.seen.append("sent")
        try:
            async with asyncio.timeout(10):
                await self.first.wait()
                await self.second.wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        if self.failure is not None:
            raise self.failure
        self.seen.append("answered")
        return 7

    def meanwhile(self) -> None:
        self.seen.append("meanwhile")


async def answered(store: Store, call: Awaitable[int]) -> int:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    store.first.set()
    await asyncio.sleep(0)
    store.second.set()
    return await task


async def test_something_is_done_while_the_store_is_at_work() -> None:
    store = Store()
    assert await answered(store, storage_call(store.call(), store.meanwhile)) == 7
    assert store.seen == ["sent", "meanwhile", "answered"]


async def test_a_call_that_does_not_wait() -> None:
    seen = []

    async def call() -> int:
        seen.append("sent")
        return 7

    assert await storage_call(call(), lambda: seen.append("meanwhile")) == 7
    assert seen == ["sent", "meanwhile"]
    with pytest.raises(ApiError) as caught:
        await storage_call(refused(), lambda: seen.append("told"))
    assert (caught.value.code, seen[2:]) == (503, ["told"])


async def refused() -> int:
    raise Unavailable("no")


async def test_failures_of_the_store_are_answers() -> None:
    store = Store(Unavailable("slow", uncertain=True))
    with pytest.raises(ApiError) as caught:
        await answered(store, storage_call(store.call(), store.meanwhile))
    assert caught.value.code == 504
    store = Store(NotFound("k"))
    with pytest.raises(NotFound):
        await answered(store, storage_call(store.call(), store.meanwhile))


async def test_what_was_sent_is_waited_for_when_the_rest_fails() -> None:
    store = Store()

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await answered(store, storage_call(store.call(), broken))
    assert store.seen == ["sent", "answered"]


async def test_who_is_cancelled_cancels_the_call() -> None:
    for waits in (1, 2):
        store = Store()
        task = asyncio.ensure_future(storage_call(store.call(), store.meanwhile))
        await asyncio.sleep(0)
        if waits == 2:
            store.first.set()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.seen == ["sent", "meanwhile", "cancelled"]
