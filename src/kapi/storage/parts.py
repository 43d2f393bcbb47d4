"""Several stores as one: some resources are kept elsewhere, each store with revisions of its own.

`--etcd-servers-overrides` says which (`assembly/stores.py`). Reads and writes go by the key, so
those above need not know; what is about revisions (`current_revision`, `compact`) is of the main
store alone, and whoever asks for another resource's takes its store from `parts_of`, as the cache
does.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Mapping, Sequence

from kapi.storage import keys
from kapi.storage.interface import Event, ListResult, Record, Storage


class PartedStorage:
    """A `Storage` over several; `others` are by the storage prefix of what they hold."""

    def __init__(self, main: Storage, others: Mapping[str, Storage]) -> None:
        self.main = main
        self.others = others

    @property
    def stores(self) -> builtins.list[Storage]:
        """Each of them once, the main one first."""
        return list(dict.fromkeys((self.main, *self.others.values())))

    def of(self, key: str) -> Storage:
        """The store of a key, or of what has a prefix that names a resource."""
        start = len(keys.ROOT)
        end = key.find("/", start)
        found = self.others.get(key[start:end] if end >= 0 else key[start:])
        if found is None and end >= 0:
            further = key.find("/", end + 1)
            found = self.others.get(key[start:further] if further >= 0 else key[start:])
        return found or self.main

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        return await self.of(key).get(key, revision=revision)

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        return await self.of(prefix).list(
            prefix, limit=limit, start_after=start_after, revision=revision
        )

    async def create(self, key: str, value: bytes) -> int:
        return await self.of(key).create(key, value)

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        return await self.of(key).update(key, value, expected_revision=expected_revision)

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        return await self.of(key).delete(key, expected_revision=expected_revision)

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self.of(prefix).watch(prefix, after_revision=after_revision)

    async def current_revision(self) -> int:
        return await self.main.current_revision()

    async def compact(self, revision: int) -> None:
        await self.main.compact(revision)

    async def compact_revision(self) -> int:
        return await self.main.compact_revision()

    async def close(self) -> None:
        await asyncio.gather(*(store.close() for store in self.stores))

    def statistics(self) -> Mapping[str, int]:
        """Of the main one, but sizes and queues are sums."""
        out = dict(self.main.statistics())
        for store in self.stores[1:]:
            for name in ("database_bytes", "queued_writes", "watches"):
                out[name] = out.get(name, 0) + store.statistics().get(name, 0)
        return out


def parts_of(storage: Storage) -> tuple[Storage, Mapping[str, Storage]]:
    """The main store, and the others by storage prefix; of one that is whole: itself."""
    if isinstance(storage, PartedStorage):
        return storage.main, storage.others
    return storage, {}
