"""`ResourceCache`: the objects of one storage prefix, their recent history and their watchers.

Two resource types may share one (the two groups of events do). It is made by `Cacher.register` and
then *loads*: until it has, changes that arrive are kept aside, so that nothing is missed between
the list and the watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from kapi.cacher.demux import Demux
from kapi.cacher.event import ADDED, DELETED, MODIFIED, Event, Item, Layout, Resource
from kapi.cacher.history import History
from kapi.cacher.reads import Reads
from kapi.cacher.snapshot import Snapshot
from kapi.errors import expired, internal_error
from kapi.storage import interface as storage
from kapi.storage import keys

if TYPE_CHECKING:
    from kapi.cacher.source import Source


class Observer(Protocol):
    """Who is told of everything that happens to the caches, at once and in the order of revisions:
    controllers in this process. Its methods are short, never await and never raise."""

    def served(self, cache: ResourceCache, resource: Resource) -> None:
        """A resource is served, or another form of it."""

    def loaded(self, cache: ResourceCache) -> None:
        """What is in the cache was put there without events."""

    def changed(self, cache: ResourceCache, event: Event) -> None:
        """One change; the cache has it already."""

    def ended(self, cache: ResourceCache) -> None:
        """The cache is no more."""


class ResourceCache:
    """Read by `registry/read.py` and listers; written by the cacher only."""

    def __init__(
        self, resource: Resource, source: Source, observers: Sequence[Observer] = ()
    ) -> None:
        """`source` is what feeds it."""
        self._observers = observers
        self.resources: dict[tuple[str, str], Resource] = {}
        self.prefix = resource.storage_prefix
        self.namespaced = resource.namespaced
        self.layout = Layout(resource)
        self.snapshot = Snapshot()
        self.history = History(0)
        self.watchers = Demux()
        self.changed = (
            0  # the revision of the last change; a read as of a later one is a read of now
        )
        self.received = 0  # changes taken in since the start
        self.loaded = asyncio.Event()
        self.removed = False
        self.unreadable: dict[str, str] = {}  # key → why an object that stands there is not here
        self._aside: list[storage.Event] = []
        self._loaded_at = 0
        self.source = source
        self.reads = Reads()

    @property
    def revision(self) -> int:
        """Everything up to it is in here."""
        return self.source.revision

    async def wait_until(self, revision: int, timeout: float) -> bool:
        """Whether everything up to `revision` is in here, within so many seconds."""
        start = self.source.clock.monotonic()
        try:
            return await self.source.wait_until(revision, timeout)
        finally:
            self.reads.waits.observe(self.source.clock.monotonic() - start)

    def get(self, namespace: str, name: str) -> Item | None:
        return self.snapshot.get(namespace, name)

    def list(self, namespace: str = "") -> Sequence[Item]:
        """By key; read-only."""
        return self.snapshot.list(namespace)

    def item(self, record: storage.Record) -> Item:
        """A record of this resource as an item; it may be of any time."""
        namespace, name = self._split(record.key)
        return self.layout.item(record.key, namespace, name, record.value, record.revision)

    def readable(self, record: storage.Record, unreadable: dict[str, str]) -> Item | None:
        """The same; None for one that cannot be read, which is noted in `unreadable`."""
        try:
            return self.item(record)
        except storage.Corrupt as error:
            unreadable[record.key] = str(error)
            return None

    def _split(self, key: str) -> tuple[str, str]:
        rest = key[len(keys.ROOT) + len(self.prefix) + 1 :]
        if not self.namespaced:
            return "", rest
        namespace, _, name = rest.partition("/")
        return namespace, name

    # -- the side of the cacher -------------------------------------------------------------------

    def load(self, items: Sequence[Item], revision: int, unreadable: dict[str, str]) -> None:
        """Start from what stands at a revision, then apply what came since."""
        self.unreadable = unreadable
        self.snapshot.load(items)
        self.history.clear(revision)
        self.changed = self._loaded_at = revision
        self.reads.initializations += 1
        self.loaded.set()
        for observer in self._observers:
            observer.loaded(self)
        aside, self._aside = self._aside, []
        for event in aside:
            self.apply(event)

    def reload(
        self,
        items: Sequence[Item],
        revision: int,
        unreadable: dict[str, str],
        *,
        anew: bool = False,
    ) -> None:
        """The same after a gap: if something changed in it, or all is `anew`, the watches cannot
        go on.
        """
        before = {(i.key, i.revision) for i in self.snapshot.list()}
        same = before == {(i.key, i.revision) for i in items} and unreadable == self.unreadable
        if self.loaded.is_set() and same and not anew:
            return
        for watcher in self.watchers:
            watcher.fail(expired(f"too old resource version: {watcher.position} ({revision})"))
        self._aside.clear()
        self.load(items, revision, unreadable)

    def apply(self, change: storage.Event) -> None:
        """Take in one change and hand it to the watchers."""
        if not self.loaded.is_set():
            self._aside.append(change)
            return
        if change.revision <= self._loaded_at:
            return
        namespace, name = self._split(change.key)
        previous: Item | None
        if change.type == "delete":
            if self.unreadable.pop(change.key, None) is not None:
                return  # nobody was shown it
            previous = self.snapshot.remove(namespace, name)
            assert previous is not None, f"{change.key} was deleted but never there"
            event = Event(
                DELETED, self.layout.again(previous, change.revision), previous, self.layout
            )
        else:
            try:
                item = self.layout.item(change.key, namespace, name, change.value, change.revision)
            except storage.Corrupt as error:
                self._lose(change, namespace, name, error)
                return
            self.unreadable.pop(change.key, None)
            previous = self.snapshot.put(item)
            event = Event(ADDED if previous is None else MODIFIED, item, previous, self.layout)
        if previous is not None:
            previous.forget()
        self.changed = change.revision
        self.received += 1
        self.history.append(event)
        self.watchers.publish(event)
        for observer in self._observers:
            observer.changed(self, event)

    def _lose(
        self, change: storage.Event, namespace: str, name: str, error: storage.Corrupt
    ) -> None:
        """An object became unreadable: it is no more shown, and no watch can go on."""
        self.unreadable[change.key] = str(error)
        self.snapshot.remove(namespace, name)
        self.changed = change.revision
        for watcher in self.watchers:
            watcher.fail(internal_error(str(error)))

    def end(self) -> None:
        """The resource is served no more: its watches end."""
        self.removed = True
        self.loaded.set()
        for watcher in self.watchers:
            watcher.end()
        for observer in self._observers:
            observer.ended(self)
