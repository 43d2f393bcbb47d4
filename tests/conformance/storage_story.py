"""What the storage suites are told with: keys, reading a watch, and writes that are remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from kapi.storage.interface import (
    Event,
    Record,
    Storage,
)

POD = "/registry/pods/default/a"
LEASE = "/registry/leases/kube-node-lease/n1"


async def collect(watch: AsyncIterator[Sequence[Event]], upto: int) -> list[Sequence[Event]]:
    """The batches of a watch until it has given revision `upto`."""
    batches: list[Sequence[Event]] = []
    async for batch in watch:
        batches.append(batch)
        if batch[-1].revision >= upto:
            break
    return batches


class Writes:
    """A store, and the history that a test has made in it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.history: list[Event] = []
        self.now: dict[str, Record] = {}

    async def create(self, key: str, value: bytes) -> int:
        revision = await self.storage.create(key, value)
        self.now[key] = Record(key, value, revision, revision)
        self.history.append(Event("create", key, value, revision, None))
        return revision

    async def update(self, key: str, value: bytes) -> int:
        old = self.now[key]
        revision = await self.storage.update(key, value, expected_revision=old.revision)
        self.now[key] = Record(key, value, revision, old.create_revision)
        self.history.append(Event("update", key, value, revision, old))
        return revision

    async def delete(self, key: str) -> int:
        old = self.now.pop(key)
        removed, revision = await self.storage.delete(key, expected_revision=old.revision)
        assert removed == old
        self.history.append(Event("delete", key, old.value, revision, old))
        return revision
