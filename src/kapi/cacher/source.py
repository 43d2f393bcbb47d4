"""`Source`: one store that the cache follows, by one watch over everything in it.

Mostly there is one. Where `--etcd-servers-overrides` keeps resources elsewhere there are several,
each with revisions of its own: so how far the cache is, is asked of the source of a resource. One
task follows the watch and routes each change to the cache of its resource, another one lists what
is registered late. One event loop, so no locks: between two awaits a reader sees one revision.

start:    list what stood a while ago, then replay up to now, so that watches which the last run
          of the server was serving find their place in the history again.
trouble:  the store is unavailable: `ready` is off, reads that may be stale go on, the watch is
          taken up where it was. Compacted: list anew; watches of what changed meanwhile get 410.
          Replaced: list anew, all watches get 410, and revisions may be lower than before.

Made and run by `Cacher`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from kapi import log
from kapi.cacher.event import Item
from kapi.cacher.resource_cache import ResourceCache
from kapi.cacher.timers import Timers
from kapi.clock import Clock
from kapi.storage import keys
from kapi.storage.interface import (
    Compacted,
    Event,
    Record,
    Replaced,
    Storage,
    StorageError,
    Unavailable,
)

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

_log = log.get("cacher")


class Source:
    """`caches` are those that it feeds, by storage prefix; the cacher adds and removes them."""

    def __init__(self, storage: Storage, clock: Clock, timers: Timers) -> None:
        self.storage = storage
        self.clock = clock
        self._timers = timers
        self.caches: dict[str, ResourceCache] = {}
        self.revision = 0  # all changes up to it are in the caches and with the watchers
        self.ready = False
        self.stopping = False
        self._waiting: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._to_load: asyncio.Queue[ResourceCache] = asyncio.Queue()
        self.reloads = 0
        self.failures = 0

    @property
    def waiting(self) -> int:
        """Who waits for a revision."""
        return len(self._waiting)

    async def start(self) -> None:
        """Load everything; raises StorageError if the store cannot be read at all."""
        await self._load_all(replay=True)
        for cache in self.caches.values():
            if not cache.loaded.is_set():  # registered while the others were listed
                self._to_load.put_nowait(cache)

    async def settle(self) -> None:
        """Wait for what `start` replays; the watch is followed by now."""
        current = await self.storage.current_revision()
        if not await self.wait_until(current, START_WAIT_S):
            self.ready = False  # the next change that arrives turns it on

    def load_late(self, cache: ResourceCache) -> None:
        """A resource that came while the server runs."""
        self._to_load.put_nowait(cache)

    def stop(self) -> None:
        """Let go of who waits; the tasks are over."""
        self.ready = False
        while self._waiting:
            self._settle(self._waiting.popleft()[1], False)
        for cache in self.caches.values():
            if not cache.loaded.is_set():
                cache.end()  # let go of who waits for it

    # -- waiting ----------------------------------------------------------------------------------

    async def fresh(self, timeout: float) -> bool:
        """Whether everything that was written before is here, within so many seconds. Raises
        StorageError.
        """
        revision = await self.storage.current_revision()
        return self.revision >= revision or await self.wait_until(revision, timeout)

    async def wait_until(self, revision: int, timeout: float) -> bool:
        """Whether everything up to `revision` is here, within so many seconds."""
        if self.revision >= revision:
            return True
        if self.stopping:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        timer = self._timers.after(timeout, lambda: self._settle(future, False))
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

    # -- following the store ----------------------------------------------------------------------

    async def follow(self) -> None:
        while not self.stopping:
            try:
                async for batch in self.storage.watch(keys.ROOT, after_revision=self.revision):
                    self.ready = True
                    await self._ingest(batch)
            except Replaced as error:
                await self._start_over(error)
                continue
            except Compacted:
                await self._reload()
                continue
            except Unavailable as error:
                if self.ready:
                    _log.warning("the store is unavailable", error=str(error))
            # The store closed or failed: ask again, and do not claim to be fresh meanwhile.
            self.ready = False
            self.failures += 1
            await self.clock.sleep(RETRY_S)
            await self._probe()

    async def _probe(self) -> None:
        """Ready again if the store answers and everything in it is here."""
        try:
            self.ready = await self.storage.current_revision() <= self.revision
        except StorageError:
            self.ready = False

    async def _reload(self) -> None:
        self.ready = False
        self.reloads += 1
        try:
            await self._load_all(replay=False)
        except StorageError as error:
            _log.warning("the store cannot be listed", error=str(error))
            await self.clock.sleep(RETRY_S)

    async def _start_over(self, error: Replaced) -> None:
        """Nothing is known any more."""
        _log.error("the store is another one", reason=error.reason, before=self.revision)
        self.ready = False
        self.reloads += 1
        self.revision = 0  # so that no read as of now is answered from here
        while not self.stopping:
            try:
                await self._load_all(replay=False, anew=True)
                return
            except StorageError as failure:
                _log.warning("the store cannot be listed", error=str(failure))
                await self.clock.sleep(RETRY_S)

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
        cache = self.caches.get(key[start:end])
        if cache is None:
            cache = self.caches.get(key[start : key.find("/", end + 1)])
        return cache

    # -- loading ----------------------------------------------------------------------------------

    async def _load_all(self, *, replay: bool, anew: bool = False) -> None:
        """Everything registered, as of one revision. `anew`: no watch may go on."""
        current = await self.storage.current_revision()
        revision = current
        if replay:
            oldest = await self.storage.compact_revision()
            revision = max(oldest, current - REPLAY_REVISIONS_MAX, 1)
        found: dict[ResourceCache, list[Item]] = {c: [] for c in self.caches.values()}
        unreadable: dict[ResourceCache, dict[str, str]] = {c: {} for c in found}
        try:
            async for record in _records(self.storage, keys.ROOT, revision):
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
            cache.reload(items, revision, unreadable[cache], anew=anew)
        self._advance(revision)
        self.ready = True

    async def load_registered(self) -> None:
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
                    await self.clock.sleep(RETRY_S)

    async def _load_one(self, cache: ResourceCache) -> None:
        revision = await self.storage.current_revision()
        prefix = f"{keys.ROOT}{cache.prefix}/"
        unreadable: dict[str, str] = {}
        items = []
        async for record in _records(self.storage, prefix, revision):
            item = cache.readable(record, unreadable)
            if item is not None:
                items.append(item)
        while self.revision < revision and not cache.removed:
            # So that no reader sees it ahead of the others.
            await self.wait_until(revision, RETRY_S)
        if not cache.removed and not cache.loaded.is_set():
            cache.load(items, revision, unreadable)


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
