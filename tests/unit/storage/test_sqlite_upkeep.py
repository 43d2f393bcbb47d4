"""Housekeeping: history by size, compaction in pieces, free pages, the write-ahead log."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kapi.storage import compaction, sqlite_upkeep
from kapi.storage.check import check_file
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


async def test_failing_upkeep_waits_for_a_good_write(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(compaction, "HISTORY_BYTES_MIN", 3000)
    revision = await storage.create(POD, b"v")
    with monkeypatch.context() as patch:
        patch.setattr(storage._upkeep, "_compact", failing)
        for _ in range(30):
            revision = await storage.update(POD, b"v", expected_revision=revision)
        for _ in range(50):  # between two calls it could try again
            await storage.call_in_writer(lambda _: None)
        assert 0 < storage.statistics()["upkeep_failures"] <= 30
        assert await storage.compact_revision() == 0
    revision = await storage.update(POD, b"v", expected_revision=revision)
    await storage.compact(revision)
    assert storage.statistics()["history_bytes"] == 0


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
