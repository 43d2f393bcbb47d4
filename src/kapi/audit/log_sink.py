"""The log backend: one thread writes events to a file, the event loop never does.

The thread takes all that waits, writes it in one go and tells the loop of each event whether it is
kept. The queue is bounded: what finds no room is lost and counted. In mode `batch` nobody waits; a
`BatchedSink` stands before it if batches have a size or a rate.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from kapi.audit.record import Record
from kapi.audit.sink import failed
from kapi.metrics import Metrics

PLUGIN, BUFFERED = "log", "buffered"
# Where nobody waits, events are gathered so long: each hand-over stops the loop for a moment.
IDLE_S = 0.02
CLOSE_S = 10.0  # how long a stop waits for the disk
# Bytes that may wait. Answers that wait for their events hold their own bytes anyway.
QUEUE_BYTES_MAX = 256 * 1024 * 1024


class Writer(Protocol):
    """`LogFile` or `Stdout`."""

    def write(self, lines: Sequence[bytes]) -> list[str]: ...

    def close(self) -> None: ...


def json_line(record: Record) -> bytes:
    return record.line()


def legacy_line(record: Record) -> bytes:
    return f"{record.legacy()}\n".encode("utf-8", "replace")


_Entry = tuple[Record, "Future[bool] | None"]


class LogSink:
    """Made in the loop that it serves."""

    def __init__(
        self,
        writer: Writer,
        form: Callable[[Record], bytes],
        metrics: Metrics,
        *,
        strict: bool = False,
        queue: int = 0,
        bytes_max: int = QUEUE_BYTES_MAX,
    ) -> None:
        """`queue`: nobody waits, and so many events may be there that are not yet written; 0:
        answers wait.
        """
        self.strict = strict
        self._writer = writer
        self._form = form
        self._metrics = metrics
        self._bytes_max = bytes_max
        self._queue = queue
        self._pending = 0
        self._loop = asyncio.get_running_loop()
        self._fresh: list[_Entry] = []  # not yet handed over
        self._waiting: SimpleQueue[list[_Entry]] = SimpleQueue()  # empty: the end
        self._bytes = 0
        self._closed = False
        self._ended: Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="kapi-audit-log", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> Future[bool] | None:
        """As `Sink.put`. What finds no room is lost."""
        done: Future[bool] | None = None if self._queue else self._loop.create_future()
        weight = record.weight
        full = self._bytes and self._bytes + weight > self._bytes_max
        if self._queue and (full or self._pending >= self._queue):
            failed(self._metrics, BUFFERED, "audit buffer queue blocked", [record])
            return None
        if self._closed or full:
            failed(self._metrics, PLUGIN, "audit log is behind", [record])
            if done is not None:
                done.set_result(False)
            return done
        self._bytes += weight
        self._pending += 1
        if not self._fresh:  # what comes in one turn of the loop is handed over in one go
            if self._queue:
                self._loop.call_later(IDLE_S, self._hand_over)
            else:
                self._loop.call_soon(self._hand_over)
        self._fresh.append((record, done))
        return done

    def _hand_over(self) -> None:
        if self._fresh:
            self._waiting.put(self._fresh)
            self._fresh = []

    async def close(self) -> None:
        self._closed = True
        self._hand_over()
        self._waiting.put([])
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.shield(self._ended)
        except TimeoutError:  # the disk does not answer: the thread ends with the process
            lost = [record for record, _ in self._all_waiting()]
            failed(self._metrics, PLUGIN, f"not written within {CLOSE_S:g}s of the stop", lost)
            return
        self._thread.join()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = self._waiting.get()
            ended = not taken
            while not (ended or self._waiting.empty()):
                more = self._waiting.get()
                ended = not more
                taken += more
            if taken:
                try:
                    found = self._writer.write([self._form(record) for record, _ in taken])
                except Exception as error:  # answers wait for this thread: it must not end
                    found = [f"unexpected: {error!r}"] * len(taken)
                self._loop.call_soon_threadsafe(self._told, taken, found)
        self._writer.close()
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _all_waiting(self) -> list[_Entry]:
        """What the thread has not come to, taken from it."""
        out: list[_Entry] = []
        while not self._waiting.empty():
            out += self._waiting.get()
        return out

    async def deliver(self, records: list[Record]) -> None:
        """A batch, until all of it is kept or lost."""
        for kept in [self.put(record) for record in records]:
            if kept is not None:
                await kept

    def _told(self, taken: list[_Entry], found: list[str]) -> None:
        self._bytes -= sum(record.weight for record, _ in taken)
        self._pending -= len(taken)
        if any(found):
            lost = [record for (record, _), error in zip(taken, found, strict=True) if error]
            failed(self._metrics, PLUGIN, next(error for error in found if error), lost)
        for (_, done), error in zip(taken, found, strict=True):
            if done is not None and not done.done():  # who waited may have given up
                done.set_result(not error)
