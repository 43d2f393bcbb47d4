"""What only SQLite does: files, locks, versions, failures of the disk, recovery, housekeeping."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kapi.storage import compaction, sqlite_upkeep, sqlite_writer
from kapi.storage.check import check_file
from kapi.storage.interface import (
    Conflict,
    Corrupt,
    Event,
    InUse,
    Record,
    Unavailable,
    UnknownFormat,
)
from kapi.storage.sqlite import SqliteStorage
from kapi.storage.sqlite_schema import DATABASE_NAME, SCHEMA_VERSION

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


# -- a disk that fails ----------------------------------------------------------------------------


async def test_a_full_disk(storage: SqliteStorage) -> None:
    revision = await storage.create(POD, b"before")
    watch = storage.watch("", after_revision=revision)
    [(pages,)] = await storage.call_in_writer(lambda c: c.execute(PAGES).fetchall())
    await set_pragma(storage, f"max_page_count = {pages + 20}")
    results = await asyncio.gather(
        *(storage.create(f"/r/{i}", b"v" * 5000) for i in range(30)), return_exceptions=True
    )
    assert any(isinstance(r, Unavailable) for r in results)
    assert all(isinstance(r, int | Unavailable) for r in results)
    full = [r for r in results if isinstance(r, Unavailable)]
    assert "full" in str(full[0])
    # What is there can still be read, and what was refused is not there.
    assert await storage.get(POD) == Record(POD, b"before", 2, 2)
    made = sum(isinstance(r, int) for r in results)
    assert len((await storage.list("/r/")).records) == made
    assert await storage.current_revision() == 2 + made
    # Space comes back: writes work again, and no revision was lost or used twice.
    await set_pragma(storage, "max_page_count = 1000000")
    assert await storage.create("/r/after", b"v" * 9000) == 3 + made
    seen: list[Event] = []
    while not seen or seen[-1].revision < 3 + made:
        seen += await anext(watch)
    assert [e.revision for e in seen] == list(range(3, 4 + made))


async def test_a_read_only_file(storage: SqliteStorage) -> None:
    await storage.create(POD, b"1")
    await set_pragma(storage, "query_only = ON")
    with pytest.raises(Unavailable, match="readonly"):
        await storage.update(POD, b"2", expected_revision=2)
    with pytest.raises(Unavailable):
        await storage.compact(2)
    assert await storage.get(POD) == Record(POD, b"1", 2, 2)
    await set_pragma(storage, "query_only = OFF")
    assert await storage.update(POD, b"2", expected_revision=2) == 3
    await storage.compact(3)
    assert storage.statistics()["write_failures"] == 1
    assert storage.statistics()["upkeep_failures"] == 1


class LostAnswer:
    """A connection whose next insert is made, but reported as failed: a sync that went wrong."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._armed = True

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
        cursor = self._connection.execute(sql, parameters)  # type: ignore[arg-type]
        if self._armed and "INSERT" in sql:
            self._armed = False
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


async def test_a_write_that_was_made_after_all(storage: SqliteStorage) -> None:
    await storage.create(POD, b"1")
    watch = storage.watch("", after_revision=2)
    writer = storage._writer
    connection = writer._connection
    writer._connection = LostAnswer(connection)  # type: ignore[assignment]
    results = await asyncio.gather(
        storage.update(POD, b"2", expected_revision=2),
        storage.create("/r/new", b"x"),
        return_exceptions=True,
    )
    assert any(isinstance(r, Unavailable) for r in results)
    writer._connection = connection
    # The next write finds out: the lost ones become visible as events, none is repeated.
    last = await storage.create("/r/next", b"x")
    assert last == 5
    events: list[Event] = []
    while not events or events[-1].revision < last:
        events += await anext(watch)
    assert [(e.type, e.key, e.revision) for e in events] == [
        ("update", POD, 3),
        ("create", "/r/new", 4),
        ("create", "/r/next", 5),
    ]
    assert await storage.get(POD) == Record(POD, b"2", 3, 2)


async def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The system itself refuses to let the files grow, in a process of its own, then allows it."""
    program = textwrap.dedent(
        """
        import asyncio, resource, sys
        from pathlib import Path
        from kapi.storage.interface import Unavailable
        from kapi.storage.sqlite import SqliteStorage

        async def main(directory):
            storage = await SqliteStorage.open(directory)
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
            made, failed = [], 0
            for i in range(300):
                try:
                    made.append(await storage.create(f"/r/{i}", b"v" * 5000))
                except Unavailable:
                    failed += 1
            assert made and failed, (made, failed)
            assert len((await storage.list("")).records) == len(made)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            for i in range(300):
                made.append(await storage.create(f"/s/{i}", b"v" * 5000))
            assert made == list(range(2, 2 + len(made)))
            assert len((await storage.list("")).records) == len(made)
            await storage.close()

        asyncio.run(main(Path(sys.argv[1])))
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert check_file(tmp_path) == []


async def test_damage_is_named(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    for i in range(50):
        await storage.create(f"/r/{i:02}", b"v" * 3000)
    await storage.close()
    data = bytearray((tmp_path / DATABASE_NAME).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / DATABASE_NAME).write_bytes(data)
    with pytest.raises(Corrupt):
        await SqliteStorage.open(tmp_path)


# -- housekeeping ---------------------------------------------------------------------------------


async def test_history_is_bounded_by_its_size(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "HISTORY_BYTES_MIN", 100_000)
    revision = await storage.create(POD, b"v" * 100)
    for _ in range(3000):
        revision = await storage.update(POD, b"v" * 100, expected_revision=revision)
    sizes = storage.statistics()
    assert sizes["history_bytes"] <= 101_000
    assert sizes["compact_revision"] > 2500
    assert sizes["revision"] == 3002
    # What is kept is whole.
    watch = storage.watch("", after_revision=sizes["compact_revision"])
    seen = [e.revision for e in await anext(watch)]
    assert seen == list(range(sizes["compact_revision"] + 1, 3003))


async def test_compaction_goes_in_small_pieces(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = await storage.create(POD, b"0")
    for _ in range(40):
        revision = await storage.update(POD, b"v" * 1000, expected_revision=revision)
    monkeypatch.setattr(sqlite_upkeep, "STEP_BYTES", 5000)
    monkeypatch.setattr(sqlite_upkeep, "STEP_ROWS", 30)
    seen: list[int] = []
    step = storage._upkeep._compact

    def spied_step() -> None:
        step()
        seen.append(storage._upkeep.compact_revision)

    monkeypatch.setattr(storage._upkeep, "_compact", spied_step)
    await storage.compact(revision)
    assert seen[0] == 7  # from 0: revisions 3 to 7 free 1 + 4 * 1000 bytes, 8 would exceed it
    assert all(0 < b - a <= 6 for a, b in itertools.pairwise(seen))
    assert seen[-1] == revision


async def test_free_pages_go_back(storage: SqliteStorage, tmp_path: Path) -> None:
    for i in range(30):
        await storage.create(f"/r/{i}", b"v" * 1_000_000)
    for i in range(30):
        await storage.delete(f"/r/{i}", expected_revision=i + 2)
    await storage.compact(await storage.current_revision())
    for _ in range(200):  # each call is one piece of housekeeping later
        [(pages,)] = await storage.call_in_writer(lambda c: c.execute(PAGES).fetchall())
    assert pages < 1200


async def test_the_log_starts_over(storage: SqliteStorage, tmp_path: Path) -> None:
    revision = await storage.create(POD, b"0")
    for _ in range(300):
        revision = await storage.update(POD, b"v" * 100_000, expected_revision=revision)
    assert (tmp_path / f"{DATABASE_NAME}-wal").stat().st_size < 16 * 1024 * 1024
