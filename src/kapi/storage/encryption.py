"""A `Storage` over another one that keeps values encrypted.

What a value is encrypted with says a `Cipher` that the composition root gives, by key; it may ask
another process for a key, so a value that waits for one is fetched before it is tried again. A
value that cannot be decrypted stops no list and no watch: it is passed on as `UNREADABLE`. One that
is not kept as it would be written now is `stale`: the next write replaces it even if nothing else
changes.

Made by `assembly/stores.py`, and only where `--encryption-provider-config` is set.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from kapi.storage.interface import (
    UNREADABLE,
    Compacted,
    Conflict,
    Corrupt,
    Event,
    ListResult,
    Record,
    Storage,
    untransformable,
)
from kapi.storage.over import OverStorage

# How often a value is tried again after a key was fetched: configurations may change meanwhile.
FETCHES_MAX: Final = 3
# Prefixes of which it is remembered when they were listed; some hundred are.
LISTED_MAX: Final = 4096


class KeyNeeded(Exception):
    """A value can be decrypted after `fetch`, which does not fail."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__("a key is needed")
        self.fetch = fetch


class Cipher(Protocol):
    """How the values under a key are kept. May be changed while the storage is used."""

    @property
    def generation(self) -> int:
        """Grows when values that could not be read may be readable now, or the reverse."""

    def encrypt(self, key: str, value: bytes) -> bytes:
        """Raises Refused."""

    def decrypt(self, key: str, value: bytes) -> tuple[bytes, bool]:
        """The value, and whether it is stale. Raises Corrupt, with the words of the real server,
        and KeyNeeded.
        """


class EncryptedStorage(OverStorage):
    """A `Storage` of values that are kept as `cipher` says."""

    def __init__(self, inner: Storage, cipher: Cipher) -> None:
        super().__init__(inner)
        self.cipher = cipher
        # By prefix: the generation in which it was last listed, from the beginning.
        self._listed: dict[str, int] = {}

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        record = await self.inner.get(key, revision=revision)
        return None if record is None else await self.record(record)

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        if not start_after:
            if len(self._listed) >= LISTED_MAX:
                self._listed.clear()
            self._listed[prefix] = self.cipher.generation
        found = await self.inner.list(
            prefix, limit=limit, start_after=start_after, revision=revision
        )
        records: builtins.list[Record] = []
        for record in found.records:
            try:
                records.append(self._decrypted(record))
            except KeyNeeded:
                records.append(await self.record(record))
        return ListResult(records, found.revision, found.remaining)

    async def create(self, key: str, value: bytes) -> int:
        return await self.inner.create(key, self.cipher.encrypt(key, value))

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        encrypted = self.cipher.encrypt(key, value)
        try:
            return await self.inner.update(key, encrypted, expected_revision=expected_revision)
        except Conflict as error:
            raise Conflict(key, await self.record(error.current)) from None

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        try:
            record, revision = await self.inner.delete(key, expected_revision=expected_revision)
        except Conflict as error:
            raise Conflict(key, await self.record(error.current)) from None
        return await self.record(record), revision

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        generation = self._listed.get(prefix, self.cipher.generation)
        return _Decrypted(self, self.inner.watch(prefix, after_revision=after_revision), generation)

    # -- one value --------------------------------------------------------------------------------

    async def record(self, record: Record) -> Record:
        for _ in range(FETCHES_MAX):
            try:
                return self._decrypted(record)
            except KeyNeeded as needed:
                await needed.fetch()
        return _unreadable(record, untransformable("the key was not found"))

    async def event(self, event: Event) -> Event:
        if not event.key:
            return event
        previous = None if event.previous is None else await self.record(event.previous)
        if event.type == "delete":
            assert previous is not None
            return Event(event.type, event.key, previous.value, event.revision, previous)
        # As a record of its own: the revision at which it was made plays no part.
        now = await self.record(Record(event.key, event.value, event.revision, 0))
        return Event(event.type, event.key, now.value, event.revision, previous)

    def _decrypted(self, record: Record) -> Record:
        try:
            value, stale = self.cipher.decrypt(record.key, record.value)
        except Corrupt as error:
            return _unreadable(record, str(error))
        if value is record.value and not stale:
            return record
        return Record(record.key, value, record.revision, record.create_revision, stale)


def _unreadable(record: Record, why: str) -> Record:
    value = UNREADABLE + why.encode()
    return Record(record.key, value, record.revision, record.create_revision)


class _Decrypted:
    """The watch of another storage, event by event. Dropping it drops the other.

    After a change of the cipher since the list that it follows, it ends with `Compacted`, so that
    everything is listed anew.
    """

    __slots__ = ("_generation", "_inner", "_storage")

    def __init__(
        self, storage: EncryptedStorage, inner: AsyncIterator[Sequence[Event]], generation: int
    ) -> None:
        self._storage = storage
        self._inner = inner
        self._generation = generation

    def __aiter__(self) -> _Decrypted:
        return self

    async def __anext__(self) -> Sequence[Event]:
        batch = await anext(self._inner)
        events = [await self._storage.event(event) for event in batch]
        if self._storage.cipher.generation != self._generation:
            raise Compacted(batch[0].revision)
        return events
