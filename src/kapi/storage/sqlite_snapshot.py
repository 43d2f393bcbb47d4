"""Snapshots of an SQLite store: read beside the server that owns it, written into an empty one.

A restored store has the revisions of the snapshot, record by record, and no history: everything
before is compacted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from kapi.storage.data_dir import DataDirLock
from kapi.storage.interface import Record, StorageError, Unavailable
from kapi.storage.sqlite_schema import DATABASE_NAME, connect, make_file, prepare, translate

CACHE_BYTES: Final = 8 * 1024 * 1024

_NEWEST: Final = (
    "SELECT max(compact_revision, 1, coalesce((SELECT max(revision) FROM log), 0)) FROM state"
)
_RECORDS: Final = (
    "SELECT l.key, l.value, l.revision, l.create_revision FROM current c"
    " JOIN log l ON l.revision = c.revision ORDER BY c.key"
)


class NotEmpty(StorageError):
    """There is something where a snapshot should go."""


class SqliteSource:
    """What a file holds at one moment; `close` it."""

    def __init__(self, directory: Path) -> None:
        """Raises UnknownFormat, Unavailable, Corrupt."""
        path = directory / DATABASE_NAME
        if not path.is_file():
            raise Unavailable(f"there is no {path}")
        try:
            self._connection = connect(path, cache_bytes=CACHE_BYTES)
        except sqlite3.Error as error:
            raise translate(error) from error
        try:
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute("BEGIN")
            prepare(self._connection, path)
            (self.revision,) = self._connection.execute(_NEWEST).fetchone()
        except sqlite3.Error as error:
            self.close()
            raise translate(error) from error
        except StorageError:
            self.close()
            raise

    def records(self) -> Iterator[Record]:
        """By key. Raises StorageError."""
        try:
            for key, value, revision, create_revision in self._connection.execute(_RECORDS):
                yield Record(key, bytes(value), revision, create_revision)
        except sqlite3.Error as error:
            raise translate(error) from error

    def close(self) -> None:
        self._connection.close()


def restore(directory: Path, revision: int, records: Iterable[Record]) -> None:
    """Fill an empty store in one transaction.

    Raises NotEmpty, InUse, UnknownFormat, Unavailable.
    """
    lock = DataDirLock(directory)
    path = directory / DATABASE_NAME
    try:
        make_file(path)
        with closing(connect(path, cache_bytes=CACHE_BYTES)) as connection:
            prepare(connection, path)
            (newest,) = connection.execute(_NEWEST).fetchone()
            if newest > 1:
                raise NotEmpty(f"{directory} holds a store already: restore into an empty one")
            connection.execute("BEGIN IMMEDIATE")
            _fill(connection, revision, records)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        lock.release()


def _fill(connection: sqlite3.Connection, revision: int, records: Iterable[Record]) -> None:
    connection.execute("UPDATE state SET compact_revision = ?", (revision,))
    used: set[int] = set()
    late: list[Record] = []
    for record in records:
        if record.revision in used or not 2 <= record.revision <= revision:
            late.append(record)
            continue
        used.add(record.revision)
        _insert(connection, record.key, record.value, record.revision, record.create_revision)
    # In etcd one write may be of several keys; here each has a revision of its own.
    for at, record in enumerate(late, revision + 1):
        _insert(connection, record.key, record.value, at, at)


def _insert(
    connection: sqlite3.Connection, key: str, value: bytes, revision: int, created: int
) -> None:
    # What was there before is gone; that there was something must be said.
    before = 0 if created == revision else created
    connection.execute(
        "INSERT INTO log VALUES (?, ?, ?, ?, 0, ?)", (revision, key, created, before, value)
    )
