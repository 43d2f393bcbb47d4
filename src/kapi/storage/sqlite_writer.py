"""The one thread that changes an SQLite store.

It takes all calls that are queued, checks each against what its key holds, inserts the good ones
with ONE statement, which is also the transaction, and hands events and answers to the event loop
with one `call_soon_threadsafe`. Revisions are given here and nowhere else.

Why one statement: sqlite3 lets go of the interpreter lock around every statement, and while the
event loop is busy a thread waits up to 5 ms to get it back. A batch of 64 inserted row by row
took 450 ms beside a busy loop, as one statement 9 ms. So rows travel as a JSON list, values as
one blob that the statement cuts up, and triggers (`sqlite_schema.py`) do the rest inside of
SQLite.

Between batches it does one small piece of upkeep (`sqlite_upkeep.py`), so that a queued write
waits for one piece at most. After a failed write it first asks the file what became of it
(`_settle`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final

import orjson

from kapi.storage.interface import AlreadyExists, Conflict, Event, NotFound, Record, StorageError
from kapi.storage.recent import Recent
from kapi.storage.sqlite_reader import read_events, read_records
from kapi.storage.sqlite_schema import translate
from kapi.storage.sqlite_upkeep import Compact, Upkeep

# Calls in one transaction, and bytes of values: beyond, the loop's turn that delivers them and the
# copy of the values get long, while the gain of sharing one sync has long been had.
BATCH_CALLS_MAX: Final = 256
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024

# The blob starts with one byte: SQLite's substr of an empty blob is NULL.
INSERT: Final = """
INSERT INTO log (revision, key, create_revision, previous_revision, deleted, value)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
       json_extract(value, '$[3]'), json_extract(value, '$[4]'),
       substr(?2, json_extract(value, '$[5]'), json_extract(value, '$[6]'))
FROM json_each(?1)
"""

# What a call gets; an exception is raised.
Answer = int | tuple[Record, int] | Exception | None


@dataclass(slots=True)
class Write:
    """A create, update or delete that waits for its turn."""

    type: str  # as in Event
    key: str
    value: bytes
    expected_revision: int
    future: asyncio.Future[Any]


@dataclass(slots=True)
class Call:
    """Something else to do in the writer's thread, after the writes queued before it."""

    function: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class Batch:
    """What one transaction did: durable when the loop sees it."""

    events: Sequence[Event] = ()
    changed: Mapping[str, Record | None] = field(default_factory=dict)  # keys as they are after it
    answers: Sequence[tuple[asyncio.Future[Any], Answer]] = ()
    writes: int = 0  # answers that are to writes
    compact_revision: int | None = None  # if it moved


class Writer:
    """The thread. `submit` from the event loop; `deliver` is called there."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        upkeep: Upkeep,
        heads: dict[str, int],
        recent: Recent,
        deliver: Callable[[Batch], None],
    ) -> None:
        self._connection = connection
        self._upkeep = upkeep
        self._heads = heads  # revision of every live key, as committed; this thread's own
        self._recent = recent  # the loop's; here only read
        self._revision = upkeep.revision
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Write | Call | Compact | None] = SimpleQueue()
        self._stopping = False
        self._doubtful = False  # a write failed: the file may hold more than `_revision` says
        self._stopped = self._loop.create_future()
        self.failures = 0  # writes that were answered with Unavailable or Corrupt
        self.batches = 0
        self.batch_calls_max = 0
        # A daemon: a program that forgets to close must still be able to exit.
        self._thread = threading.Thread(target=self._run, name="kapi-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Write | Call | Compact) -> None:
        """Queue a call; its future is resolved on the event loop."""
        self._queue.put(job)

    @property
    def objects(self) -> int:
        """How many keys are live."""
        return len(self._heads)

    async def stop(self) -> None:
        """Finish what is queued, then end the thread. The connection stays open."""
        self._queue.put(None)
        await self._stopped
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            jobs = self._take()
            writes = [job for job in jobs if type(job) is Write]
            if writes:
                self._write(writes)
            for job in jobs:
                if type(job) is Call:
                    self._call(job)
                elif type(job) is Compact:
                    self._upkeep.request(job)
            if self._upkeep.pending():
                self._keep_up()
        self._on_loop(self._deliver, Batch(answers=self._upkeep.stop()))
        self._on_loop(self._stopped.set_result, None)

    def _take(self) -> list[Write | Call | Compact]:
        """The next batch. Waits for it, unless there is upkeep to do meanwhile."""
        jobs: list[Write | Call | Compact] = []
        size = 0
        block = not self._upkeep.pending()
        while len(jobs) < BATCH_CALLS_MAX and size < BATCH_BYTES_MAX:
            try:
                job = self._queue.get(block)
            except Empty:
                break
            block = False
            if job is None:
                self._stopping = True
                break
            jobs.append(job)
            if type(job) is Write:
                size += len(job.value)
        return jobs

    def _write(self, writes: list[Write]) -> None:
        try:
            if self._doubtful:
                self._settle()
            batch = self._judge(writes)
            if batch.events:
                self._insert(batch.events)
        except Exception as error:
            # Whatever it was, each caller is told; the file is asked before the next write.
            self._doubtful = True
            answers = [(write.future, _refusal(error)) for write in writes]
            self.failures += len(writes)
            self._on_loop(self._deliver, Batch(answers=answers, writes=len(writes)))
            return
        self._publish(batch)

    def _standing(self, writes: list[Write]) -> dict[str, Record]:
        """The records that the keys of these writes have now."""
        standing: dict[str, Record] = {}
        unknown: list[int] = []
        for write in writes:
            revision = self._heads.get(write.key)
            if revision is not None and write.key not in standing:
                record = self._recent.get(write.key)
                if record is not None and record.revision == revision:
                    standing[write.key] = record
                else:
                    unknown.append(revision)
        if unknown:
            standing.update((r.key, r) for r in read_records(self._connection, unknown))
        return standing

    def _judge(self, writes: list[Write]) -> Batch:
        """Compare and set: each call against the state that the calls before it leave."""
        standing = self._standing(writes)
        changed: dict[str, Record | None] = {}
        events: list[Event] = []
        answers: list[tuple[asyncio.Future[Any], Answer]] = []
        revision = self._revision
        for write in writes:
            key = write.key
            current = changed[key] if key in changed else standing.get(key)
            answer: Answer
            if write.type == "create":
                if current is not None:
                    answer = AlreadyExists(key)
                else:
                    answer = revision = revision + 1
                    events.append(Event("create", key, write.value, revision, None))
                    changed[key] = Record(key, write.value, revision, revision)
            elif current is None:
                answer = NotFound(key)
            elif current.revision != write.expected_revision:
                answer = Conflict(key, current)
            elif write.type == "update":
                answer = revision = revision + 1
                events.append(Event("update", key, write.value, revision, current))
                changed[key] = Record(key, write.value, revision, current.create_revision)
            else:
                revision += 1
                answer = (current, revision)
                events.append(Event("delete", key, current.value, revision, current))
                changed[key] = None
            answers.append((write.future, answer))
        return Batch(events, changed, answers, len(writes))

    def _insert(self, events: Sequence[Event]) -> None:
        rows: list[tuple[int, str, int, int, int, int, int]] = []
        blob = [b"\0"]
        offset = 2  # SQLite counts from 1
        for event in events:
            previous, revision = event.previous, event.revision
            deleted = event.type == "delete"
            value = b"" if deleted else event.value
            if previous is None:
                rows.append((revision, event.key, revision, 0, 0, offset, len(value)))
            else:
                created = previous.create_revision
                rows.append(
                    (revision, event.key, created, previous.revision, deleted, offset, len(value))
                )
            blob.append(value)
            offset += len(value)
        self._connection.execute(INSERT, (orjson.dumps(rows).decode(), b"".join(blob)))

    def _publish(self, batch: Batch) -> None:
        """Take over what was committed and hand it to the loop."""
        if batch.events:
            self._revision = batch.events[-1].revision
            for key, record in batch.changed.items():
                if record is None:
                    self._heads.pop(key, None)
                else:
                    self._heads[key] = record.revision
            self._upkeep.wrote(batch.events)
            self.batches += 1
            self.batch_calls_max = max(self.batch_calls_max, len(batch.answers))
        self._on_loop(self._deliver, batch)

    def _settle(self) -> None:
        """After a failed write: take over what the file holds after all (a sync that failed)."""
        while True:
            page = read_events(self._connection, "", self._revision)
            if page.events:
                changed: dict[str, Record | None] = {}
                for event in page.events:
                    before = event.previous
                    created = event.revision if before is None else before.create_revision
                    record = Record(event.key, event.value, event.revision, created)
                    changed[event.key] = None if event.type == "delete" else record
                self._publish(Batch(page.events, changed))
            if page.last:
                break
        self._doubtful = False

    def _call(self, job: Call) -> None:
        try:
            answer = job.function(self._connection)
        except Exception as error:
            answer = _refusal(error)
        self._on_loop(self._deliver, Batch(answers=[(job.future, answer)]))

    def _keep_up(self) -> None:
        """One piece of upkeep, and the answers that became due."""
        before = self._upkeep.compact_revision
        answers = self._upkeep.step()
        after = self._upkeep.compact_revision
        if answers or after != before:
            self._on_loop(self._deliver, Batch(answers=answers, compact_revision=after))

    def _on_loop(self, function: Callable[[Any], None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The loop was closed without closing the store: nobody is left to be told.
            self._stopping = True


def _refusal(error: Exception) -> Exception:
    """What a caller is told of an error; a new object each time, since each gets a traceback."""
    if isinstance(error, sqlite3.Error):
        return translate(error)
    return error if isinstance(error, StorageError) else RuntimeError(repr(error))
