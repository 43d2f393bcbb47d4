"""What every watch of a Storage must do; a part of `storage_suite.py`."""

from __future__ import annotations

import asyncio

import pytest
from storage_story import LEASE, POD, Writes, collect
from validators import check_watch, flat, resumable

from kapi.storage import watch as watch_module
from kapi.storage.interface import (
    Compacted,
    Storage,
)


class WatchSuite:
    """Inherited by `StorageSuite`."""

    async def test_a_watch_sees_what_happens(self, storage: Storage) -> None:
        writes = Writes(storage)
        watch = storage.watch("/registry/", after_revision=1)
        pods = storage.watch("/registry/pods/", after_revision=1)
        await writes.create(POD, b"1")
        await writes.create(LEASE, b"1")
        await writes.update(POD, b"2")
        await writes.delete(LEASE)
        last = await writes.delete(POD)
        check_watch(await collect(watch, last), writes.history, prefix="", after=1, upto=last)
        check_watch(
            await collect(pods, last), writes.history, prefix="/registry/pods/", after=1, upto=last
        )
        mark = await writes.create(POD, b"3")
        check_watch(await collect(watch, mark), writes.history, prefix="", after=last, upto=mark)

    async def test_a_watch_replays_history(self, storage: Storage) -> None:
        writes = Writes(storage)
        for i in range(watch_module.BATCH_EVENTS_MAX + 50):
            await writes.create(f"/registry/{'even' if i % 2 else 'odd'}/{i}", b"x")
        last = writes.history[-1].revision
        for after in (1, 2, 30, last - 1):
            for prefix in ("/registry/", "/registry/even/"):
                batches = await collect(storage.watch(prefix, after_revision=after), last)
                check_watch(batches, writes.history, prefix=prefix, after=after, upto=last)

    async def test_a_watch_is_not_behind_an_answer(self, storage: Storage) -> None:
        watch = storage.watch("/registry/", after_revision=1)
        for i in range(20):
            step = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            revision = await storage.create(f"/registry/{i}", b"x")
            await asyncio.sleep(0)
            assert step.done(), "the answer came a turn or more before the event"
            assert step.result()[0].revision == revision

    async def test_a_watch_from_a_future_revision_waits_for_it(self, storage: Storage) -> None:
        watch = storage.watch("/registry/", after_revision=3)
        for i in range(4):
            await storage.create(f"/registry/{i}", b"x")
        assert [e.revision for e in flat(await collect(watch, 5))] == [4, 5]

    async def test_history_and_live_changes_join_without_seam(self, storage: Storage) -> None:
        writes = Writes(storage)
        await writes.create(LEASE, b"0")
        watches = []

        async def write() -> None:
            for i in range(400):
                await writes.update(LEASE, str(i).encode())
                if i % 40 == 0:
                    start = 1 + i // 2
                    watch = storage.watch("/registry/", after_revision=start)
                    watches.append((start, asyncio.ensure_future(collect(watch, 402))))

        await write()
        for start, seen in watches:
            check_watch(await seen, writes.history, prefix="", after=start, upto=402)

    async def test_a_watch_resumes(self, storage: Storage) -> None:
        writes = Writes(storage)
        await writes.create(LEASE, b"0")
        for i in range(20):
            await writes.update(LEASE, str(i).encode())
        first = flat(await collect(storage.watch("/registry/", after_revision=1), 9))
        await writes.delete(LEASE)
        rest = storage.watch("/registry/", after_revision=first[-1].revision)
        second = flat(await collect(rest, writes.history[-1].revision))
        resumable(first, second, writes.history)

    async def test_a_slow_reader_falls_back_to_history(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch_module, "QUEUE_EVENTS_MAX", 16)
        writes = Writes(storage)
        slow = storage.watch("/registry/", after_revision=1)
        await writes.create(LEASE, b"0")
        for i in range(100):
            await writes.update(LEASE, str(i).encode())
        first = await collect(slow, 50)
        for i in range(100):
            await writes.update(LEASE, str(i).encode())
        last = writes.history[-1].revision
        batches = [*first, *await collect(slow, last)]
        check_watch(batches, writes.history, prefix="", after=1, upto=last)

    async def test_a_reader_slower_than_history_is_told(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch_module, "QUEUE_EVENTS_MAX", 16)
        writes = Writes(storage)
        slow = storage.watch("/registry/", after_revision=1)
        await writes.create(LEASE, b"0")
        for i in range(100):
            await writes.update(LEASE, str(i).encode())
        await storage.compact(90)
        with pytest.raises(Compacted) as error:
            await anext(slow)
        assert error.value.compact_revision == 90

    async def test_a_watch_of_forgotten_history(self, storage: Storage) -> None:
        writes = Writes(storage)
        await writes.create(LEASE, b"0")
        for i in range(8):
            await writes.update(LEASE, str(i).encode())
        await storage.compact(6)
        with pytest.raises(Compacted):
            await anext(storage.watch("/registry/", after_revision=5))
        batches = await collect(storage.watch("/registry/", after_revision=6), 10)
        check_watch(batches, writes.history, prefix="", after=6, upto=10)

    async def test_a_dropped_watch_is_forgotten(self, storage: Storage) -> None:
        watch = storage.watch("/registry/", after_revision=1)
        assert storage.statistics()["watches"] == 1
        del watch
        assert storage.statistics()["watches"] == 0
