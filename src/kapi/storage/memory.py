"""The storage model: the shortest correct implementation, in memory.

The oracle that every other storage is compared with, the fake of unit tests, and the store of
`--data-dir :memory:`. The state is the current records and the events since the compact revision;
an older state is the current one with later events undone. Invariant: `_events` holds one event
for each revision in (compact revision, current revision].
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

from kapi.storage.compaction import ROW_BYTES, history_bytes_max
from kapi.storage.interface import (
    AlreadyExists,
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    ListResult,
    NotFound,
    Record,
    Unavailable,
)
from kapi.storage.keys import check_key
from kapi.storage.watch import BATCH_EVENTS_MAX, Hub, Page


class MemoryStorage:
    """A `Storage` that lives as long as its process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._events: deque[Event] = deque()
        self._compact_revision = 0
        self._live_bytes = 0
        self._history_bytes = 0
        self._hub = Hub(self._replay, 1)

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        return self._at(revision).get(key)

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        records = self._at(revision)
        keys = sorted(k for k in records if k.startswith(prefix) and k > start_after)
        found = keys[:limit] if limit else keys
        at = self._hub.revision if revision is None else revision
        return ListResult([records[k] for k in found], at, len(keys) - len(found))

    async def create(self, key: str, value: bytes) -> int:
        self._check_open()
        check_key(key)
        if key in self._records:
            raise AlreadyExists(key)
        revision = self._hub.revision + 1
        record = Record(key, value, revision, revision)
        return self._commit(Event("create", key, value, revision, None), record)

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        current = self._expect(key, expected_revision)
        record = Record(key, value, self._hub.revision + 1, current.create_revision)
        return self._commit(Event("update", key, value, record.revision, current), record)

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        current = self._expect(key, expected_revision)
        event = Event("delete", key, current.value, self._hub.revision + 1, current)
        return current, self._commit(event, None)

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._hub.watch(prefix, after_revision)

    async def current_revision(self) -> int:
        self._check_open()
        return self._hub.revision

    async def compact(self, revision: int) -> None:
        self._check_revision(revision)
        while self._events and self._events[0].revision <= revision:
            self._forget()
        self._compact_revision = revision

    async def compact_revision(self) -> int:
        self._check_open()
        return self._compact_revision

    async def close(self) -> None:
        self._hub.close()

    def statistics(self) -> Mapping[str, int]:
        return {
            "revision": self._hub.revision,
            "compact_revision": self._compact_revision,
            "objects": len(self._records),
            "live_bytes": self._live_bytes,
            "history_bytes": self._history_bytes,
            "watches": len(self._hub),
        }

    def _check_open(self) -> None:
        if self._hub.closed:
            raise Unavailable("the store is closed")

    def _check_revision(self, revision: int) -> None:
        self._check_open()
        if revision < self._compact_revision:
            raise Compacted(self._compact_revision)
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)

    def _at(self, revision: int | None) -> Mapping[str, Record]:
        """The records as of a revision (None: now)."""
        if revision is None:
            self._check_open()
            return self._records
        self._check_revision(revision)
        if revision == self._hub.revision:
            return self._records
        records = dict(self._records)
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            if event.previous is None:
                del records[event.key]
            else:
                records[event.key] = event.previous
        return records

    def _expect(self, key: str, expected_revision: int) -> Record:
        self._check_open()
        current = self._records.get(key)
        if current is None:
            raise NotFound(key)
        if current.revision != expected_revision:
            raise Conflict(key, current)
        return current

    def _commit(self, event: Event, record: Record | None) -> int:
        if record is None:
            del self._records[event.key]
        else:
            self._records[event.key] = record
            self._live_bytes += len(record.value)
        if event.previous is not None:
            self._live_bytes -= len(event.previous.value)
        self._history_bytes += _history_bytes(event)
        self._events.append(event)
        self._hub.deliver((event,))
        while self._history_bytes > history_bytes_max(self._live_bytes):
            self._forget()
        return event.revision

    def _forget(self) -> None:
        """Compact up to the oldest kept event."""
        event = self._events.popleft()
        self._history_bytes -= _history_bytes(event)
        self._compact_revision = event.revision

    async def _replay(self, prefix: str, after_revision: int) -> Page:
        self._check_revision(after_revision)
        events = [e for e in self._events if e.revision > after_revision]
        found = [e for e in events if e.key.startswith(prefix)][: BATCH_EVENTS_MAX + 1]
        if len(found) > BATCH_EVENTS_MAX:
            return Page(found[:-1], found[-2].revision, last=False)
        return Page(found, self._hub.revision, last=True)


def _history_bytes(event: Event) -> int:
    """What this event made into history: the record before it, and itself if it is a delete."""
    before = 0 if event.previous is None else ROW_BYTES + len(event.previous.value)
    return before + (ROW_BYTES if event.type == "delete" else 0)
