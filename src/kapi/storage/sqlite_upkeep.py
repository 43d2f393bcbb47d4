"""What the writer does for an SQLite file between two batches, a small piece at a time.

- Compaction, up to the revision that was asked for, or because history takes too many bytes
  (`compaction.history_bytes_max`). A piece is one statement of at most `STEP_ROWS` revisions and
  about `STEP_BYTES` bytes: some milliseconds. `state.compact_revision` moves with each piece, so
  a crash between two leaves nothing half done.
- Shrinking: free pages go back to the file system when they are more than half of the file.
- Checkpoints: the write-ahead log is copied into the file by a thread of its own; the writer only
  copies what came meanwhile, which is little, so that the log starts over at its beginning.

A failed piece (a full disk) fails the compactions that wait and is tried again after a good
write.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from kapi.storage.compaction import ROW_BYTES, history_bytes_max
from kapi.storage.interface import Event, Unavailable
from kapi.storage.sqlite_reader import Sizes
from kapi.storage.sqlite_schema import PAGE_BYTES, WAL_BYTES_MAX, translate

STEP_ROWS: Final = 256  # revisions that one piece of compaction may pass
STEP_BYTES: Final = 1024 * 1024  # bytes of values that it may free, unless a single one is larger

# Once too large, history is cut to this share of its bound, so that pieces come in runs.
HISTORY_CUT: Final = 0.75

SHRINK_PAGES_MIN: Final = 1024  # 4 MB of free pages are kept for what comes
SHRINK_STEP_PAGES: Final = 64

# The next compact revision: as far as the limits of one piece allow, but at least one further.
_STEP: Final = """
UPDATE state SET compact_revision = coalesce((
    SELECT max(revision) FROM (
        SELECT l.revision AS revision,
               sum(coalesce(length(p.value), 0)) OVER (ORDER BY l.revision) AS freed
        FROM log l LEFT JOIN log p ON p.revision = l.previous_revision
        WHERE l.revision > ?1 AND l.revision <= ?2)
    WHERE freed <= ?3), ?1 + 1)
"""


@dataclass(slots=True)
class Compact:
    """A compaction that was asked for; its future gets None when it is done."""

    revision: int
    future: asyncio.Future[Any]


class Upkeep:
    """Used by the writer's thread only. It owns a second connection, for checkpoints."""

    def __init__(
        self, connection: sqlite3.Connection, background: sqlite3.Connection, sizes: Sizes
    ) -> None:
        self._connection = connection
        self._background = background
        self._checkpointer = ThreadPoolExecutor(1, thread_name_prefix="kapi-checkpoint")
        self._checkpoint: Future[int] | None = None
        self._waiting: list[Compact] = []
        self._wal_bytes = 0  # about what the write-ahead log has got since it was last copied
        self._cutting = False  # history was too large and is being cut
        self._shrink_pages = 0  # free pages that are to be given back
        self._resting = False  # a piece failed; wait for a good write
        self.revision = sizes.revision
        self.compact_revision = sizes.compact_revision
        self.live_bytes = sizes.live_bytes
        self.history_bytes = sizes.history_bytes
        self.failures = 0

    def request(self, compact: Compact) -> None:
        """Compact up to a revision that has happened."""
        self._waiting.append(compact)
        self._resting = False

    def wrote(self, events: Sequence[Event]) -> None:
        """A transaction with these changes was committed."""
        self.revision = events[-1].revision
        live = history = 0
        written = 5 * PAGE_BYTES  # the ends of the three tables, the index, the state
        for event in events:
            if event.previous is not None:
                size = len(event.previous.value)
                live -= size
                history += size + ROW_BYTES
            if event.type == "delete":
                history += ROW_BYTES
            else:
                live += len(event.value)
                written += len(event.value) + 1024  # about: the key in three places
        self.live_bytes += live
        self.history_bytes += history
        self._wal_bytes += written
        self._resting = False
        if self.history_bytes > history_bytes_max(self.live_bytes):
            self._cutting = True

    def pending(self) -> bool:
        """Whether there is something to do now."""
        if self._resting:
            return False
        if self._target() > self.compact_revision or self._waiting or self._shrink_pages:
            return True
        if self._checkpoint is None:
            return self._wal_bytes >= WAL_BYTES_MAX
        return self._checkpoint.done()

    def step(self) -> list[tuple[asyncio.Future[Any], Exception | None]]:
        """Do one piece; returns the answers of compactions that ended with it."""
        try:
            if self._target() > self.compact_revision:
                self._compact()
            elif self._shrink_pages:
                self._shrink()
            self._copy_back()
        except sqlite3.Error as error:
            self.failures += 1
            self._resting = True
            return self._end_waiting([(c, translate(error)) for c in self._waiting])
        return self._end_waiting(
            [(c, None) for c in self._waiting if c.revision <= self.compact_revision]
        )

    def stop(self) -> list[tuple[asyncio.Future[Any], Exception | None]]:
        """Release the second thread and connection; answers the compactions that still wait."""
        self._checkpointer.shutdown()
        self._background.close()
        return self._end_waiting([(c, Unavailable("the store is closed")) for c in self._waiting])

    def _end_waiting(
        self, ended: list[tuple[Compact, Exception | None]]
    ) -> list[tuple[asyncio.Future[Any], Exception | None]]:
        for compact, _ in ended:
            self._waiting.remove(compact)
        return [(compact.future, answer) for compact, answer in ended]

    def _target(self) -> int:
        asked = max((c.revision for c in self._waiting), default=0)
        return self.revision if self._cutting else asked

    def _compact(self) -> None:
        first = self.compact_revision
        last = min(self._target(), first + STEP_ROWS)
        self._connection.execute(_STEP, (first, last, STEP_BYTES))
        self.compact_revision, self.history_bytes = self._connection.execute(
            "SELECT compact_revision, history_bytes FROM state"
        ).fetchone()
        self._wal_bytes += (self.compact_revision - first) * PAGE_BYTES
        if self.history_bytes <= HISTORY_CUT * history_bytes_max(self.live_bytes):
            self._cutting = False
        if self._target() <= self.compact_revision:
            self._cutting = False
            self._look_for_free_pages()

    def _look_for_free_pages(self) -> None:
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (total,) = self._connection.execute("PRAGMA page_count").fetchone()
        if free > SHRINK_PAGES_MIN and free * 2 > total:
            self._shrink_pages = free - SHRINK_PAGES_MIN

    def _shrink(self) -> None:
        pages = min(self._shrink_pages, SHRINK_STEP_PAGES)
        # A script, since the pragma gives a row for each page, and each would be a turn of the
        # interpreter lock.
        self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        self._shrink_pages -= pages
        self._wal_bytes += pages * PAGE_BYTES

    def _copy_back(self) -> None:
        """Start a checkpoint in the background, or end one."""
        if self._checkpoint is None:
            if self._wal_bytes >= WAL_BYTES_MAX:
                self._checkpoint = self._checkpointer.submit(_checkpoint, self._background)
        elif self._checkpoint.done():
            ended, self._checkpoint = self._checkpoint, None
            self._wal_bytes = WAL_BYTES_MAX // 2  # if the next line fails: not again at once
            ended.result()
            left = _checkpoint(self._connection)
            self._wal_bytes = min(left * PAGE_BYTES, WAL_BYTES_MAX // 2)


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Copy the write-ahead log into the file without waiting; returns the pages that are left."""
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages) - int(copied)
