"""Events go `--event-ttl` after they were last written, as a lease of etcd would take them.

One task looks at the cache now and then. It remembers for each event at which revision it stood
and when that revision runs out, so that only what is new is decoded; an event that was written
again in between stays. After a restart the time of the last write is taken from the object
itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock
from kapi.errors import ApiError
from kapi.schema.scalars import parse_time

Json = dict[str, Any]
LOOK_SECONDS_MAX = 60.0  # between two looks; a tenth of a short TTL
DELETIONS_PER_LOOK = 500  # the rest waits for the next look: writers come first

_log = log.get("events")


class Item(Protocol):
    """An event as the cache has it."""

    @property
    def key(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> int: ...

    def decode(self) -> Json: ...


class Remove(Protocol):
    async def __call__(self, namespace: str, name: str, revision: int) -> None:
        """Remove an event if it still stands at this revision. Raises ApiError."""


class EventExpiry:
    def __init__(self, clock: Clock, ttl: float, remove: Remove) -> None:
        self._clock = clock
        self._ttl = ttl
        self._remove = remove
        self._known: dict[str, tuple[int, float]] = {}  # key → revision, when it runs out

    async def run(self, items: Any) -> None:
        """Until cancelled. `items()` gives the events of the cache."""
        while True:
            await self._clock.sleep(min(LOOK_SECONDS_MAX, self._ttl / 10))
            await self.step(items())

    async def step(self, items: Iterable[Item]) -> int:
        """Remove what has run out; how many were removed."""
        now = self._clock.now()
        seen: dict[str, tuple[int, float]] = {}
        over: list[Item] = []
        for item in items:
            known = self._known.get(item.key)
            if known is None or known[0] != item.revision:
                fresh = known is not None  # it was written while we were looking
                known = (item.revision, (now if fresh else last_write(item.decode())) + self._ttl)
            seen[item.key] = known
            if known[1] <= now and len(over) < DELETIONS_PER_LOOK:
                over.append(item)
        self._known = seen
        removed = 0
        for item in over:
            try:
                await self._remove(item.namespace, item.name, item.revision)
                removed += 1
            except ApiError as e:
                if e.code not in (404, 409):  # gone or written again: just as well
                    _log.warning("an event outlives its time", name=item.name, error=e.message)
        return removed


def last_write(event: Json) -> float:
    """When an event was last written, by its own account; seconds since the epoch."""
    meta = event["metadata"]
    times = [meta.get("creationTimestamp")]
    times += [entry.get("time") for entry in meta.get("managedFields") or ()]
    return max((float(parse_time(text)[0]) for text in times if text), default=0.0)
