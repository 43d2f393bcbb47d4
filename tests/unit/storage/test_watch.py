"""The seam between history and live changes, with a history that answers when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from validators import check_watch

from kapi.storage import watch as watch_module
from kapi.storage.interface import Compacted, Event, Replaced, Unavailable
from kapi.storage.watch import Hub, Page, Watch


class Store:
    """Events that the test makes happen; reading them waits for `answer`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.hub = Hub(self.replay, 1)
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.error: Exception | None = None
        self.page_events = 100
        self.reads = 0

    def happen(self, count: int, *, prefix: str = "/a/") -> None:
        first = self.hub.revision + 1
        events = [
            Event("create", f"{prefix}{r}", b"", r, None) for r in range(first, first + count)
        ]
        self.events += events
        self.hub.deliver(events)

    async def replay(self, prefix: str, after: int) -> Page:
        """Reads as of the moment of the call, answers later."""
        self.reads += 1
        newest = self.hub.revision
        found = [e for e in self.events if e.revision > after and e.key.startswith(prefix)]
        self.asked.set()
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        if len(found) > self.page_events:
            found = found[: self.page_events]
            return Page(found, found[-1].revision, last=False)
        return Page(found, max(newest, after), last=True)


async def read(watch: Watch, upto: int) -> list[Sequence[Event]]:
    batches: list[Sequence[Event]] = []
    while not batches or batches[-1][-1].revision < upto:
        batches.append(await asyncio.wait_for(anext(watch), 10))
    return batches


@pytest.fixture
async def store() -> Store:
    return Store()


async def test_changes_during_the_read_of_history_are_kept(store: Store) -> None:
    store.happen(5)
    watch = store.hub.watch("/a/", 2)
    reading = asyncio.ensure_future(read(watch, 10))
    await store.asked.wait()
    store.happen(2)
    store.happen(2)
    store.answer.set()
    check_watch(await reading, store.events, prefix="/a/", after=2, upto=10)
    assert store.reads == 1


async def test_changes_that_history_had_already_are_not_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read may see more than what was delivered when it was asked for."""
    store.happen(5)
    watch = store.hub.watch("/a/", 2)
    replay = store.replay

    async def late(prefix: str, after: int) -> Page:
        store.happen(3)
        return await replay(prefix, after)

    monkeypatch.setattr(store.hub, "replay", late)
    store.answer.set()
    check_watch(await read(watch, 9), store.events, prefix="/a/", after=2, upto=9)
    monkeypatch.setattr(store.hub, "replay", replay)
    store.happen(1)
    [batch] = await read(watch, 10)
    assert [e.revision for e in batch] == [10]


async def test_an_overflow_during_the_read_of_history(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "QUEUE_EVENTS_MAX", 4)
    store.happen(5)
    watch = store.hub.watch("/a/", 2)
    reading = asyncio.ensure_future(read(watch, 13))
    await store.asked.wait()
    store.happen(5)
    store.happen(2)
    store.answer.set()
    check_watch(await reading, store.events, prefix="/a/", after=2, upto=13)
    assert store.reads == 2


async def test_pages_of_history(store: Store) -> None:
    store.page_events = 3
    store.answer.set()
    store.happen(6)
    store.happen(6, prefix="/b/")
    store.happen(6)
    watch = store.hub.watch("/a/", 1)
    check_watch(await read(watch, 19), store.events, prefix="/a/", after=1, upto=19)


async def test_changes_elsewhere_wake_nobody(store: Store) -> None:
    watch = store.hub.watch("/a/", 1)
    step = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    store.happen(3, prefix="/b/")
    await asyncio.sleep(0)
    assert not step.done()
    store.happen(1)
    assert [e.revision for e in await step] == [5]
    assert store.reads == 0


async def test_batches_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BATCH_EVENTS_MAX", 3)
    watch = store.hub.watch("/a/", 1)
    store.happen(8)
    assert [len(batch) for batch in await read(watch, 9)] == [3, 3, 2]


async def test_a_failed_read_is_tried_again_from_the_same_place(store: Store) -> None:
    store.happen(5)
    watch = store.hub.watch("/a/", 2)
    store.answer.set()
    store.error = Unavailable("not now")
    with pytest.raises(Unavailable):
        await anext(watch)
    store.happen(1)
    store.error = Compacted(4)
    with pytest.raises(Compacted):
        await anext(watch)
    store.error = None
    check_watch(await read(watch, 7), store.events, prefix="/a/", after=2, upto=7)


async def test_a_cancelled_step_loses_nothing(store: Store) -> None:
    store.happen(5)
    watch = store.hub.watch("/a/", 2)
    for _ in range(2):  # in the middle of reading history
        step = asyncio.ensure_future(anext(watch))
        await store.asked.wait()
        store.asked.clear()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        store.happen(1)
    store.answer.set()
    check_watch(await read(watch, 8), store.events, prefix="/a/", after=2, upto=8)
    step = asyncio.ensure_future(anext(watch))  # while waiting for a change
    await asyncio.sleep(0)
    store.happen(1)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert [e.revision for e in await anext(watch)] == [9]


async def test_closing_in_the_middle_of_a_read_ends_the_watch(store: Store) -> None:
    store.happen(5)
    step = asyncio.ensure_future(anext(store.hub.watch("/a/", 2)))
    await store.asked.wait()
    store.error = Unavailable("closed")
    store.hub.close()
    store.answer.set()
    with pytest.raises(StopAsyncIteration):
        await step


async def test_a_store_that_is_another_one() -> None:
    store = Store()
    store.happen(3)
    waiting, behind = store.hub.watch("/a/", 4), store.hub.watch("/a/", 1)
    step = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0)
    store.hub.replace(2, "it went back")
    with pytest.raises(Replaced, match="it went back") as raised:
        await step
    assert raised.value.compact_revision == 2
    for _ in range(2):  # every step says so
        with pytest.raises(Replaced):
            await anext(behind)
    assert store.hub.revision == 2
    store.happen(1)
    fresh = store.hub.watch("/a/", 3)
    store.happen(1)
    assert [e.revision for e in await anext(fresh)] == [4]
