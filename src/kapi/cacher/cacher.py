"""`Cacher`: the whole store's current state in memory, kept fresh by one watch over everything.

A `Source` follows the store and routes each change to the cache of its resource; so one number,
`revision`, says how far every cache is. There are several sources only where resources are kept in
different stores; then each has its own number.

register: a resource that comes later is listed by a task of its own; changes are kept aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from kapi import log
from kapi.cacher.event import Layout, Resource
from kapi.cacher.resource_cache import Observer, ResourceCache
from kapi.cacher.source import Source
from kapi.cacher.timers import Timers
from kapi.cacher.watcher import Watcher
from kapi.clock import Clock, Entropy
from kapi.storage.interface import Storage
from kapi.storage.parts import parts_of

# About how often a watch that asks for bookmarks gets one; the real server's minute.
BOOKMARK_S = 60.0
# A watch that will time out gets a last bookmark this much earlier.
LAST_BOOKMARK_S = 2.0

_log = log.get("cacher")


class Cacher:
    """One per server. `start` returns when everything that is registered is there."""

    def __init__(self, storage: Storage, clock: Clock, entropy: Entropy) -> None:
        self._entropy = entropy
        self.timers = Timers(clock)
        main, others = parts_of(storage)
        made = {store: Source(store, clock, self.timers) for store in (main, *others.values())}
        self._main = made[main]
        self._sources = list(made.values())
        self._elsewhere = {prefix: made[store] for prefix, store in others.items()}
        self._caches: dict[str, ResourceCache] = {}  # by storage prefix
        self._observers: list[Observer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def revision(self) -> int:
        """All changes up to it are in the caches and with the watchers; of the main store."""
        return self._main.revision

    @property
    def ready(self) -> bool:
        """Whether the caches are complete and follow their stores."""
        return all(source.ready for source in self._sources)

    # -- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load everything; raises StorageError if the store cannot be read at all."""
        loop = asyncio.get_running_loop()
        for source in self._sources:
            await source.start()
        tasks: list[tuple[str, Callable[[], Awaitable[None]]]] = [("timers", self.timers.run)]
        for source in self._sources:
            tasks += (("follow", source.follow), ("load", source.load_registered))
        self._tasks = [
            loop.create_task(self._watched(work), name=f"cacher-{name}") for name, work in tasks
        ]
        for source in self._sources:
            await source.settle()

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """One of the tasks. That it fails is our own bug: say so at once; `stop` raises it."""
        try:
            await work()
        except Exception:
            self._main.ready = False
            _log.exception("the cache stopped following the store")
            raise

    async def stop(self) -> None:
        """End all watches and tasks. Idempotent."""
        self.end_watches()
        tasks, self._tasks = self._tasks, []
        for source in self._sources:
            source.ready = False
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        for source in self._sources:
            source.stop()

    def end_watches(self) -> None:
        """End every watch cleanly, now and from now on: the server is stopping."""
        self._stopping = True
        for source in self._sources:
            source.stopping = True
        for cache in self._caches.values():
            for watcher in cache.watchers:
                watcher.end()

    # -- resources --------------------------------------------------------------------------------

    def register(self, resource: Resource) -> ResourceCache:
        """Serve a resource, or a new form of it; loads in the background once the cacher runs."""
        key = (resource.group, resource.plural)
        cache = self._register(resource, key)
        for observer in self._observers:
            observer.served(cache, resource)
        return cache

    def _register(self, resource: Resource, key: tuple[str, str]) -> ResourceCache:
        cache = self._caches.get(resource.storage_prefix)
        if cache is not None:
            known = cache.resources.get(key)
            if known is None or _same_layout(known, resource):
                cache.resources[key] = resource
                if resource.custom:  # their stored version may change
                    cache.layout = Layout(resource)
                return cache
            self.unregister(known)
        source = self._elsewhere.get(resource.storage_prefix, self._main)
        cache = ResourceCache(resource, source, self._observers)
        cache.resources[key] = resource
        self._caches[cache.prefix] = source.caches[cache.prefix] = cache
        if self._tasks:
            source.load_late(cache)
        return cache

    def unregister(self, resource: Resource) -> None:
        """Serve it no more: its watches end, its objects are forgotten (the store keeps them)."""
        cache = self._caches[resource.storage_prefix]
        del cache.resources[(resource.group, resource.plural)]
        if not cache.resources:
            del self._caches[cache.prefix], cache.source.caches[cache.prefix]
            cache.end()
            return
        for watcher in cache.watchers:
            known = watcher.selection.resource
            if (known.group, known.plural) == (resource.group, resource.plural):
                watcher.end()

    def end_watches_of(self, resource: Resource) -> None:
        """End the watches that have begun on this form of a resource."""
        cache = self.cache(resource)
        for watcher in cache.watchers if cache is not None else ():
            if watcher.selection.resource is resource:
                watcher.end()

    def observe(self, observer: Observer) -> None:
        """Tell it of all changes from now on, and first of the caches that are there."""
        self._observers.append(observer)
        for cache in self._caches.values():
            observer.served(cache, next(iter(cache.resources.values())))
            if cache.loaded.is_set():
                observer.loaded(cache)

    def ignore(self, observer: Observer) -> None:
        """Tell an observer of nothing any more."""
        self._observers.remove(observer)

    def cache(self, resource: Resource) -> ResourceCache | None:
        """The cache of a registered resource."""
        return self._caches.get(resource.storage_prefix)

    def caches(self) -> list[ResourceCache]:
        return list(self._caches.values())

    # -- waiting ----------------------------------------------------------------------------------

    async def wait_until(self, revision: int, timeout: float) -> bool:
        """Whether everything up to `revision` of the main store is here, within so many seconds."""
        return await self._main.wait_until(revision, timeout)

    async def caught_up(self, timeout: float) -> bool:
        """Whether everything that was written before is here, wherever; within so many seconds for
        each store. Raises StorageError.
        """
        return all([await source.fresh(timeout) for source in self._sources])

    # -- watches ----------------------------------------------------------------------------------

    def attach(self, cache: ResourceCache, watcher: Watcher, timeout: float) -> None:
        """Let a watcher take part until it times out: it gets events, and bookmarks if it wants."""
        cache.watchers.add(watcher)
        if self._stopping or cache.removed:
            watcher.end()
            return
        watcher.timers.append(self.timers.after(timeout, watcher.end))
        if not watcher.bookmarks:
            return
        if timeout > LAST_BOOKMARK_S:
            last = self.timers.after(timeout - LAST_BOOKMARK_S, watcher.bookmark)
            watcher.timers.append(last)
        # The spread keeps thousands of watches from being due at once.
        every = self._entropy.jitter(0.9, 1.1) * BOOKMARK_S

        def due() -> None:
            watcher.bookmark()
            watcher.timers[-1] = self.timers.after(every, due)

        watcher.timers.append(self.timers.after(every, due))

    # -- looking in -------------------------------------------------------------------------------

    def statistics(self) -> Mapping[str, int]:
        """Numbers for metrics and tests."""
        caches = self.caches()
        return {
            "revision": self.revision,
            "ready": int(self.ready),
            "resources": len(caches),
            "objects": sum(len(c.snapshot) for c in caches),
            "watchers": sum(len(c.watchers) for c in caches),
            "history_events": sum(len(c.history) for c in caches),
            "history_bytes": sum(c.history.bytes for c in caches),
            "waiting": sum(source.waiting for source in self._sources),
            "timers": len(self.timers),
            "reloads": sum(source.reloads for source in self._sources),
            "failures": sum(source.failures for source in self._sources),
        }


def _same_layout(a: Resource, b: Resource) -> bool:
    return (
        a.stored.kind == b.stored.kind
        and (a.custom or a.stored.api_version == b.stored.api_version)
        and a.namespaced == b.namespaced
        and a.custom == b.custom
    )
