"""A disk that is full, read-only, damaged, or lies: nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kapi.storage.check import check_file
from kapi.storage.interface import (
    Corrupt,
    Event,
    Record,
    Unavailable,
)
from kapi.storage.sqlite import SqliteStorage
from kapi.storage.sqlite_schema import DATABASE_NAME

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
