"""Snapshots between stores: everything arrives, revisions never go back, and what cannot be used is
refused in a line."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest
from etcd_process import Etcd, one_member

from kapi.__main__ import run
from kapi.assembly.stores import open_store, translated
from kapi.clock import SystemClock
from kapi.kinds.catalog import Catalog
from kapi.options.table import Options
from kapi.storage import keys
from kapi.storage.check import check_file
from kapi.storage.interface import Record, Storage
from kapi.storage.snapshot_file import Head, write
from kapi.storage.sqlite import SqliteStorage

MAP = '{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{}","namespace":"d"}}}}'
OLD, CHANGED, GONE = (f"{keys.ROOT}configmaps/d/{name}" for name in ("old", "changed", "gone"))
THING = f"{keys.ROOT}example.com/things/d/t"
THING_VALUE = b'{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"t"}}'


def config_map(name: str) -> bytes:
    return MAP.format(name).encode()


async def fill(storage: Storage) -> int:
    """Objects that were made, changed and removed; the revision then."""
    await storage.create(OLD, config_map("old"))
    changed = await storage.create(CHANGED, config_map("changed"))
    gone = await storage.create(GONE, config_map("gone"))
    await storage.create(THING, THING_VALUE)
    data = config_map("changed").replace(b"}}", b'},"data":{"a":"1"}}')
    await storage.update(CHANGED, data, expected_revision=changed)
    await storage.delete(GONE, expected_revision=gone)
    await storage.create(f"{keys.ROOT}masterleases/192.0.2.1", b'{"kind":"Endpoints",'
                         b'"apiVersion":"v1","metadata":{}}')  # fmt: skip
    return await storage.current_revision()


async def values(storage: Storage) -> Mapping[str, bytes]:
    return {r.key: r.value for r in (await storage.list(keys.ROOT)).records}


def in_sqlite(directory: Path) -> tuple[Mapping[str, Record], int]:
    async def look() -> tuple[Mapping[str, Record], int]:
        storage = await SqliteStorage.open(directory)
        try:
            found = await storage.list(keys.ROOT)
            return {r.key: r for r in found.records}, found.revision
        finally:
            await storage.close()

    assert check_file(directory) == []
    return asyncio.run(look())


def made(directory: Path) -> int:
    async def make() -> int:
        storage = await SqliteStorage.open(directory)
        try:
            return await fill(storage)
        finally:
            await storage.close()

    return asyncio.run(make())


def in_etcd(etcd: Etcd) -> tuple[Mapping[str, bytes], int]:
    async def look() -> tuple[Mapping[str, bytes], int]:
        options = Options(etcd_servers=(etcd.url,))
        storage = translated(await open_store(options, SystemClock()), options, Catalog())
        try:
            return await values(storage), await storage.current_revision()
        finally:
            await storage.close()

    return asyncio.run(look())


def test_from_file_to_file_nothing_changes(tmp_path: Path) -> None:
    revision = made(tmp_path / "a")
    before, _ = in_sqlite(tmp_path / "a")
    snapshot = str(tmp_path / "s")
    assert run(["snapshot", "save", snapshot, "--data-dir", str(tmp_path / "a")]) == 0
    assert run(["snapshot", "restore", snapshot, "--data-dir", str(tmp_path / "b")]) == 0
    after, again = in_sqlite(tmp_path / "b")
    assert again == revision
    assert {k: r for k, r in before.items() if "masterleases" not in k} == after
    assert set(after) == {OLD, CHANGED, THING}


def test_to_etcd_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    revision = made(tmp_path / "a")
    before, _ = in_sqlite(tmp_path / "a")
    expected = {k: r.value for k, r in before.items() if "masterleases" not in k}
    first, second = str(tmp_path / "s"), str(tmp_path / "t")
    with one_member(tmp_path) as etcd:
        there = ["--etcd-servers", etcd.url]
        assert run(["snapshot", "save", first, "--data-dir", str(tmp_path / "a")]) == 0
        assert run(["snapshot", "restore", first, *there]) == 0
        found, later = in_etcd(etcd)
        assert found == expected
        assert later > revision
        assert run(["snapshot", "restore", first, *there]) == 1
        assert "/registry in http://127.0.0.1" in capsys.readouterr().err
        assert run(["snapshot", "save", second, *there]) == 0
    assert run(["snapshot", "restore", second, "--data-dir", str(tmp_path / "c")]) == 0
    back, last = in_sqlite(tmp_path / "c")
    assert {k: r.value for k, r in back.items()} == expected
    assert last == later


def test_a_store_in_use_can_be_saved_but_not_restored_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve() -> None:
        storage = await SqliteStorage.open(tmp_path / "a")
        try:
            await storage.create(OLD, config_map("old"))
            words = ["--data-dir", str(tmp_path / "a")]
            assert await asyncio.to_thread(
                run, ["snapshot", "save", str(tmp_path / "s"), *words]
            ) == 0  # fmt: skip
            assert await asyncio.to_thread(
                run, ["snapshot", "restore", str(tmp_path / "s"), *words]
            ) == 1  # fmt: skip
        finally:
            await storage.close()

    asyncio.run(serve())
    assert "is in use by another kapi" in capsys.readouterr().err
    words = ["--data-dir", str(tmp_path / "a")]
    assert run(["snapshot", "restore", str(tmp_path / "s"), *words]) == 1
    assert "holds a store already" in capsys.readouterr().err


def bad_files(directory: Path) -> Mapping[str, str]:
    """Files that cannot be used, and the words that say so."""
    good = directory / "good"
    write(good, Head(9), [Record(OLD, config_map("old"), 4, 4), Record(THING, THING_VALUE, 5, 5)])
    whole = gzip.decompress(good.read_bytes())
    lines = whole.splitlines(keepends=True)

    def put(name: str, data: bytes) -> str:
        (directory / name).write_bytes(data)
        return str(directory / name)

    newer = whole.replace(b'"version":1', b'"version":2')
    return {
        put("newer", gzip.compress(newer)): "has version 2; this kapi reads version 1",
        put("foreign", b"SQLite format 3\0"): "is no snapshot of kapi",
        put("other", gzip.compress(b'{"a":1}\n')): "is no snapshot of kapi",
        put("empty", b""): "is no snapshot of kapi",
        put("cut", gzip.compress(b"".join(lines[:-1]))): "is damaged",
        put("cut-gzip", good.read_bytes()[:-40]): "is damaged",
        put("changed", gzip.compress(whole.replace(b"old", b"odd"))): "is damaged",
        str(directory / "absent"): "No such file",
    }


def test_what_is_no_whole_snapshot_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, words in bad_files(tmp_path).items():
        target = tmp_path / "target"
        assert run(["snapshot", "restore", path, "--data-dir", str(target)]) == 1
        error = capsys.readouterr().err
        assert words in error, path
        assert error.count("\n") == 1
        assert not (target / "kapi.db").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["save"], "kapi snapshot save FILE"),
        (["copy", "x"], "kapi snapshot save FILE"),
        (["save", "x", "--secure-port", "1"], "--secure-port is a flag of kapi serve"),
        (["save", "x", "--data-dir", ":memory:"], "a store in memory"),
        (["save", "x", "--data-dir", "/nowhere/at/all"], "there is no /nowhere/at/all"),
    ],
)
def test_mistakes_cost_a_line(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["snapshot", *argv]) in (1, 2)
    assert words in capsys.readouterr().err


def test_a_foreign_store_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "kapi.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    for verb in ("save", "restore"):
        write(tmp_path / "s", Head(1), [])
        assert run(["snapshot", verb, str(tmp_path / "s"), "--data-dir", str(tmp_path)]) == 1
        assert "but not one of kapi" in capsys.readouterr().err
