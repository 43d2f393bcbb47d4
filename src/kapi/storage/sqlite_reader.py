"""What is read from an SQLite store: lists, older revisions, the events after a revision.

Called by `SqliteStorage` through a `ReadPool` (a few connections, each used by one thread at a
time) and by the writer for what it replaces. Each function sees one snapshot of the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from queue import SimpleQueue
from typing import Concatenate, Final, ParamSpec, TypeVar

import orjson

from kapi.storage.interface import Compacted, Corrupt, Event, ListResult, Record
from kapi.storage.sqlite_schema import translate
from kapi.storage.watch import BATCH_EVENTS_MAX, Page

P = ParamSpec("P")
T = TypeVar("T")

# Bytes of values in one page of events: bounds memory where objects are large.
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024

# The newest revision, should compaction have removed its row (a delete).
_STATE: Final = (
    "SELECT max(compact_revision, 1, coalesce((SELECT max(revision) FROM log), 0)),"
    " compact_revision FROM state"
)

# Bounds are blobs cast to text: they compare as bytes do, whatever is in them.
_RANGE: Final = "key >= CAST(?1 AS TEXT) AND key < CAST(?2 AS TEXT)"

_NOW: Final = f"SELECT key, revision FROM current WHERE {_RANGE} ORDER BY key LIMIT ?3"

# `deleted` is that of the row with max(revision): https://sqlite.org/lang_select.html#bareagg
_AT: Final = (
    f"SELECT key, max(revision) AS revision, deleted FROM log WHERE {_RANGE} AND revision <= ?4"
    " GROUP BY key HAVING NOT deleted ORDER BY key LIMIT ?3"
)

_KEY: Final = attrgetter("key")
_RECORDS: Final = (
    "SELECT l.key, l.value, l.revision, l.create_revision"
    " FROM ({}) f CROSS JOIN log l ON l.revision = f.revision"
)

_EVENTS: Final = f"""
SELECT l.revision, l.key, l.deleted, l.value, p.revision, p.value, p.create_revision
FROM log l LEFT JOIN log p ON p.revision = l.previous_revision
WHERE l.revision > ?3 AND {_RANGE.replace("key", "+l.key")} ORDER BY l.revision
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a file holds when it is opened."""

    revision: int
    compact_revision: int
    live_bytes: int
    history_bytes: int


class ReadPool:
    """Threads and connections for reading. `run` from the event loop."""

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._count = len(connections)
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._executor = ThreadPoolExecutor(self._count, thread_name_prefix="kapi-reader")

    async def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`function(connection, …)` in a thread, in one snapshot. Raises as the function does."""

        def work() -> T:
            connection = self._free.get()
            try:
                with _snapshot(connection):
                    return function(connection, *args, **kwargs)
            except sqlite3.Error as error:
                raise translate(error) from error
            finally:
                self._free.put(connection)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self, *, last: sqlite3.Connection) -> None:
        """Wait for running reads, then release threads and connections, `last` as the last."""
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            connection = await loop.run_in_executor(self._executor, self._free.get)
            connection.close()
        # SQLite copies the write-ahead log back when the last connection to a file closes.
        await loop.run_in_executor(self._executor, last.close)
        self._executor.shutdown()


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def read_list(
    connection: sqlite3.Connection,
    prefix: str,
    *,
    limit: int,
    start_after: str,
    revision: int | None,
) -> ListResult:
    """`Storage.list`."""
    newest, compact_revision = connection.execute(_STATE).fetchone()
    if revision is not None and revision < compact_revision:
        raise Compacted(compact_revision)
    low = max(prefix, start_after + "\0") if start_after else prefix
    end = _encode(prefix) + b"\xff"
    query, at = (_NOW, ()) if revision is None else (_AT, (revision,))
    rows = connection.execute(_RECORDS.format(query), (_encode(low), end, limit or -1, *at))
    records = [Record(*row) for row in rows]
    # They come in order, but SQLite does not promise it, and its own sort would copy the values.
    records.sort(key=_KEY)
    remaining = 0
    if limit and len(records) == limit:
        after = (_encode(records[-1].key + "\0"), end, -1, *at)
        (remaining,) = connection.execute(f"SELECT count(*) FROM ({query})", after).fetchone()
    return ListResult(records, newest if revision is None else revision, remaining)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def read_newest(connection: sqlite3.Connection, key: str) -> tuple[Record | None, int]:
    """`Storage.get` of now, and the revision that now is."""
    newest, _ = connection.execute(_STATE).fetchone()
    row = connection.execute(
        "SELECT l.key, l.value, l.revision, l.create_revision"
        " FROM current c JOIN log l ON l.revision = c.revision WHERE c.key = CAST(?1 AS TEXT)",
        (_encode(key),),
    ).fetchone()
    return (None if row is None else Record(*row)), newest


def read_at(connection: sqlite3.Connection, key: str, revision: int) -> Record | None:
    """`Storage.get` as of a revision."""
    _, compact_revision = connection.execute(_STATE).fetchone()
    if revision < compact_revision:
        raise Compacted(compact_revision)
    row = connection.execute(
        "SELECT deleted, value, revision, create_revision FROM log"
        " WHERE key = CAST(?1 AS TEXT) AND revision <= ?2 ORDER BY revision DESC LIMIT 1",
        (_encode(key), revision),
    ).fetchone()
    if row is None or row[0]:
        return None
    return Record(key, *row[1:])


def read_records(connection: sqlite3.Connection, revisions: Sequence[int]) -> Iterator[Record]:
    """What was written at these revisions, in no order."""
    rows = connection.execute(
        "SELECT key, value, revision, create_revision FROM log"
        " WHERE revision IN (SELECT value FROM json_each(?1))",
        (orjson.dumps(revisions).decode(),),
    )
    return (Record(*row) for row in rows)


def read_events(connection: sqlite3.Connection, prefix: str, after_revision: int) -> Page:
    """The next events under a prefix; the caller has a snapshot, or is the writer."""
    newest, compact_revision = connection.execute(_STATE).fetchone()
    if after_revision < compact_revision:
        raise Compacted(compact_revision)
    low = _encode(prefix)
    cursor = connection.execute(_EVENTS, (low, low + b"\xff", after_revision))
    events: list[Event] = []
    size = 0
    for row in cursor:
        if len(events) == BATCH_EVENTS_MAX or size > PAGE_BYTES_MAX:
            cursor.close()
            return Page(events, events[-1].revision, last=False)
        event = _event(row)
        events.append(event)
        size += len(event.value) + (len(event.previous.value) if event.previous else 0)
    return Page(events, max(newest, after_revision), last=True)


def _event(row: tuple[int, str, int, bytes, int | None, bytes | None, int | None]) -> Event:
    revision, key, deleted, value, before, old, created = row
    if before is None or old is None or created is None:
        if deleted:
            raise Corrupt(f"the log lacks what revision {revision} deleted")
        return Event("create", key, value, revision, None)
    previous = Record(key, old, before, created)
    if deleted:
        return Event("delete", key, old, revision, previous)
    return Event("update", key, value, revision, previous)


def read_heads(connection: sqlite3.Connection) -> dict[str, int]:
    """The live keys and the revisions of their last changes."""
    return dict(connection.execute("SELECT key, revision FROM current"))


def read_sizes(connection: sqlite3.Connection) -> Sizes:
    newest, compact_revision = connection.execute(_STATE).fetchone()
    sizes = connection.execute("SELECT live_bytes, history_bytes FROM state").fetchone()
    return Sizes(newest, compact_revision, *sizes)
