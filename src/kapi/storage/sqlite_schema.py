"""The SQLite file: its tables, its settings, its version; used by everything that opens one.

`log` holds one row per revision that is still needed; only inserts and compaction touch it.
Triggers derive the rest, so that a batch of writes is a single statement (see `sqlite_writer.py`
for why):

- `current`: the live keys and the revision of their last change. Lists of *now* and the start of
  the server read it; it is exact however long the history is.
- `state.live_bytes` and `state.history_bytes`: size of the current values, and of the rows that
  are not current (replaced values, deletes).
- setting `state.compact_revision` removes what only older revisions need.

Invariants (`check.py` verifies them): above `compact_revision` the log has a row for every
revision; at and below it only rows that were current then. `previous_revision` names the row that
a row replaced, 0 for a create. A delete has an empty value; what was deleted is its previous row.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from kapi.storage.compaction import ROW_BYTES
from kapi.storage.interface import Corrupt, StorageError, Unavailable, UnknownFormat

DATABASE_NAME: Final = "kapi.db"
APPLICATION_ID: Final = 0x6B617069  # "kapi" in ASCII; `file` shows it
SCHEMA_VERSION: Final = 1  # PRAGMA user_version; a newer one is refused

PAGE_BYTES: Final = 4096  # a 3 KB object and its key fill one page
BUSY_SECONDS: Final = 5.0  # how long to wait for another program that locks the file
WAL_BYTES_MAX: Final = 4 * 1024 * 1024  # the log is cut to this after it was copied back

TABLES: Final = f"""
CREATE TABLE log (
    revision          INTEGER PRIMARY KEY,
    key               TEXT    NOT NULL,
    create_revision   INTEGER NOT NULL,
    previous_revision INTEGER NOT NULL,
    deleted           INTEGER NOT NULL,
    value             BLOB    NOT NULL
);
CREATE INDEX log_by_key ON log (key, revision, deleted);
CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE state (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    compact_revision INTEGER NOT NULL,
    live_bytes       INTEGER NOT NULL,
    history_bytes    INTEGER NOT NULL
);
INSERT INTO state VALUES (1, 0, 0, 0);

CREATE TRIGGER log_put AFTER INSERT ON log WHEN NOT new.deleted BEGIN
    INSERT INTO current VALUES (new.key, new.revision)
        ON CONFLICT (key) DO UPDATE SET revision = excluded.revision;
    UPDATE state SET live_bytes = live_bytes + length(new.value);
END;
CREATE TRIGGER log_delete AFTER INSERT ON log WHEN new.deleted BEGIN
    DELETE FROM current WHERE key = new.key;
END;
CREATE TRIGGER log_replace AFTER INSERT ON log WHEN new.previous_revision > 0 BEGIN
    UPDATE state SET
        live_bytes = live_bytes - length(p.value),
        history_bytes = history_bytes + {ROW_BYTES} * (1 + new.deleted) + length(p.value)
    FROM log p WHERE p.revision = new.previous_revision;
END;
CREATE TRIGGER compact AFTER UPDATE OF compact_revision ON state BEGIN
    UPDATE state SET history_bytes = history_bytes - (
        SELECT coalesce(sum({ROW_BYTES} * (1 + l.deleted) + length(p.value)), 0)
        FROM log l JOIN log p ON p.revision = l.previous_revision
        WHERE l.revision > old.compact_revision AND l.revision <= new.compact_revision);
    DELETE FROM log WHERE revision IN (
        SELECT previous_revision FROM log
        WHERE revision > old.compact_revision AND revision <= new.compact_revision);
    DELETE FROM log
        WHERE revision > old.compact_revision AND revision <= new.compact_revision AND deleted;
END;
"""


def connect(path: Path, *, cache_bytes: int) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, without implicit transactions."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.executescript(
            # FULL and fullfsync: what is acknowledged survives a loss of power, on macOS too.
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
            # Deleted values need no overwriting: it would double the cost of compaction.
            "PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY;"
            # The writer decides when to copy the log back.
            f"PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {WAL_BYTES_MAX};"
            f"PRAGMA cache_size = -{cache_bytes // 1024};"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, or check that the file is one of ours.

    Raises UnknownFormat, or sqlite3.Error for a file that cannot be read or written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and objects == 0:
        _create(connection)
        return
    if application != APPLICATION_ID:
        raise UnknownFormat(f"{path} is an SQLite database, but not one of kapi")
    if version != SCHEMA_VERSION:
        raise UnknownFormat(
            f"{path} has schema version {version}; this kapi reads version {SCHEMA_VERSION}"
        )


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        # These settle with the first page that is written; a crash before COMMIT starts over.
        f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;"
        "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;"
        f"{TABLES}"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def make_file(path: Path) -> None:
    """Create the empty file, readable by its owner only (SQLite's other files follow its mode)."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # so that the name survives a loss of power
        finally:
            os.close(directory)
    except OSError as error:
        raise Unavailable(f"cannot open {path}: {error.strerror}") from error


# Primary result codes that mean damage; all others (full, I/O, read-only, busy …) may pass.
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT}


def translate(error: sqlite3.Error) -> StorageError:
    """The storage error that stands for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in _DAMAGE:
        return Corrupt(f"the database is damaged: {error}")
    return Unavailable(f"the database does not answer: {error}")
