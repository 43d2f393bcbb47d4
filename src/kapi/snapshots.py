"""`kapi snapshot save|restore FILE`: everything in a store into a file, and from it into another.

The store is what the flags of `kapi serve` name: a data directory or an etcd. What is encrypted
stays as it is: who serves it later needs the keys, not who makes the copy. Saving may run beside
servers; a restore needs an empty store that nobody serves. Revisions never go back: SQLite takes
over those of the snapshot; an etcd is brought to its revision first, by as many small writes as
that takes, so that no client that knows the old ones meets an older one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kapi.assembly.stores import open_store, translated
from kapi.clock import Clock, SystemClock
from kapi.controllers import server_endpoints
from kapi.kinds.catalog import Catalog
from kapi.options.table import MEMORY, Options
from kapi.storage import keys, snapshot_file
from kapi.storage.interface import (
    ENCRYPTED,
    Record,
    Storage,
    Unavailable,
    why_unreadable,
)
from kapi.storage.parts import PartedStorage, parts_of
from kapi.storage.snapshot_file import Head
from kapi.storage.sqlite_snapshot import NotEmpty, SqliteSource, restore

if TYPE_CHECKING:
    from kapi.storage.etcd import EtcdStorage

# Which flags of `kapi serve` say where the store is.
FLAGS: Final = frozenset(
    (
        "data_dir", "config", "etcd_servers", "etcd_servers_overrides", "etcd_cafile",
        "etcd_certfile", "etcd_keyfile", "etcd_prefix", "storage_media_type", "event_ttl",
    )
)  # fmt: skip
PAGE_RECORDS: Final = 2_000
WRITES_AT_ONCE: Final = 64
# A key beside all others, written again and again to bring an etcd to a revision.
BUMP_KEY: Final = b"kapi_restored_revision"

Say = Callable[[str], None]


def save(options: Options, path: Path) -> str:
    """Write the file; a line about it. Raises StorageError, OSError."""
    if options.etcd_servers:
        return asyncio.run(_save_etcd(options, path))
    if options.data_dir == MEMORY:
        raise Unavailable("a store in memory is gone with its server: nothing to save")
    source = SqliteSource(Path(options.data_dir))
    try:
        count = snapshot_file.write(path, Head(source.revision), _kept(source.records()))
        return f"{path}: {count} objects at revision {source.revision}"
    finally:
        source.close()


def restored(options: Options, path: Path, say: Say) -> str:
    """Fill the store; a line about it. Raises StorageError, OSError."""
    head, count = snapshot_file.verify(path)
    if options.etcd_servers:
        revision = asyncio.run(_restore_etcd(options, path, head, say))
    elif options.data_dir == MEMORY:
        raise Unavailable("a store in memory has nobody to restore it for")
    else:
        restore(Path(options.data_dir), head.revision, snapshot_file.read(path))
        revision = head.revision
    return f"{path}: {count} objects restored, at revision {revision}"


def _kept(records: Iterable[Record]) -> Iterable[Record]:
    """Without what says that a server lives."""
    return (r for r in records if not r.key.startswith(server_endpoints.LEASES))


async def _save_etcd(options: Options, path: Path) -> str:
    storage = await _opened(options, SystemClock())
    try:
        records: list[Record] = []
        revision = 0
        for store in _stores(storage):
            at = await store.current_revision()
            records += [r for r in await _all(store, at) if _of(storage, r.key) is store]
            revision = max(revision, at)
        records.sort(key=lambda record: record.key)
        for record in records:
            why = "" if record.value.startswith(ENCRYPTED) else why_unreadable(record.value)
            if why:
                raise Unavailable(f"{record.key} cannot be read: {why}")
        count = snapshot_file.write(path, Head(revision), _kept(records))
        return f"{path}: {count} objects at revision {revision}"
    finally:
        await storage.close()


async def _all(store: Storage, revision: int) -> list[Record]:
    """Everything in a store as of a revision."""
    records: list[Record] = []
    start = ""
    while True:
        page = await store.list(keys.ROOT, limit=PAGE_RECORDS, start_after=start, revision=revision)
        records += page.records
        if not page.remaining:
            return records
        start = page.records[-1].key


def _stores(storage: Storage) -> list[Storage]:
    return storage.stores if isinstance(storage, PartedStorage) else [storage]


def _of(storage: Storage, key: str) -> Storage:
    return storage.of(key) if isinstance(storage, PartedStorage) else storage


async def _used(storage: Storage) -> bool:
    """Whether there is something where a restore would write."""
    main, others = parts_of(storage)
    found = [await main.list(keys.ROOT, limit=1)]
    found += [await s.list(f"{keys.ROOT}{prefix}/", limit=1) for prefix, s in others.items()]
    return any(page.records for page in found)


async def _opened(options: Options, clock: Clock) -> Storage:
    return translated(await open_store(options, clock), options, Catalog(), sealed=True)


async def _restore_etcd(options: Options, path: Path, head: Head, say: Say) -> int:
    storage = await _opened(options, SystemClock())
    try:
        if await _used(storage):
            where = ",".join(options.etcd_servers)
            raise NotEmpty(
                f"{options.etcd_prefix} in {where} is not empty: restore into an empty one"
            )
        for store in _stores(storage):
            await _bump(store, head.revision, say)
        slots = asyncio.Semaphore(WRITES_AT_ONCE)

        async def put(record: Record) -> None:
            async with slots:
                await storage.create(record.key, record.value)

        pending: list[Record] = []
        for record in snapshot_file.read(path):
            pending.append(record)
            if len(pending) >= PAGE_RECORDS:
                await asyncio.gather(*map(put, pending))
                pending = []
        await asyncio.gather(*map(put, pending))
        return await storage.current_revision()
    finally:
        await storage.close()


async def _bump(storage: Storage, revision: int, say: Say) -> None:
    """Bring an etcd to a revision."""
    from kapi.storage import etcd_messages as messages

    inner: EtcdStorage = getattr(storage, "inner")  # noqa: B009
    missing = revision - await storage.current_revision()
    if missing <= 0:
        return
    say(f"bringing etcd to revision {revision}: {missing} small writes")
    request = messages.put_request(BUMP_KEY, str(revision).encode())

    async def write(count: int) -> None:
        for _ in range(count):
            await inner.client.write("KV/Put", request)

    share, rest = divmod(missing, WRITES_AT_ONCE)
    await asyncio.gather(*(write(share + (i < rest)) for i in range(WRITES_AT_ONCE)))
    # All of them are of one key: nothing of that needs to stay.
    await storage.compact(await storage.current_revision())
