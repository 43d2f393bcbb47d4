"""`check_file` finds each way in which a store can be wrong, and nothing in a sound one."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from kapi.storage.check import FINDINGS_MAX, check_file
from kapi.storage.sqlite import SqliteStorage
from kapi.storage.sqlite_schema import DATABASE_NAME


async def fill(directory: Path, *, close: bool = True) -> SqliteStorage:
    """Revisions 2 to 9: a, b, c live; d deleted; compacted at 5."""
    storage = await SqliteStorage.open(directory)
    for name in "abcd":  # 2, 3, 4, 5
        await storage.create(f"/r/{name}", name.encode())
    await storage.update("/r/a", b"a2", expected_revision=2)  # 6
    await storage.update("/r/a", b"a3", expected_revision=6)  # 7
    await storage.update("/r/b", b"b2", expected_revision=3)  # 8
    await storage.delete("/r/d", expected_revision=5)  # 9
    await storage.compact(6)
    if close:
        await storage.close()
    return storage


def test_a_sound_store(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    assert check_file(tmp_path) == []
    assert check_file(tmp_path / DATABASE_NAME) == []


async def test_beside_a_running_server(tmp_path: Path) -> None:
    storage = await fill(tmp_path, close=False)
    assert check_file(tmp_path) == []
    assert await storage.create("/r/e", b"e") == 10
    await storage.close()


@pytest.mark.parametrize(
    ("break_it", "finding"),
    [
        ("DELETE FROM state", "state has 0 rows"),
        ("UPDATE state SET history_bytes = history_bytes + 7", "history_bytes is"),
        ("UPDATE state SET live_bytes = 0", "live_bytes is 0 instead of 5"),
        ("DELETE FROM log WHERE revision = 8", "the log has 2 rows after revision 6, not 3"),
        ("UPDATE log SET revision = 20 WHERE revision = 9", "rows after revision 6"),
        ("DELETE FROM log WHERE revision = 4", "current for /r/c, but the log lacks it"),
        ("DELETE FROM log WHERE revision = 5", "names 5 as the one before it"),
        ("DELETE FROM current WHERE key = '/r/b'", "/r/b exists at revision 8 but is not"),
        ("DELETE FROM current WHERE key = '/r/c'", "revision 4 of /r/c outlived its compaction"),
        ("INSERT INTO current VALUES ('/r/d', 9)", "current for /r/d, but is a delete"),
        ("UPDATE current SET revision = 7 WHERE key = '/r/b'", "but belongs to /r/a"),
        ("UPDATE current SET revision = 3 WHERE key = '/r/b'", "but is not the last"),
        ("UPDATE log SET previous_revision = 6 WHERE revision = 8", "names 6 as the one before"),
        ("UPDATE log SET create_revision = 3 WHERE revision = 7", "names 6 as the one before"),
        ("UPDATE log SET value = x'00' WHERE revision = 9", "revision 9 has an impossible row"),
        ("UPDATE log SET value = 'text' WHERE revision = 8", "revision 8 has an impossible row"),
        ("UPDATE log SET create_revision = 8 WHERE revision = 8", "revision 8 has an impossible"),
        ("UPDATE log SET deleted = 1 WHERE revision = 6", "revision 6 has an impossible row"),
        ("PRAGMA user_version = 99", "schema version 99"),
        ("PRAGMA application_id = 99", "not one of kapi"),
        ("DROP INDEX log_by_key; DROP TABLE state", "no such table: state"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, break_it: str, finding: str) -> None:
    asyncio.run(fill(tmp_path))
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.executescript("DROP TRIGGER compact; DROP TRIGGER log_put;" + break_it)
    connection.close()
    found = check_file(tmp_path)
    assert any(finding in text for text in found), found


def test_damaged_pages_are_found(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    data = bytearray((tmp_path / DATABASE_NAME).read_bytes())
    data[4096 * 2 : 4096 * 2 + 200] = b"\xff" * 200
    (tmp_path / DATABASE_NAME).write_bytes(data)
    assert check_file(tmp_path) != []


def test_findings_are_bounded(tmp_path: Path) -> None:
    async def many() -> None:
        storage = await SqliteStorage.open(tmp_path)
        for i in range(FINDINGS_MAX * 3):
            await storage.create(f"/r/{i}", b"x")
        await storage.close()

    asyncio.run(many())
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.executescript("UPDATE log SET value = 'x'")
    connection.close()
    found = check_file(tmp_path)
    assert len(found) == FINDINGS_MAX + 1
    assert found[-1] == "… and more of this kind"


def test_what_is_no_store(tmp_path: Path) -> None:
    assert check_file(tmp_path) == [f"there is no {tmp_path / DATABASE_NAME}"]
    (tmp_path / "empty").write_bytes(b"")
    assert check_file(tmp_path / "empty") == [f"{tmp_path / 'empty'} is empty"]
    (tmp_path / "text").write_bytes(b"no database at all, but long enough to see it" * 40)
    [finding] = check_file(tmp_path / "text")
    assert "not a database" in finding
