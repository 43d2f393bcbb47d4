"""Does the cache hold what the store holds? Compared by digest at one revision, on demand.

A digest covers keys, revisions and bytes in the order of the keys. `check` names the first objects
that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kapi.cacher.cacher import Cacher
from kapi.cacher.event import Item
from kapi.cacher.resource_cache import ResourceCache
from kapi.storage import keys
from kapi.storage.interface import Storage

# Differences named per resource; one is enough to know that something is wrong.
NAMED_MAX = 5


def digest(items: Iterable[Item]) -> str:
    """Of objects in the order of their keys."""
    out = hashlib.blake2b(digest_size=16)
    for item in items:
        out.update(f"{item.key}\0{item.revision}\0{len(item.tail)}\0".encode())
        out.update(item.tail + item.rest)
    return out.hexdigest()


async def check(cacher: Cacher, storage: Storage) -> list[str]:
    """What differs between cache and store, as text; nothing if they agree. Raises StorageError."""
    out: list[str] = []
    for cache in cacher.caches():
        if cache.loaded.is_set() and not cache.removed:
            out += await _check(cache, storage)
    return out


async def _check(cache: ResourceCache, storage: Storage) -> list[str]:
    # Both of one moment: a list once taken does not change while the store is asked.
    cached, revision = cache.list(), cache.revision
    found = await storage.list(f"{keys.ROOT}{cache.prefix}/", revision=revision)
    stored = [cache.item(record) for record in found.records]
    if digest(cached) == digest(stored):
        return []
    return [
        f"{cache.prefix} at revision {revision}: {text}" for text in _differences(cached, stored)
    ]


def _differences(cached: Iterable[Item], stored: Iterable[Item]) -> list[str]:
    ours = {item.key: item for item in cached}
    theirs = {item.key: item for item in stored}
    out = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if a is None or b is None:
            out.append(f"{key} is only in the {'store' if a is None else 'cache'}")
        elif a.revision != b.revision:
            out.append(f"{key} is at {a.revision} in the cache, at {b.revision} in the store")
        elif (a.tail, a.rest) != (b.tail, b.rest):
            out.append(f"{key} differs at revision {a.revision}")
    return out[:NAMED_MAX] or ["the order of the keys differs"]
