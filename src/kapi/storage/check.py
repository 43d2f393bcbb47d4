"""Verifies a SQLite store: everything that `sqlite_schema.py` promises, and SQLite's own checks.

Called by `kapi check` and in the teardown of tests. It changes nothing and may run beside the
server that owns the file: everything is read in one snapshot. Each finding is one line for a
human; none means the store is sound.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from kapi.storage.compaction import ROW_BYTES
from kapi.storage.interface import StorageError
from kapi.storage.sqlite_schema import DATABASE_NAME, connect, prepare, translate

CACHE_BYTES: Final = 8 * 1024 * 1024
FINDINGS_MAX: Final = 20  # for each kind of finding: one fault in the file can break many rows

# The newest revision: that of the last row, unless compaction has removed it (a delete).
_NEWEST: Final = (
    "(SELECT max(compact_revision, 1, coalesce((SELECT max(revision) FROM log), 0)) FROM state)"
)
_COMPACT: Final = "(SELECT compact_revision FROM state)"

# Each query gives (text of the finding); no row means that the invariant holds.
QUERIES: Final = (
    # -- the state
    "SELECT 'state has ' || count(*) || ' rows instead of one' FROM state HAVING count(*) <> 1",
    "SELECT 'the compact revision ' || compact_revision || ' is negative' FROM state"
    " WHERE compact_revision < 0",
    f"""SELECT 'history_bytes is ' || history_bytes || ' instead of ' || real FROM state, (
        SELECT coalesce(sum({ROW_BYTES} * (1 + l.deleted) + length(p.value)), 0) AS real
        FROM log l JOIN log p ON p.revision = l.previous_revision
        WHERE l.revision > {_COMPACT}) WHERE history_bytes <> real""",
    """SELECT 'live_bytes is ' || live_bytes || ' instead of ' || real FROM state, (
        SELECT coalesce(sum(length(l.value)), 0) AS real
        FROM current c JOIN log l ON l.revision = c.revision) WHERE live_bytes <> real""",
    # -- one row of the log
    "SELECT 'revision ' || revision || ' has an impossible row' FROM log"
    " WHERE revision < 2 OR typeof(key) <> 'text' OR key = '' OR typeof(value) <> 'blob'"
    " OR deleted NOT IN (0, 1) OR create_revision NOT BETWEEN 2 AND revision"
    " OR previous_revision NOT BETWEEN 0 AND revision - 1"
    " OR (previous_revision = 0) <> (create_revision = revision)"
    " OR (deleted AND (previous_revision = 0 OR length(value) > 0))",
    # -- the log as a whole
    f"""SELECT 'the log has ' || count(*) || ' rows after revision ' || since || ', not '
            || ({_NEWEST} - since)
        FROM log, (SELECT max({_COMPACT}, 1) AS since)
        WHERE revision > since GROUP BY since HAVING count(*) <> {_NEWEST} - since""",
    f"""SELECT 'revision ' || l.revision || ' of ' || l.key || ' outlived its compaction'
        FROM log l LEFT JOIN current c ON c.revision = l.revision AND c.key = l.key
        WHERE l.revision <= {_COMPACT} AND c.key IS NULL AND (l.deleted OR NOT EXISTS (
            SELECT 1 FROM log n WHERE n.key = l.key AND n.revision > {_COMPACT}
                AND n.previous_revision = l.revision))""",
    f"""SELECT 'revision ' || l.revision || ' of ' || l.key || ' names ' || l.previous_revision
            || ' as the one before it, but that is ' || coalesce(p.revision, 'nothing')
        FROM log l LEFT JOIN log p ON p.revision = (
            SELECT max(revision) FROM log WHERE key = l.key AND revision < l.revision)
        WHERE l.revision > {_COMPACT} AND (
            l.previous_revision <> CASE WHEN p.deleted THEN 0 ELSE coalesce(p.revision, 0) END
            OR (l.previous_revision > 0 AND p.create_revision <> l.create_revision))""",
    # -- the current keys
    """SELECT 'revision ' || c.revision || ' is current for ' || c.key || ', but '
            || CASE WHEN l.revision IS NULL THEN 'the log lacks it'
                    WHEN l.key <> c.key THEN 'belongs to ' || l.key
                    WHEN l.deleted THEN 'is a delete' ELSE 'is not the last' END
        FROM current c LEFT JOIN log l ON l.revision = c.revision
        WHERE l.revision IS NULL OR l.key <> c.key OR l.deleted
            OR l.revision <> (SELECT max(revision) FROM log WHERE key = c.key)""",
    """SELECT l.key || ' exists at revision ' || l.revision || ' but is not among the current'
        FROM (SELECT key, max(revision) AS revision, deleted FROM log GROUP BY key) l
        LEFT JOIN current c ON c.key = l.key WHERE NOT l.deleted AND c.key IS NULL""",
)


def check_file(path: Path | str) -> list[str]:
    """The findings for a database file, or for the data directory that holds it."""
    path = Path(path)
    if path.is_dir():
        path = path / DATABASE_NAME
    if not path.is_file():
        return [f"there is no {path}"]
    try:
        connection = connect(path, cache_bytes=CACHE_BYTES)
    except sqlite3.Error as error:
        return [str(translate(error))]
    try:
        return _findings(connection, path)
    except sqlite3.Error as error:
        return [str(translate(error))]
    finally:
        connection.close()


def _findings(connection: sqlite3.Connection, path: Path) -> list[str]:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("BEGIN")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        return [f"{path} is empty"]
    try:
        prepare(connection, path)
    except StorageError as error:
        return [str(error)]
    damage = [row[0] for row in connection.execute(f"PRAGMA integrity_check({FINDINGS_MAX})")]
    if damage != ["ok"]:
        return damage  # the rows of a damaged tree say nothing
    findings: list[str] = []
    for query in QUERIES:
        found = connection.execute(f"SELECT * FROM ({query}) LIMIT {FINDINGS_MAX + 1}").fetchall()
        findings.extend(text for (text,) in found[:FINDINGS_MAX])
        if len(found) > FINDINGS_MAX:
            findings.append("… and more of this kind")
    return findings
