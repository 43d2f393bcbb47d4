"""What every Storage must do: one suite, run over each implementation.

A test module makes a subclass for its implementation and gives it a fixture `storage` that yields a
fresh, open store; `test_storage_conformance.py` does so for memory and SQLite.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from storage_story import LEASE, POD, Writes, collect
from storage_watch_suite import WatchSuite
from validators import check_watch, flat

from kapi.storage.interface import (
    AlreadyExists,
    Compacted,
    Conflict,
    FutureRevision,
    NotFound,
    Record,
    Storage,
    Unavailable,
)


class StorageSuite(WatchSuite):
    """Inherit, and give a fixture `storage`."""

    # -- single keys ------------------------------------------------------------------------------

    async def test_a_fresh_store_is_empty_at_revision_one(self, storage: Storage) -> None:
        assert await storage.current_revision() == 1
        assert await storage.compact_revision() == 0
        assert await storage.get(POD) is None
        result = await storage.list("/registry/")
        assert (list(result.records), result.revision, result.remaining) == ([], 1, 0)

    async def test_create_update_delete(self, storage: Storage) -> None:
        assert await storage.create(POD, b"one") == 2
        assert await storage.get(POD) == Record(POD, b"one", 2, 2)
        assert await storage.update(POD, b"two", expected_revision=2) == 3
        assert await storage.get(POD) == Record(POD, b"two", 3, 2)
        assert await storage.delete(POD, expected_revision=3) == (Record(POD, b"two", 3, 2), 4)
        assert await storage.get(POD) is None
        assert await storage.create(POD, b"again") == 5
        assert await storage.get(POD) == Record(POD, b"again", 5, 5)
        assert await storage.current_revision() == 5

    async def test_create_of_what_exists(self, storage: Storage) -> None:
        await storage.create(POD, b"one")
        with pytest.raises(AlreadyExists):
            await storage.create(POD, b"two")
        assert await storage.current_revision() == 2
        assert await storage.get(POD) == Record(POD, b"one", 2, 2)

    async def test_change_of_what_does_not_exist(self, storage: Storage) -> None:
        with pytest.raises(NotFound):
            await storage.update(POD, b"x", expected_revision=1)
        with pytest.raises(NotFound):
            await storage.delete(POD, expected_revision=1)
        assert await storage.current_revision() == 1

    async def test_a_conflict_shows_what_stands_there(self, storage: Storage) -> None:
        await storage.create(POD, b"one")
        await storage.update(POD, b"two", expected_revision=2)
        stands = Record(POD, b"two", 3, 2)
        with pytest.raises(Conflict) as update:
            await storage.update(POD, b"three", expected_revision=2)
        assert update.value.current == stands
        with pytest.raises(Conflict) as delete:
            await storage.delete(POD, expected_revision=4)
        assert delete.value.current == stands
        assert await storage.current_revision() == 3

    @pytest.mark.parametrize("value", [b"", b"\0", b"\xff\xfe", bytes(range(256)) * 6144])
    async def test_any_bytes_are_a_value(self, storage: Storage, value: bytes) -> None:
        await storage.create(POD, value)
        await storage.create(LEASE, b"beside it")
        assert (await storage.list("/registry/pods/")).records[0].value == value
        await storage.update(POD, b"small", expected_revision=2)
        await storage.update(POD, value, expected_revision=4)
        at = await storage.get(POD, revision=3)
        assert at is not None
        assert at.value == value
        [event] = flat(await collect(storage.watch("/registry/", after_revision=4), 5))
        assert event.value == value

    @pytest.mark.parametrize("key", ["/registry/a\0b", "/registry/\ud800"])
    async def test_keys_that_no_backend_can_hold(self, storage: Storage, key: str) -> None:
        with pytest.raises(ValueError):
            await storage.create(key, b"x")
        with pytest.raises(NotFound):
            await storage.update(key, b"x", expected_revision=1)
        assert await storage.get(key) is None
        assert await storage.get(key, revision=1) is None
        assert list((await storage.list(key)).records) == []
        assert list((await storage.list("/", start_after=key, revision=1)).records) == []
        assert await storage.current_revision() == 1

    # -- lists ------------------------------------------------------------------------------------

    async def test_list_is_by_prefix_and_key(self, storage: Storage) -> None:
        names = ["b/1", "a/2", "a/10", "a/ü", "a/\U0001f600", "a/\uffff", "a-x/1", "ab/1"]
        for name in names:
            await storage.create(f"/registry/{name}", name.encode())
        found = [r.key for r in (await storage.list("/registry/a/")).records]
        under = sorted(f"/registry/{n}" for n in names if n.startswith("a/"))
        assert found == under
        assert len((await storage.list("")).records) == len(names)
        assert list((await storage.list("/other/")).records) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
    async def test_pages_make_up_the_whole(self, storage: Storage, limit: int) -> None:
        for i in range(7):
            await storage.create(f"/registry/pods/ns/{i}", b"x")
        await storage.create("/registry/podz", b"x")
        for revision in (None, 8):
            seen: list[str] = []
            start = ""
            while True:
                page = await storage.list(
                    "/registry/pods/", limit=limit, start_after=start, revision=revision
                )
                seen += [record.key for record in page.records]
                assert page.remaining == 7 - len(seen)
                if not page.remaining:
                    break
                start = seen[-1]
            assert seen == [f"/registry/pods/ns/{i}" for i in range(7)]

    async def test_start_after_needs_no_key_there(self, storage: Storage) -> None:
        for name in ("a", "c"):
            await storage.create(f"/registry/{name}", b"x")
        for start, expected in (("/registry/b", ["c"]), ("/a", ["a", "c"]), ("/z", [])):
            page = await storage.list("/registry/", start_after=start)
            assert [r.key for r in page.records] == [f"/registry/{n}" for n in expected]

    async def test_list_at_an_older_revision(self, storage: Storage) -> None:
        writes = Writes(storage)
        states: dict[int, dict[str, Record]] = {1: {}}

        def remember(revision: int) -> None:
            states[revision] = dict(writes.now)

        for i in range(5):
            remember(await writes.create(f"/registry/k{i}", b"v1"))
        for i in (1, 3):
            remember(await writes.update(f"/registry/k{i}", b"v2"))
            remember(await writes.delete(f"/registry/k{i - 1}"))
        remember(await writes.create("/registry/k0", b"v3"))
        for revision, state in states.items():
            result = await storage.list("/registry/", revision=revision)
            assert result.revision == revision
            assert list(result.records) == [state[k] for k in sorted(state)]
            page = await storage.list("/registry/", revision=revision, limit=2)
            assert list(page.records) == [state[k] for k in sorted(state)[:2]]
            assert page.remaining == max(0, len(state) - 2)
            for i in range(5):
                key = f"/registry/k{i}"
                assert await storage.get(key, revision=revision) == state.get(key)

    async def test_the_future_cannot_be_read(self, storage: Storage) -> None:
        await storage.create(POD, b"x")
        with pytest.raises(FutureRevision) as error:
            await storage.get(POD, revision=3)
        assert error.value.current_revision == 2
        with pytest.raises(FutureRevision):
            await storage.list("/registry/", revision=3)
        with pytest.raises(FutureRevision):
            await storage.compact(3)

    # -- compaction -------------------------------------------------------------------------------

    async def test_compaction_forgets_what_is_older(self, storage: Storage) -> None:
        writes = Writes(storage)
        await writes.create(POD, b"1")  # 2
        await writes.create(LEASE, b"1")  # 3
        await writes.update(LEASE, b"2")  # 4
        await writes.delete(POD)  # 5
        await writes.update(LEASE, b"3")  # 6
        await storage.compact(4)
        assert await storage.compact_revision() == 4
        for read in (storage.get(LEASE, revision=3), storage.list("/registry/", revision=3)):
            with pytest.raises(Compacted) as error:
                await read
            assert error.value.compact_revision == 4
        assert await storage.get(POD, revision=4) == Record(POD, b"1", 2, 2)
        assert await storage.get(LEASE, revision=4) == Record(LEASE, b"2", 4, 3)
        assert len((await storage.list("/registry/", revision=4)).records) == 2
        await storage.compact(6)
        assert await storage.get(LEASE) == Record(LEASE, b"3", 6, 3)
        assert await storage.get(LEASE, revision=6) == Record(LEASE, b"3", 6, 3)
        assert await storage.get(POD, revision=6) is None
        assert await storage.current_revision() == 6

    async def test_compaction_does_not_go_back(self, storage: Storage) -> None:
        writes = Writes(storage)
        await storage.compact(1)
        assert await storage.compact_revision() == 1
        for i in range(5):
            await writes.create(f"/registry/{i}", b"x")
        await storage.compact(4)
        await storage.compact(4)
        with pytest.raises(Compacted):
            await storage.compact(3)
        assert await storage.compact_revision() == 4

    async def test_revisions_go_on_after_everything_was_deleted_and_compacted(
        self, storage: Storage
    ) -> None:
        writes = Writes(storage)
        await writes.create(POD, b"x")
        await storage.compact(await writes.delete(POD))
        assert await storage.current_revision() == 3
        assert (await storage.list("/registry/")).revision == 3
        assert await storage.create(POD, b"y") == 4

    async def test_many_compactions_at_once(self, storage: Storage) -> None:
        writes = Writes(storage)
        await writes.create(LEASE, b"0")
        for i in range(600):
            await writes.update(LEASE, str(i).encode())
        results = await asyncio.gather(
            *(storage.compact(r) for r in (300, 600, 450)), return_exceptions=True
        )
        assert all(r is None or isinstance(r, Compacted) for r in results)
        assert await storage.compact_revision() == 600
        assert await storage.get(LEASE) == writes.now[LEASE]

    # -- many at once, and the end ----------------------------------------------------------------

    async def test_64_writers_and_no_failed_write(self, storage: Storage) -> None:
        watch = storage.watch("/registry/", after_revision=1)

        async def write(name: int) -> list[int]:
            key = f"/registry/{name}"
            revisions = [await storage.create(key, b"0")]
            for i in range(8):
                revisions.append(
                    await storage.update(key, b"%d" % i, expected_revision=revisions[-1])
                )
            revisions.append((await storage.delete(key, expected_revision=revisions[-1]))[1])
            return revisions

        written = await asyncio.gather(*(write(name) for name in range(64)))
        revisions = [r for one in written for r in one]
        assert sorted(revisions) == list(range(2, 642))
        events = flat(await collect(watch, 641))
        check_watch([events], events, prefix="", after=1, upto=641)
        assert [e.revision for e in events] == list(range(2, 642))

    async def test_one_of_many_racers_wins(self, storage: Storage) -> None:
        async def race(i: int) -> Any:
            return await storage.create(POD, b"%d" % i)

        created = await asyncio.gather(*(race(i) for i in range(20)), return_exceptions=True)
        assert sorted(type(r).__name__ for r in created) == ["AlreadyExists"] * 19 + ["int"]

        async def change(i: int) -> Any:
            return await storage.update(POD, b"%d" % i, expected_revision=2)

        changed = await asyncio.gather(*(change(i) for i in range(20)), return_exceptions=True)
        [winner] = [i for i, r in enumerate(changed) if isinstance(r, int)]
        assert await storage.get(POD) == Record(POD, b"%d" % winner, 3, 2)
        current = Record(POD, b"%d" % winner, 3, 2)
        assert all(r.current == current for r in changed if isinstance(r, Conflict))
        assert sum(isinstance(r, Conflict) for r in changed) == 19

    async def test_a_cancelled_caller_disturbs_nobody(self, storage: Storage) -> None:
        calls = [asyncio.ensure_future(storage.create(f"/registry/{i}", b"x")) for i in range(9)]
        await asyncio.sleep(0)
        calls[4].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(r, int) for r in results) >= 8
        assert await storage.create("/registry/after", b"x") == 11

    async def test_close_ends_everything(self, storage: Storage) -> None:
        watch = storage.watch("/registry/", after_revision=1)
        last = await storage.create(POD, b"x")
        idle = storage.watch("/registry/", after_revision=last)
        waiting = asyncio.ensure_future(anext(idle))
        await asyncio.sleep(0)
        await asyncio.gather(storage.close(), storage.close())
        await storage.close()
        assert [e.revision for e in flat([batch async for batch in watch])] == [2]
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(storage.watch("/registry/", after_revision=1))
        for call in (
            storage.get(POD),
            storage.list("/registry/"),
            storage.create(LEASE, b"x"),
            storage.update(POD, b"x", expected_revision=2),
            storage.delete(POD, expected_revision=2),
            storage.current_revision(),
            storage.compact_revision(),
            storage.compact(2),
        ):
            with pytest.raises(Unavailable):
                await call

    async def test_close_finishes_what_is_queued(self, storage: Storage) -> None:
        calls = [asyncio.ensure_future(storage.create(f"/registry/{i}", b"x")) for i in range(50)]
        await asyncio.sleep(0)
        await storage.close()
        assert sorted(await asyncio.gather(*calls)) == list(range(2, 52))
