"""The default storage: one SQLite file in a data directory, owned by one server.

Writes go to the one writer thread (`sqlite_writer.py`); what it committed comes back through
`_deliver`, one turn of the event loop in which the state changes, the watches get the events and
then the callers their answers. So everything that is read on the loop is of one revision, and
nothing is shown before it is durable.

Records that were written or read of late are kept in memory (`recent.py`), so that most of `get`,
and what a write replaces, never touch the file. Everything else is read from it by a few reader
threads (`sqlite_reader.py`). The file itself: `sqlite_schema.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kapi.storage.data_dir import DataDirLock
from kapi.storage.interface import (
    Compacted,
    Event,
    FutureRevision,
    ListResult,
    Record,
    Unavailable,
)
from kapi.storage.keys import check_key
from kapi.storage.recent import Recent
from kapi.storage.sqlite_reader import (
    ReadPool,
    Sizes,
    read_at,
    read_events,
    read_heads,
    read_list,
    read_newest,
    read_sizes,
)
from kapi.storage.sqlite_schema import DATABASE_NAME, connect, make_file, prepare, translate
from kapi.storage.sqlite_upkeep import Compact, Upkeep
from kapi.storage.sqlite_writer import Batch, Call, Write, Writer
from kapi.storage.watch import Hub, Page

READERS: Final = 2  # one long list must not hold up every other
WRITER_CACHE_BYTES: Final = 8 * 1024 * 1024  # SQLite's page cache: the upper levels and the ends
READER_CACHE_BYTES: Final = 2 * 1024 * 1024

# Values of recent records kept in memory: a few thousand pods, and every lease.
RECENT_BYTES_MAX: Final = 16 * 1024 * 1024

# Writes that may wait for the writer. Callers wait for each, so this is far beyond what the server
# lets in; a caller past it gets Unavailable.
QUEUED_WRITES_MAX: Final = 10_000


@dataclass(slots=True)
class Files:
    """An opened data directory."""

    lock: DataDirLock
    writer: sqlite3.Connection
    background: sqlite3.Connection
    readers: Sequence[sqlite3.Connection]
    heads: dict[str, int]
    sizes: Sizes

    def close(self) -> None:
        """For files that no storage uses."""
        for connection in (*self.readers, self.background, self.writer):
            connection.close()
        self.lock.release()


def open_files(directory: Path) -> Files:
    """Lock, open and read a data directory. Raises InUse, UnknownFormat, Unavailable, Corrupt."""
    lock = DataDirLock(directory)
    opened: list[sqlite3.Connection] = []
    path = directory / DATABASE_NAME
    try:
        make_file(path)
        writer = connect(path, cache_bytes=WRITER_CACHE_BYTES)
        opened.append(writer)
        prepare(writer, path)
        for _ in range(1 + READERS):
            opened.append(connect(path, cache_bytes=READER_CACHE_BYTES))
        heads = read_heads(writer)
        sizes = read_sizes(writer)
    except BaseException as error:
        for connection in opened:
            connection.close()
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise translate(error) from error
        raise
    return Files(lock, writer, opened[1], opened[2:], heads, sizes)


class SqliteStorage:
    """A `Storage` over a directory; made by `open` on the event loop that will use it."""

    @classmethod
    async def open(cls, directory: Path) -> SqliteStorage:
        """Raises InUse, UnknownFormat, Unavailable, Corrupt."""
        with ThreadPoolExecutor(1, thread_name_prefix="kapi-open") as executor:
            opening = executor.submit(open_files, directory)
            try:
                return cls(await asyncio.wrap_future(opening))
            except asyncio.CancelledError:
                # The thread may be at work and cannot be stopped: wait, then release.
                if not opening.cancelled() and opening.exception() is None:
                    opening.result().close()
                raise

    def __init__(self, files: Files) -> None:
        self._loop = asyncio.get_running_loop()
        self._files = files
        self._recent = Recent(RECENT_BYTES_MAX)
        self._compact_revision = files.sizes.compact_revision
        self._hub = Hub(self._replay, files.sizes.revision)
        self._pool = ReadPool(files.readers)
        self._upkeep = Upkeep(files.writer, files.background, files.sizes)
        self._writer = Writer(files.writer, self._upkeep, files.heads, self._recent, self._deliver)
        self._queued = 0
        self._delivered: list[tuple[int, asyncio.Future[None]]] = []  # who waits for a revision
        self._closed: asyncio.Future[None] | None = None

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        record = self._recent.get(key)
        if revision is not None:
            self._check_revision(revision)
            if record is not None and record.revision <= revision:
                return record
            return await self._pool.run(read_at, key, revision)
        self._check_open()
        if record is None:
            record, newest = await self._pool.run(read_newest, key)
            await self._reached(newest)
            if record is not None and self._hub.revision == newest:
                self._recent.put(record)  # nothing can have replaced it since it was read
        return record

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        if revision is None:
            self._check_open()
        else:
            self._check_revision(revision)
        result = await self._pool.run(
            read_list,
            prefix,
            limit=limit,
            start_after=start_after,
            revision=revision,
        )
        await self._reached(result.revision)
        return result

    async def create(self, key: str, value: bytes) -> int:
        check_key(key)
        revision: int = await self._write("create", key, value, 0)
        return revision

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        revision: int = await self._write("update", key, value, expected_revision)
        return revision

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        answer: tuple[Record, int] = await self._write("delete", key, b"", expected_revision)
        return answer

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._hub.watch(prefix, after_revision)

    async def current_revision(self) -> int:
        self._check_open()
        return self._hub.revision

    async def compact(self, revision: int) -> None:
        self._check_revision(revision)
        future = self._loop.create_future()
        self._writer.submit(Compact(revision, future))
        await future

    async def compact_revision(self) -> int:
        self._check_open()
        return self._compact_revision

    async def close(self) -> None:
        if self._closed is not None:
            await asyncio.shield(self._closed)
            return
        self._closed = self._loop.create_future()
        await self._writer.stop()
        self._hub.close()
        await self._pool.close(last=self._files.writer)
        self._files.lock.release()
        self._closed.set_result(None)

    async def call_in_writer(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run something with the writer's connection, between two batches; for tests and tools."""
        self._check_open()
        future = self._loop.create_future()
        self._writer.submit(Call(function, future))
        return await future

    def statistics(self) -> Mapping[str, int]:
        upkeep, writer = self._upkeep, self._writer
        return {
            "revision": self._hub.revision,
            "compact_revision": self._compact_revision,
            "objects": writer.objects,
            "live_bytes": upkeep.live_bytes,
            "history_bytes": upkeep.history_bytes,
            "watches": len(self._hub),
            "queued_writes": self._queued,
            "batches": writer.batches,
            "batch_calls_max": writer.batch_calls_max,
            "write_failures": writer.failures,
            "upkeep_failures": upkeep.failures,
        }

    def _check_open(self) -> None:
        if self._closed is not None:
            raise Unavailable("the store is closed")

    def _check_revision(self, revision: int) -> None:
        self._check_open()
        if revision < self._compact_revision:
            raise Compacted(self._compact_revision)
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)

    async def _write(self, kind: str, key: str, value: bytes, expected_revision: int) -> Any:
        self._check_open()
        if self._queued >= QUEUED_WRITES_MAX:
            raise Unavailable("too many writes are waiting")
        future = self._loop.create_future()
        self._queued += 1
        self._writer.submit(Write(kind, key, value, expected_revision, future))
        return await future

    def _deliver(self, batch: Batch) -> None:
        """One turn: state, then watches, then answers. Called by the writer, in its order."""
        if batch.compact_revision is not None:
            self._compact_revision = batch.compact_revision
        if batch.events:
            for key, record in batch.changed.items():
                if record is None:
                    self._recent.drop(key)
                else:
                    self._recent.put(record)
            self._hub.deliver(batch.events)
            if self._delivered:
                self._wake_delivered()
        self._queued -= batch.writes
        for future, answer in batch.answers:
            if future.done():
                continue  # its caller was cancelled; the call was made all the same
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _reached(self, revision: int) -> None:
        """Wait until the loop has seen a revision that the file already has."""
        if revision > self._hub.revision:
            future: asyncio.Future[None] = self._loop.create_future()
            self._delivered.append((revision, future))
            await future

    def _wake_delivered(self) -> None:
        waiting = self._delivered
        self._delivered = [item for item in waiting if item[0] > self._hub.revision]
        for revision, future in waiting:
            if revision <= self._hub.revision and not future.done():
                future.set_result(None)

    async def _replay(self, prefix: str, after_revision: int) -> Page:
        return await self._pool.run(read_events, prefix, after_revision)
