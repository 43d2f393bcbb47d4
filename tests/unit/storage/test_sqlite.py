"""What only SQLite does: files, locks, versions, batches, what memory holds and the file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kapi.storage import sqlite_writer
from kapi.storage.check import check_file
from kapi.storage.interface import (
    Conflict,
    Corrupt,
    Event,
    InUse,
    ListResult,
    Record,
    Unavailable,
    UnknownFormat,
)
from kapi.storage.recent import Recent
from kapi.storage.sqlite import SqliteStorage
from kapi.storage.sqlite_schema import DATABASE_NAME, SCHEMA_VERSION
from kapi.storage.sqlite_writer import Batch

POD = "/registry/pods/default/a"


PAGES = "PRAGMA page_count"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    storage = await SqliteStorage.open(tmp_path)
    yield storage
    await storage.close()
    assert check_file(tmp_path) == []


async def set_pragma(storage: SqliteStorage, text: str) -> None:
    await storage.call_in_writer(lambda c: c.execute(f"PRAGMA {text}").fetchall())


# -- the files ------------------------------------------------------------------------------------


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "new" / "dir")
    revision = await storage.create(POD, b"1")
    revision = await storage.update(POD, b"2", expected_revision=revision)
    await storage.create(POD + "b", b"3")
    await storage.delete(POD + "b", expected_revision=4)
    sizes = storage.statistics()
    await storage.close()
    assert sorted(os.listdir(tmp_path / "new" / "dir")) == ["kapi.db", "lock"]

    storage = await SqliteStorage.open(tmp_path / "new" / "dir")
    assert await storage.current_revision() == 5
    assert await storage.get(POD) == Record(POD, b"2", 3, 2)
    assert await storage.get(POD, revision=2) == Record(POD, b"1", 2, 2)
    for name in ("objects", "live_bytes", "history_bytes"):
        assert storage.statistics()[name] == sizes[name]
    [batch] = [await anext(storage.watch("", after_revision=4))]
    assert [e.type for e in batch] == ["delete"]
    assert await storage.create(POD + "c", b"x") == 6
    await storage.close()


async def test_files_are_private(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    await storage.create(POD, b"secret")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for file in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await storage.close()


async def test_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    storage = await SqliteStorage.open(tmp_path)
    await storage.create(POD, b"x")
    await storage.list("")
    await storage.close()
    assert set(threading.enumerate()) == before


async def test_a_cancelled_open_leaves_nothing_behind(tmp_path: Path) -> None:
    for turns in range(4):
        opening = asyncio.ensure_future(SqliteStorage.open(tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await (await SqliteStorage.open(tmp_path)).close()


async def test_a_second_owner_is_refused(storage: SqliteStorage, tmp_path: Path) -> None:
    with pytest.raises(InUse) as error:
        await SqliteStorage.open(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert str(os.getpid()) in str(error.value)
    assert await storage.create(POD, b"x") == 2


async def test_the_directory_is_free_after_close_and_after_a_failed_open(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"this is no database, but long enough" * 40)
    for _ in range(2):
        with pytest.raises(Corrupt):
            await SqliteStorage.open(tmp_path)
    (tmp_path / DATABASE_NAME).unlink()
    for _ in range(2):
        await (await SqliteStorage.open(tmp_path)).close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await (await SqliteStorage.open(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = (tmp_path / DATABASE_NAME).read_bytes()
    with pytest.raises(UnknownFormat, match=f"schema version {SCHEMA_VERSION + 1}"):
        await SqliteStorage.open(tmp_path)
    assert (tmp_path / DATABASE_NAME).read_bytes() == before


async def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = (tmp_path / DATABASE_NAME).read_bytes()
    with pytest.raises(UnknownFormat, match="not one of kapi"):
        await SqliteStorage.open(tmp_path)
    assert (tmp_path / DATABASE_NAME).read_bytes() == before


async def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot use"):
        await SqliteStorage.open(tmp_path / "file")
    (tmp_path / "dir" / DATABASE_NAME).mkdir(parents=True)
    with pytest.raises(Unavailable, match="cannot open"):
        await SqliteStorage.open(tmp_path / "dir")


async def test_a_file_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    storage = await SqliteStorage.open(tmp_path)
    assert await storage.create(POD, b"x") == 2
    await storage.close()
    assert check_file(tmp_path) == []


# -- batches --------------------------------------------------------------------------------------


async def test_calls_that_wait_share_one_transaction(storage: SqliteStorage) -> None:
    blocked = threading.Event()
    blocking = asyncio.ensure_future(storage.call_in_writer(lambda _: blocked.wait(10)))
    calls = [asyncio.ensure_future(storage.create(f"/r/{i}", b"x")) for i in range(20)]
    await asyncio.sleep(0)
    blocked.set()
    assert await blocking
    assert sorted(await asyncio.gather(*calls)) == list(range(2, 22))
    assert storage.statistics()["batches"] <= 2


async def test_one_refused_call_does_not_harm_the_others(storage: SqliteStorage) -> None:
    await storage.create(POD, b"0")
    blocked = threading.Event()
    blocking = asyncio.ensure_future(storage.call_in_writer(lambda _: blocked.wait(10)))
    calls = [
        storage.update(POD, b"1", expected_revision=2),  # 3
        storage.update(POD, b"2", expected_revision=2),  # lost the race within the batch
        storage.create("/r/new", b"x"),  # 4
        storage.create("/r/new", b"y"),  # exists since the call before
        storage.delete("/r/new", expected_revision=4),  # 5
        storage.create("/r/new", b"z"),  # 6
    ]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    blocked.set()
    await blocking
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[0] == 3
    assert isinstance(results[1], Conflict)
    assert results[1].current == Record(POD, b"1", 3, 2)
    assert results[2] == 4
    assert repr(results[3]) == "AlreadyExists('/r/new')"
    assert results[4] == (Record("/r/new", b"x", 4, 4), 5)
    assert results[5] == 6
    assert [e.revision for e in await anext(storage.watch("", after_revision=2))] == [3, 4, 5, 6]


async def test_batches_are_bounded(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "BATCH_BYTES_MAX", 1000)
    await asyncio.gather(*(storage.create(f"/r/{i}", b"v" * 600) for i in range(30)))
    assert storage.statistics()["batch_calls_max"] <= 2
    monkeypatch.setattr(sqlite_writer, "BATCH_CALLS_MAX", 1)
    before = storage.statistics()["batches"]
    await asyncio.gather(*(storage.create(f"/s/{i}", b"v") for i in range(10)))
    assert storage.statistics()["batches"] == before + 10


async def test_too_many_waiting_writes(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kapi.storage.sqlite.QUEUED_WRITES_MAX", 5)
    results = await asyncio.gather(
        *(storage.create(f"/r/{i}", b"x") for i in range(8)), return_exceptions=True
    )
    assert [isinstance(r, Unavailable) for r in results] == [False] * 5 + [True] * 3
    assert await storage.create(POD, b"x") == 7


async def test_large_values(storage: SqliteStorage) -> None:
    values = [bytes([i]) * 3_000_000 for i in range(6)]
    await asyncio.gather(*(storage.create(f"/r/{i}", v) for i, v in enumerate(values)))
    found = (await storage.list("/r/")).records
    assert [r.value for r in found] == values
    events: list[Event] = []
    watch = storage.watch("", after_revision=1)
    while len(events) < 6:
        batch = await anext(watch)
        assert sum(len(e.value) for e in batch) <= 12_000_000  # bounded, not all at once
        events += batch
    assert sorted(e.value for e in events) == values


async def test_records_beyond_the_memory_come_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kapi.storage.sqlite.RECENT_BYTES_MAX", 2000)
    storage = await SqliteStorage.open(tmp_path)
    for i in range(20):
        await storage.create(f"/r/{i}", b"%d" % i)
    for i in range(20):
        assert await storage.get(f"/r/{i}") == Record(f"/r/{i}", b"%d" % i, i + 2, i + 2)
    watch = storage.watch("", after_revision=21)
    with pytest.raises(Conflict) as error:
        await storage.update("/r/0", b"x", expected_revision=9)
    assert error.value.current == Record("/r/0", b"0", 2, 2)
    await asyncio.gather(
        *(storage.update(f"/r/{i}", b"new", expected_revision=i + 2) for i in range(20))
    )
    [batch] = [await anext(watch)]
    assert [e.previous for e in batch] == [
        Record(f"/r/{i}", b"%d" % i, i + 2, i + 2) for i in range(20)
    ]
    await storage.close()


# -- the loop may be behind the file --------------------------------------------------------------


async def test_a_write_on_top_of_one_that_the_loop_has_not_seen(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "BATCH_CALLS_MAX", 1)
    await storage.create(POD, b"2")
    watch = storage.watch("", after_revision=2)
    first = asyncio.ensure_future(storage.update(POD, b"3", expected_revision=2))
    second = asyncio.ensure_future(storage.update(POD, b"4", expected_revision=3))
    written = threading.Event()
    last = asyncio.ensure_future(storage.call_in_writer(lambda _: written.set()))
    await asyncio.sleep(0)
    assert written.wait(10)  # the loop stands still, the writer does not
    await last
    assert [await first, await second] == [3, 4]
    events = [*await anext(watch)]
    assert [e.previous for e in events] == [Record(POD, b"2", 2, 2), Record(POD, b"3", 3, 2)]


async def test_nothing_is_shown_before_its_event(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.create(POD, b"2")
    monkeypatch.setattr(storage, "_recent", Recent(0))
    deliver = storage._writer._deliver
    held: list[Batch] = []

    def late(batch: Batch) -> None:
        if batch.events:
            held.append(batch)
        else:
            deliver(batch)

    monkeypatch.setattr(storage._writer, "_deliver", late)
    for read in (storage.get(POD), storage.list("")):
        before = await storage.current_revision()
        writing = asyncio.ensure_future(
            storage.update(POD, b"x", expected_revision=await storage.current_revision())
        )
        async with asyncio.timeout(10):
            while not held:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # until it is in the file; it is not told yet
            reading = asyncio.ensure_future(read)
            while not storage._delivered:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # until it was read there
        assert await storage.current_revision() == before
        deliver(held.pop())
        found = await reading
        record = found.records[0] if isinstance(found, ListResult) else found
        assert record is not None
        assert record.revision == before + 1
        assert await storage.current_revision() == before + 1
        await writing


async def test_an_old_answer_is_not_remembered(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.create(POD, b"2")
    storage._recent.drop(POD)
    run = storage._pool.run

    async def overtaken(*args: Any) -> Any:
        answer = await run(*args)
        await storage.update(POD, b"3", expected_revision=2)
        storage._recent.drop(POD)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(storage._pool, "run", overtaken)
        assert await storage.get(POD) == Record(POD, b"2", 2, 2)  # true when it was asked for
    assert await storage.get(POD) == Record(POD, b"3", 3, 2)
