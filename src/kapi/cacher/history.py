"""The recent events of one resource, for watches that start in the past and watchers that lag.

Bounded by count and by bytes; the oldest go first. `since` is the revision from which on nothing is
missing: a watch that has seen everything up to a revision ≥ `since` can go on from here, an older
one cannot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from kapi.cacher.event import Event

# Events kept per resource. At ten writes a second (a hundred leases) that is 15 minutes, three
# times what the store keeps by default; a resource that is quiet keeps its events for as long as
# the server runs.
HISTORY_EVENTS_MAX = 10_000
# Bytes of objects kept per resource, so that few big objects cannot fill the memory.
HISTORY_BYTES_MAX = 32 * 1024 * 1024
# Events that keep the bytes of their frames: those that the live watchers are just being sent.
HOT_EVENTS_MAX = 128
# Dead slots at the front of the list before it is cut: makes removal cheap on average.
_SLACK = 1024

_revision = attrgetter("revision")
_DROPPED: Any = None  # what stands in a dead slot, so that its event can go


class History:
    def __init__(
        self,
        since: int,
        *,
        events_max: int = HISTORY_EVENTS_MAX,
        bytes_max: int = HISTORY_BYTES_MAX,
    ) -> None:
        self.since = since
        self._events: list[Event] = []
        self._start = 0
        self._bytes = 0
        self._events_max = events_max
        self._bytes_max = bytes_max

    def __len__(self) -> int:
        return len(self._events) - self._start

    @property
    def bytes(self) -> int:
        return self._bytes

    def append(self, event: Event) -> None:
        events = self._events
        assert not len(self) or events[-1].revision <= event.revision, "events come in order"
        events.append(event)
        self._bytes += len(event.item.tail)
        if len(self) > HOT_EVENTS_MAX:
            events[-1 - HOT_EVENTS_MAX].cool()
        while len(self) > self._events_max or (self._bytes > self._bytes_max and len(self) > 1):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        event = self._events[self._start]
        self.since = event.revision
        self._bytes -= len(event.item.tail)
        self._events[self._start] = _DROPPED
        self._start += 1
        if self._start >= _SLACK:
            del self._events[: self._start]
            self._start = 0

    def after(self, revision: int, limit: int) -> Sequence[Event]:
        """The first `limit` events after a revision, which is not before `since`."""
        assert revision >= self.since, "that far back something is missing"
        at = bisect_right(self._events, revision, lo=self._start, key=_revision)
        return self._events[at : at + limit]

    def clear(self, since: int) -> None:
        """Start over: everything up to `since` is unknown from now on."""
        self._events, self._start, self._bytes, self.since = [], 0, 0, since
