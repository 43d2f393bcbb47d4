"""`Reader`: get, list and watch by the rules of resource versions, whatever the protocol and store.

    version  match          answered from
    unset                   the cache, once it has all that was written before the request
    "0"                     the cache as it is; a limit does not count
    N        NotOlderThan   the cache, once it has reached N (so, too, without match and limit)
    N        Exact          the cache if nothing changed since N, else the store as of N
                            (a limit without match means Exact)
    continue                the same, as of the revision in the token

What the cache does not reach within `WAIT_S` is a 504 that tells to try again, or, where any fresh
answer will do, is read from the store.
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from kapi import errors
from kapi.cacher.cacher import Cacher
from kapi.cacher.event import Item
from kapi.cacher.lister import Lister
from kapi.cacher.resource_cache import ResourceCache
from kapi.cacher.source import Source
from kapi.cacher.watcher import Watcher
from kapi.errors import ApiError
from kapi.messages import Query
from kapi.registry import list_options, paging
from kapi.registry.corrupt import CorruptObject, unreadable_list
from kapi.registry.list_options import EXACT, BadVersion, ListOptions
from kapi.registry.listing import Listing, Page, Shown
from kapi.registry.resource import ResourceType
from kapi.registry.storing import storage_call
from kapi.storage import keys
from kapi.storage.interface import (
    Compacted,
    Corrupt,
    FutureRevision,
    Record,
    Storage,
    why_unreadable,
)

# How long a read waits for the cache, as the real server does.
WAIT_S = 3.0
# When to try again a watch that found the cache lagging: seconds, for Retry-After.
WAIT_RETRY_S = 1
# Objects filtered before other tasks get a turn: about 2 ms, where they must be decoded 4 ms.
FILTER_SLICE = 5_000
DECODE_SLICE = 250
# Records asked of the store at once where a selector filters them.
SCAN_RECORDS = 500

_key = attrgetter("key")


class Reader:
    """One per server."""

    def __init__(self, cacher: Cacher, storage: Storage) -> None:
        self._cacher = cacher
        self._storage = storage

    def lister(self, resource: ResourceType) -> Lister:
        return Lister(self._cacher, resource)

    # -- get --------------------------------------------------------------------------------------

    async def get(
        self, resource: ResourceType, namespace: str, name: str, query: Query | None = None
    ) -> Item:
        """One object. Raises ApiError 404, 500 (a bad resourceVersion), 503, 504."""
        cache = self._cacher.cache(resource)
        if cache is None or not cache.loaded.is_set():
            cache = await self._loaded(resource)
        wanted = query.get("resourceVersion") if query else ""
        if not resource.namespaced:
            namespace = ""
        if wanted:
            try:
                revision = list_options.parse_version(wanted)
            except BadVersion as error:
                raise ApiError(500, "", str(error)) from None
            if cache.source.revision < revision:
                await self._reach(cache, revision)
        elif not await self._fresh(cache):
            return await self._get_stored(cache, resource, namespace, name)
        item = cache.get(namespace, name)
        if item is None:
            key = keys.object_key(resource, namespace, name) if cache.unreadable else ""
            if key in cache.unreadable:  # it may be readable by now
                return await self._get_stored(cache, resource, namespace, name)
            raise errors.not_found(resource.group, resource.plural, name)
        return item

    async def _get_stored(
        self, cache: ResourceCache, resource: ResourceType, namespace: str, name: str
    ) -> Item:
        key = keys.object_key(resource, namespace, name)
        record = await storage_call(self._storage.get(key))
        if record is None:
            raise errors.not_found(resource.group, resource.plural, name)
        return _item(cache, record)

    # -- freshness --------------------------------------------------------------------------------

    async def _loaded(self, resource: ResourceType) -> ResourceCache:
        cache = self._cacher.cache(resource)
        if cache is None:
            raise errors.path_not_found()
        await cache.loaded.wait()
        if cache.removed:
            raise errors.path_not_found()
        return cache

    async def _fresh(self, cache: ResourceCache) -> bool:
        """Whether the cache has everything that was written before; waits a while for it."""
        source = cache.source
        revision = await storage_call(source.storage.current_revision())
        if source.revision >= revision:
            cache.reads.fresh += 1
            return True
        if await cache.wait_until(revision, WAIT_S):
            cache.reads.late += 1
            return True
        cache.reads.fallbacks += 1
        return False

    async def _reach(self, cache: ResourceCache, revision: int) -> None:
        """Wait for a revision that a client named. Raises ApiError 504."""
        if not await cache.wait_until(revision, WAIT_S):
            raise self.too_large(cache.source, revision)

    def too_large(self, source: Source, revision: int) -> ApiError:
        message = f"Too large resource version: {revision}, current: {source.revision}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        return ApiError(
            504, "Timeout", f"Timeout: {message}", details={"causes": [cause]}, retry_after=1
        )

    # -- list -------------------------------------------------------------------------------------

    async def list(
        self, resource: ResourceType, namespace: str, query: Query, shown: Shown | None = None
    ) -> Page:
        """Objects of a namespace, or all. Raises ApiError 400, 410, 422, 500, 503, 504."""
        selectable = shown.selectable if shown is not None else ()
        options = list_options.parse(query, resource, selectable=selectable)
        cache = await self._loaded(resource)
        listing = Listing(resource, namespace if resource.namespaced else "", options, shown)
        if options.continue_token:
            return await self._next_page(cache, listing, options)
        version, match = options.resource_version, options.match
        if version in ("", "0"):
            if version == "0":
                listing.limit = 0
            elif not await self._fresh(cache):
                return await self._stored_page(cache, listing, None)
            return await self._cached_page(cache, listing, cache.source.revision)
        try:
            revision = list_options.parse_version(version)
        except BadVersion as error:
            raise errors.bad_request(f"invalid resource version: {error}") from None
        if match == EXACT or (not match and options.limit):
            return await self._page_at(cache, listing, revision)
        if cache.source.revision < revision:
            await self._reach(cache, revision)
        return await self._cached_page(cache, listing, cache.source.revision)

    async def _next_page(
        self, cache: ResourceCache, listing: Listing, options: ListOptions
    ) -> Page:
        revision, listing.start = paging.decode(options.continue_token)
        if options.resource_version not in ("", "0"):
            raise errors.bad_request(
                "specifying resource version is not allowed when using continue"
            )
        if revision > 0:
            return await self._page_at(cache, listing, revision)
        if not await self._fresh(cache):
            return await self._stored_page(cache, listing, None)
        return await self._cached_page(cache, listing, cache.source.revision)

    async def _page_at(self, cache: ResourceCache, listing: Listing, revision: int) -> Page:
        """As of a revision, no other."""
        if cache.changed <= revision <= cache.source.revision:
            return await self._cached_page(cache, listing, revision)
        return await self._stored_page(cache, listing, revision)

    async def _cached_page(self, cache: ResourceCache, listing: Listing, revision: int) -> Page:
        if cache.unreadable and any(key.startswith(listing.prefix) for key in cache.unreadable):
            # They may be readable by now; if not, the store knows the words.
            return await self._stored_page(cache, listing, revision)
        items = listing.candidates(cache)
        if listing.start:
            items = items[bisect_left(items, listing.start_key, key=_key) :]
        page = await self._picked(items, listing, revision)
        cache.reads.cached.add(len(items), 0, len(page.items))
        return page

    async def _picked(self, items: Sequence[Item], listing: Listing, revision: int) -> Page:
        match = listing.match
        if match is None:
            if not listing.limit or len(items) <= listing.limit:
                return Page(items, revision)
            return listing.page(items[: listing.limit], revision, len(items) - listing.limit)
        found: list[Item] = []
        size = DECODE_SLICE if listing.selection.looks_inside else FILTER_SLICE
        for at in range(0, len(items), size):
            if at:
                await asyncio.sleep(0)
            found += match(await listing.legible(items[at : at + size]))
            if listing.limit and len(found) >= listing.limit:
                del found[listing.limit :]
                last = bisect_left(items, found[-1].key, key=_key)
                return listing.page(found, revision, len(items) - last - 1)
        return Page(found, revision)

    async def _stored_page(
        self, cache: ResourceCache, listing: Listing, revision: int | None
    ) -> Page:
        """From the store, as of a revision or now."""
        limit, found = listing.limit, list[Item]()
        match = listing.match
        start = listing.start_key.removesuffix("\0") if listing.start else ""
        seen = 0
        while True:
            chunk = limit if match is None else max(limit, SCAN_RECORDS)
            try:
                result = await storage_call(
                    self._storage.list(
                        listing.prefix, limit=chunk, start_after=start, revision=revision
                    )
                )
            except Compacted:
                raise listing.too_old() from None
            except FutureRevision as error:
                raise self.too_large(cache.source, revision or error.current_revision) from None
            revision = result.revision
            seen += len(result.records)
            _check_records(listing.resource, result.records)
            asked: dict[str, Item] | None = None
            if listing.asks:
                items = await listing.legible([_item(cache, r) for r in result.records])
                asked = {item.key: item for item in items}
            for at, record in enumerate(result.records):
                item = _item(cache, record) if asked is None else asked.get(record.key)
                if item is not None and (match is None or match((item,))):
                    found.append(item)
                    if len(found) == limit:
                        left = len(result.records) - at - 1 + result.remaining
                        cache.reads.stored.add(seen, seen, len(found))
                        return listing.page(found, revision, left)
            if not result.remaining:
                cache.reads.stored.add(seen, seen, len(found))
                return Page(found, revision)
            start = result.records[-1].key

    # -- watch ------------------------------------------------------------------------------------

    async def watch(
        self,
        resource: ResourceType,
        namespace: str,
        options: ListOptions,
        timeout: float,
        shown: Shown | None = None,
    ) -> Watcher:
        """A watch that has begun; the caller ends it. Raises ApiError 404, 500, 503.

        That its version is too old or never comes it tells by itself, as an error event.
        """
        cache = await self._loaded(resource)
        version = options.resource_version
        try:
            wanted = list_options.parse_version(version) if version else 0
        except BadVersion as error:
            raise ApiError(500, "", str(error)) from None
        initial = options.send_initial
        if initial is None:
            initial = version in ("", "0")
        if not version:
            if not await self._fresh(cache):
                raise errors.service_unavailable("the watch cache is not up to date", WAIT_RETRY_S)
        elif initial and cache.source.revision < wanted:
            await cache.wait_until(wanted, WAIT_S)
        namespace = namespace if resource.namespaced else ""
        listing = Listing(resource, namespace, options, shown)
        current = cache.source.revision
        watcher = Watcher(
            cache,
            listing.outside,
            wanted if wanted and not initial else current,
            initial=listing.candidates(cache) if initial else (),
            bookmarks=options.bookmarks,
            mark_initial=options.send_initial is True and options.bookmarks,
        )
        watcher.inside = listing.selection if listing.asks else None
        self._cacher.attach(cache, watcher, timeout)
        if wanted > current:
            self._expect(watcher, cache.source, wanted, 0 if initial else WAIT_S)
        return watcher

    def _expect(self, watcher: Watcher, source: Source, revision: int, seconds: float) -> None:
        """Fail a watch from the future if the future has not come by then."""

        def check() -> None:
            if source.revision < revision:
                watcher.fail(self.too_large(source, revision))

        watcher.timers.insert(0, self._cacher.timers.after(seconds, check))


def _check_records(resource: ResourceType, records: Sequence[Record]) -> None:
    """Raise ApiError 500 if one of them cannot be read."""
    found = [CorruptObject(r.key, why) for r in records if (why := why_unreadable(r.value))]
    if found:
        raise unreadable_list(resource.group, resource.plural, found)


def _item(cache: ResourceCache, record: Record) -> Item:
    try:
        return cache.item(record)
    except Corrupt as error:
        raise CorruptObject(record.key, str(error)) from None
