"""A `Storage` over another one in which values have a different form.

kapi's cache and registry work on the JSON of an object in its stored version. etcd holds what the
real server writes: Protocol Buffers for most kinds. `TranslatedStorage` stands between; what the
forms are says a `Forms` that the composition root gives, by key, so that nothing here knows of
kinds.

A value that cannot be read (encrypted, damaged, of an unknown kind) must not stop a list or a watch
of everything: it is passed on as such (`UNREADABLE`), which whoever looks inside recognizes with
`check_readable`.

What was translated of late is remembered, at most two values of a key: so the event of a write of
our own, and what it replaced, cost nothing.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from kapi.storage.interface import (
    UNREADABLE,
    Conflict,
    Corrupt,
    Event,
    ListResult,
    Record,
    Storage,
    why_unreadable,
)
from kapi.storage.over import OverStorage

# Bytes of values that are remembered in both forms.
KNOWN_BYTES_MAX: Final = 16 * 1024 * 1024
ENTRY_BYTES: Final = 400


class Forms(Protocol):
    """How the values under a key are kept."""

    def encode(self, key: str, value: bytes) -> bytes: ...

    def decode(self, key: str, value: bytes) -> bytes:
        """Raises Corrupt, with the words of the real server."""


class TranslatedStorage(OverStorage):
    """A `Storage` whose values are JSON, over one whose values are as `forms` says."""

    def __init__(self, inner: Storage, forms: Forms) -> None:
        super().__init__(inner)
        self._forms = forms
        self._known: OrderedDict[str, builtins.list[tuple[bytes, bytes]]] = OrderedDict()
        self._known_bytes = 0
        self.decoded = 0  # values that had to be translated

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        record = await self.inner.get(key, revision=revision)
        return None if record is None else self._record(record)

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        found = await self.inner.list(
            prefix, limit=limit, start_after=start_after, revision=revision
        )
        records = [self._record(record, remember=False) for record in found.records]
        return ListResult(records, found.revision, found.remaining)

    async def create(self, key: str, value: bytes) -> int:
        return await self.inner.create(key, self._encode(key, value))

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        encoded = self._encode(key, value)
        try:
            return await self.inner.update(key, encoded, expected_revision=expected_revision)
        except Conflict as error:
            raise Conflict(key, self._record(error.current)) from None

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        try:
            record, revision = await self.inner.delete(key, expected_revision=expected_revision)
        except Conflict as error:
            raise Conflict(key, self._record(error.current)) from None
        return self._record(record), revision

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return _Translated(self, self.inner.watch(prefix, after_revision=after_revision))

    def statistics(self) -> Mapping[str, int]:
        return {**super().statistics(), "decoded_values": self.decoded}

    # -- one value --------------------------------------------------------------------------------

    def event(self, event: Event) -> Event:
        if not event.key:
            return event
        previous = None if event.previous is None else self._record(event.previous)
        if event.type == "delete":
            assert previous is not None
            return Event(event.type, event.key, previous.value, event.revision, previous)
        value = self._decode(event.key, event.value, event.revision)
        return Event(event.type, event.key, value, event.revision, previous)

    def _record(self, record: Record, *, remember: bool = True) -> Record:
        revision = record.revision
        value = self._decode(record.key, record.value, revision, remember=remember)
        return Record(record.key, value, revision, record.create_revision, record.stale)

    def _encode(self, key: str, value: bytes) -> bytes:
        encoded = self._forms.encode(key, value)
        self._remember(key, encoded, value)
        return encoded

    def _decode(self, key: str, value: bytes, revision: int, *, remember: bool = True) -> bytes:
        for encoded, known in self._known.get(key, ()):
            if encoded == value:
                return known
        self.decoded += 1
        try:
            decoded = self._forms.decode(key, value)
        except Corrupt as error:
            words = why_unreadable(value) or f"object not decodable revision={revision}: {error}"
            return UNREADABLE + words.encode()
        if remember:
            self._remember(key, value, decoded)
        return decoded

    def _remember(self, key: str, encoded: bytes, value: bytes) -> None:
        entries = self._known.pop(key, [])
        entries.append((encoded, value))
        self._known_bytes += _size(encoded, value)
        if len(entries) > 2:
            self._known_bytes -= _size(*entries.pop(0))
        self._known[key] = entries
        while self._known_bytes > KNOWN_BYTES_MAX:
            _, oldest = self._known.popitem(last=False)
            self._known_bytes -= sum(_size(*entry) for entry in oldest)


def _size(encoded: bytes, value: bytes) -> int:
    return len(encoded) + len(value) + ENTRY_BYTES


class _Translated:
    """The watch of another storage, event by event. Dropping it drops the other."""

    __slots__ = ("_inner", "_storage")

    def __init__(self, storage: TranslatedStorage, inner: AsyncIterator[Sequence[Event]]) -> None:
        self._storage = storage
        self._inner = inner

    def __aiter__(self) -> _Translated:
        return self

    async def __anext__(self) -> Sequence[Event]:
        batch = await anext(self._inner)
        return [self._storage.event(event) for event in batch]
