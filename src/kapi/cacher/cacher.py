"""`Cacher`: the whole store's current state in memory, kept fresh by one watch over everything.

One task follows `storage.watch("/registry/")` and routes each change to the cache of its resource;
so one number, `revision`, says how far every cache is. One event loop, so no locks: between two
awaits a reader sees one revision.

start:    list what stood a while ago, then replay up to now, so that watches which the last run
          of the server was serving find their place in the history again.
trouble:  the store is unavailable: `ready` is off, reads that may be stale go on, the watch is
          taken up where it was. Compacted: list anew; watches of what changed meanwhile get 410.
register: a resource that comes later is listed by a task of its own; changes are kept aside.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from kapi import log
from kapi.cacher.event import Item, Layout, Resource
from kapi.cacher.resource_cache import Observer, ResourceCache
from kapi.cacher.timers import Timers
from kapi.cacher.watcher import Watcher
from kapi.clock import Clock, Entropy
from kapi.storage import keys
from kapi.storage.interface import Compacted, Event, Record, Storage, StorageError, Unavailable

# Revisions replayed at start, so that watches survive a restart of the server. Two thousand small
# events take some 20 ms.
REPLAY_REVISIONS_MAX = 2_000
# Records listed in one call while loading: bounds what is in memory twice.
LOAD_PAGE_RECORDS = 2_000
# Changes taken in before other tasks get a turn.
INGEST_SLICE = 250
# How long to wait before an unavailable store is asked again.
RETRY_S = 0.25
# How long a start waits for the changes it replays; after that it goes on, not ready.
START_WAIT_S = 5.0
# About how often a watch that asks for bookmarks gets one; the real server's minute.
BOOKMARK_S = 60.0
# A watch that will time out gets a last bookmark this much earlier.
LAST_BOOKMARK_S = 2.0

_log = log.get("cacher")


class Cacher:
    """One per server. `start` returns when everything that is registered is there."""

    def __init__(self, storage: Storage, clock: Clock, entropy: Entropy) -> None:
        self._storage = storage
        self._entropy = entropy
        self.timers = Timers(clock)
        self._clock = clock
        self._caches: dict[str, ResourceCache] = {}  # by storage prefix
        self._observers: list[Observer] = []
        self.revision = 0  # all changes up to it are in the caches and with the watchers
        self.ready = False
        self._waiting: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._to_load: asyncio.Queue[ResourceCache] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._first = asyncio.Event()
        self._stopping = False
        self._reloads = 0
        self._failures = 0

    # -- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load everything; raises StorageError if the store cannot be read at all."""
        await self._load_all(replay=True)
        for cache in self._caches.values():
            if not cache.loaded.is_set():  # registered while the others were listed
                self._to_load.put_nowait(cache)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._watched(work), name=f"cacher-{name}")
            for name, work in (
                ("follow", self._follow),
                ("load", self._load_late),
                ("timers", self.timers.run),
            )
        ]
        current = await self._storage.current_revision()
        if not await self.wait_until(current, START_WAIT_S):
            self.ready = False  # the next change that arrives turns it on

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """One of the tasks. That it fails is our own bug: say so at once; `stop` raises it."""
        try:
            await work()
        except Exception:
            self.ready = False
            _log.exception("the cache stopped following the store")
            raise

    async def stop(self) -> None:
        """End all watches and tasks. Idempotent."""
        self._stopping = True
        self.ready = False
        self.end_watches()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        while self._waiting:
            self._settle(self._waiting.popleft()[1], False)
        for cache in self._caches.values():
            if not cache.loaded.is_set():
                cache.end()  # let go of who waits for it

    def end_watches(self) -> None:
        """End every watch cleanly, now and from now on: the server is stopping."""
        self._stopping = True
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
        cache = ResourceCache(resource, self._revision, self._observers)
        cache.resources[key] = resource
        self._caches[resource.storage_prefix] = cache
        if self._tasks:
            self._to_load.put_nowait(cache)
        return cache

    def unregister(self, resource: Resource) -> None:
        """Serve it no more: its watches end, its objects are forgotten (the store keeps them)."""
        cache = self._caches[resource.storage_prefix]
        del cache.resources[(resource.group, resource.plural)]
        if not cache.resources:
            del self._caches[resource.storage_prefix]
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

    def cache(self, resource: Resource) -> ResourceCache | None:
        """The cache of a registered resource."""
        return self._caches.get(resource.storage_prefix)

    def caches(self) -> list[ResourceCache]:
        return list(self._caches.values())

    def _revision(self) -> int:
        return self.revision

    # -- waiting ----------------------------------------------------------------------------------

    async def wait_until(self, revision: int, timeout: float) -> bool:
        """Whether everything up to `revision` is here, within so many seconds."""
        if self.revision >= revision:
            return True
        if self._stopping:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        timer = self.timers.after(timeout, lambda: self._settle(future, False))
        try:
            return await future
        finally:
            timer.cancel()

    def _settle(self, future: asyncio.Future[bool], reached: bool) -> None:
        if not future.done():
            future.set_result(reached)

    def _advance(self, revision: int) -> None:
        """All changes up to `revision` are taken in."""
        assert revision >= self.revision, "the store's revisions only grow"
        self.revision = revision
        if self._waiting:
            still = deque[tuple[int, asyncio.Future[bool]]]()
            for wanted, future in self._waiting:
                if wanted <= revision:
                    self._settle(future, True)
                elif not future.done():
                    still.append((wanted, future))
            self._waiting = still

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

    # -- following the store ----------------------------------------------------------------------

    async def _follow(self) -> None:
        while not self._stopping:
            try:
                async for batch in self._storage.watch(keys.ROOT, after_revision=self.revision):
                    self.ready = True
                    await self._ingest(batch)
            except Compacted:
                await self._reload()
                continue
            except Unavailable as error:
                if self.ready:
                    _log.warning("the store is unavailable", error=str(error))
            # The store closed or failed: ask again, and do not claim to be fresh meanwhile.
            self.ready = False
            self._failures += 1
            await self._clock.sleep(RETRY_S)
            await self._probe()

    async def _probe(self) -> None:
        """Ready again if the store answers and everything in it is here."""
        try:
            self.ready = await self._storage.current_revision() <= self.revision
        except StorageError:
            self.ready = False

    async def _reload(self) -> None:
        self.ready = False
        self._reloads += 1
        try:
            await self._load_all(replay=False)
        except StorageError as error:
            _log.warning("the store cannot be listed", error=str(error))
            await self._clock.sleep(RETRY_S)

    async def _ingest(self, batch: Sequence[Event]) -> None:
        """Take in a batch; a turn for others between slices, never within a revision."""
        taken = 0
        for event, following in zip(batch, (*batch[1:], None), strict=True):
            cache = self._route(event.key)
            if cache is not None:
                cache.apply(event)
            taken += 1
            if following is None:
                self._advance(event.revision)
            elif taken >= INGEST_SLICE and following.revision > event.revision:
                self._advance(event.revision)
                taken = 0
                await asyncio.sleep(0)

    def _route(self, key: str) -> ResourceCache | None:
        """The cache a key belongs to: a storage prefix has one segment or two."""
        start = len(keys.ROOT)
        end = key.find("/", start)
        cache = self._caches.get(key[start:end])
        if cache is None:
            cache = self._caches.get(key[start : key.find("/", end + 1)])
        return cache

    # -- loading ----------------------------------------------------------------------------------

    async def _load_all(self, *, replay: bool) -> None:
        """Everything registered, as of one revision."""
        current = await self._storage.current_revision()
        revision = current
        if replay:
            oldest = await self._storage.compact_revision()
            revision = max(oldest, current - REPLAY_REVISIONS_MAX, 1)
        found: dict[ResourceCache, list[Item]] = {c: [] for c in self._caches.values()}
        unreadable: dict[ResourceCache, dict[str, str]] = {c: {} for c in found}
        try:
            async for record in _records(self._storage, keys.ROOT, revision):
                cache = self._route(record.key)
                if cache in found:
                    item = cache.readable(record, unreadable[cache])
                    if item is not None:
                        found[cache].append(item)
        except Compacted:
            if not replay:
                raise
            await self._load_all(replay=False)
            return
        for cache, items in found.items():
            cache.reload(items, revision, unreadable[cache])
        self._advance(revision)
        self.ready = True

    async def _load_late(self) -> None:
        """Resources that were registered while the server runs, one after the other."""
        while True:
            cache = await self._to_load.get()
            while not cache.removed and not cache.loaded.is_set():
                try:
                    await self._load_one(cache)
                except StorageError as error:
                    _log.warning(
                        "a resource cannot be listed", prefix=cache.prefix, error=str(error)
                    )
                    await self._clock.sleep(RETRY_S)

    async def _load_one(self, cache: ResourceCache) -> None:
        revision = await self._storage.current_revision()
        prefix = f"{keys.ROOT}{cache.prefix}/"
        unreadable: dict[str, str] = {}
        items = []
        async for record in _records(self._storage, prefix, revision):
            item = cache.readable(record, unreadable)
            if item is not None:
                items.append(item)
        while self.revision < revision and not cache.removed:
            await self.wait_until(
                revision, RETRY_S
            )  # so that no reader sees it ahead of the others
        if not cache.removed and not cache.loaded.is_set():
            cache.load(items, revision, unreadable)

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
            "waiting": len(self._waiting),
            "timers": len(self.timers),
            "reloads": self._reloads,
            "failures": self._failures,
        }


async def _records(storage: Storage, prefix: str, revision: int) -> AsyncIterator[Record]:
    """All records under a prefix as of a revision, page by page."""
    start = ""
    while True:
        page = await storage.list(
            prefix, limit=LOAD_PAGE_RECORDS, start_after=start, revision=revision
        )
        for record in page.records:
            yield record
        if not page.remaining:
            return
        start = page.records[-1].key


def _same_layout(a: Resource, b: Resource) -> bool:
    return (
        a.stored.kind == b.stored.kind
        and (a.custom or a.stored.api_version == b.stored.api_version)
        and a.namespaced == b.namespaced
        and a.custom == b.custom
    )
