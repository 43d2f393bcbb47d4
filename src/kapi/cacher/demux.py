"""Hands an event to the watchers that might care, without asking the others.

Each watcher sits in one bucket, the narrowest that its selection allows: one name, one value of an
indexed field, one namespace, or all. An event visits the buckets it belongs to, so its cost is that
of the watchers who might match, however many there are. A watcher that is behind is passed by: it
reads from the history when its reader comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from kapi.cacher.event import Event, Resource
from kapi.cacher.watcher import State, Watcher

Bucket = dict[Watcher, None]  # a set that keeps its order


class Demux:
    def __init__(self) -> None:
        self._buckets: dict[tuple[str, ...], Bucket] = {}
        # Indexed fields in use: how many watchers, and a resource that knows how to read the field.
        self._by_field: dict[str, tuple[int, Resource]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Watcher]:
        for bucket in tuple(self._buckets.values()):
            yield from tuple(bucket)

    def add(self, watcher: Watcher) -> None:
        key = watcher.selection.bucket
        self._buckets.setdefault(key, {})[watcher] = None
        self._count += 1
        if key[0] == "field":
            count = self._by_field[key[1]][0] if key[1] in self._by_field else 0
            self._by_field[key[1]] = (count + 1, watcher.selection.resource)

    def remove(self, watcher: Watcher) -> None:
        key = watcher.selection.bucket
        bucket = self._buckets[key]
        del bucket[watcher]
        if not bucket:
            del self._buckets[key]
        self._count -= 1
        if key[0] == "field":
            count, resource = self._by_field.pop(key[1])
            if count > 1:
                self._by_field[key[1]] = (count - 1, resource)

    def publish(self, event: Event) -> None:
        if not self._count:
            return
        item = event.item
        self._show(("all",), event)
        if item.namespace:
            self._show(("namespace", item.namespace), event)
        self._show(("name", item.name), event)
        for field, (_, resource) in self._by_field.items():
            value = item.fields(resource).get(field, "")
            self._show(("field", field, value), event)
            if event.previous is not None:
                before = event.previous.fields(resource).get(field, "")
                if before != value:
                    self._show(("field", field, before), event)

    def _show(self, key: tuple[str, ...], event: Event) -> None:
        bucket = self._buckets.get(key)
        if bucket is not None:
            active = State.ACTIVE
            for watcher in bucket:
                if watcher.state is active:
                    watcher.offer(event)
