"""Which store the flags name, opened: memory, SQLite in the data directory, or etcd.

Called by `server.py` once at the start. What only one store needs is imported with it: a server on
SQLite never loads what speaks to etcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from kapi import log
from kapi.assembly.stored_forms import StoredForms
from kapi.clock import Clock
from kapi.controllers import server_endpoints
from kapi.kinds.catalog import Catalog
from kapi.options.table import MEMORY, Options
from kapi.registry.fresh import Fresh
from kapi.storage import keys, overrides
from kapi.storage.encryption import Cipher, EncryptedStorage
from kapi.storage.interface import ENCRYPTED, Storage, StorageError
from kapi.storage.memory import MemoryStorage
from kapi.storage.parts import PartedStorage, parts_of
from kapi.storage.translation import Forms, TranslatedStorage

# What is stored without being served: (storage prefix, apiVersion, kind).
EXTRA = (("masterleases", "v1", "Endpoints"), ("ranges", "v1", "RangeAllocation"))

_log = log.get("stores")


class NoEtcdLibrary(StorageError):
    """--etcd-servers was given, but what speaks to etcd is not installed."""


async def open_store(options: Options, clock: Clock) -> Storage:
    """What the flags name; a `PartedStorage` if that is several. Raises StorageError."""
    if options.etcd_servers:
        return await _open_etcd(options, clock)
    if options.data_dir == MEMORY:
        return MemoryStorage()
    from kapi.storage.sqlite import SqliteStorage

    return await SqliteStorage.open(Path(options.data_dir))


def translated(
    storage: Storage,
    options: Options,
    catalog: Catalog,
    cipher: Cipher | None = None,
    *,
    sealed: bool = False,
    fresh: Fresh | None = None,
) -> Storage:
    """The store as kapi works with it: in etcd, objects have the form of the real server; `cipher`
    says how they are encrypted. `sealed`: those that are encrypted pass as they are. `fresh`: may
    have the object of a value that is written.
    """
    main, others = parts_of(storage)
    if isinstance(main, TranslatedStorage):
        return storage
    if cipher is not None:
        encrypted = {store: EncryptedStorage(store, cipher) for store in (main, *others.values())}
        main, others = encrypted[main], {p: encrypted[store] for p, store in others.items()}
    if not options.etcd_servers:
        return main
    cbor = options.gates["CBORServingAndStorage"]
    forms = _forms(options.storage_media_type, catalog, cbor=cbor, fresh=fresh)
    shown: Forms = Sealed(forms) if sealed else forms
    made = {store: TranslatedStorage(store, shown) for store in (main, *others.values())}
    if not others:
        return made[main]
    return PartedStorage(made[main], {prefix: made[store] for prefix, store in others.items()})


class Sealed:
    """A `Forms` that leaves alone what is encrypted."""

    def __init__(self, inner: Forms) -> None:
        self._inner = inner

    def encode(self, key: str, value: bytes) -> bytes:
        return value if value.startswith(ENCRYPTED) else self._inner.encode(key, value)

    def decode(self, key: str, value: bytes) -> bytes:
        return value if value.startswith(ENCRYPTED) else self._inner.decode(key, value)


def json_of_messages(catalog: Catalog) -> Callable[[str, bytes], bytes]:
    """What makes JSON of a value that an etcd had; for stores that keep JSON only. Raises Corrupt.

    Objects that are encrypted move from one store to another as they are.
    """

    @cache
    def forms() -> StoredForms:
        return _forms("application/json", catalog)

    return lambda key, value: forms().decode(key, value)


def translated_by(storage: Storage, media_type: str, catalog: Catalog) -> TranslatedStorage:
    """A store of the real server's forms, as kapi works with it."""
    return TranslatedStorage(storage, _forms(media_type, catalog))


def _forms(
    media_type: str, catalog: Catalog, *, cbor: bool = False, fresh: Fresh | None = None
) -> StoredForms:
    """`cbor`: of custom objects."""
    everything = catalog.resources({"api/all": True})
    return StoredForms(catalog.schema_of, everything, EXTRA, media_type, cbor=cbor, fresh=fresh)


async def _open_etcd(options: Options, clock: Clock) -> Storage:
    try:
        from kapi.storage.etcd import EtcdStorage
        from kapi.storage.etcd_client import EtcdFiles, EtcdSettings
    except ImportError as error:
        raise NoEtcdLibrary(
            "--etcd-servers needs the package hpack: pip install 'kapi[etcd]'"
        ) from error
    settings = EtcdSettings(
        servers=options.etcd_servers,
        files=EtcdFiles(options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile),
        prefix=options.etcd_prefix,
        lifetimes={
            f"{keys.ROOT}events/": int(options.event_ttl),
            server_endpoints.LEASES: server_endpoints.LEASE_S,
        },
    )
    opened: dict[frozenset[str], Storage] = {}
    others: dict[str, Storage] = {}
    try:
        main = await EtcdStorage.open(settings, clock)
        opened[frozenset(options.etcd_servers)] = main
        for prefix, servers in _elsewhere(options).items():
            which = frozenset(servers)
            if which not in opened:
                opened[which] = await EtcdStorage.open(replace(settings, servers=servers), clock)
            others[prefix] = opened[which]
    except BaseException:
        await asyncio.gather(*(store.close() for store in opened.values()))
        raise
    others = {prefix: store for prefix, store in others.items() if store is not main}
    return PartedStorage(main, others) if others else main


def _elsewhere(options: Options) -> Mapping[str, tuple[str, ...]]:
    """The servers of what is kept in another etcd, by storage prefix; in the order of the flag."""
    if not options.etcd_servers_overrides:
        return {}
    wanted = overrides.parse(options.etcd_servers_overrides)
    known = [
        (r.group, r.plural, r.storage_prefix)
        for r in Catalog().resources({"api/all": True})
        if r.stored_in_store
    ]
    for name in overrides.unused(wanted, known):
        _log.warning("--etcd-servers-overrides: no such resource", resource=name)
    placed = overrides.placed(wanted, known)
    rank = {servers: at for at, servers in reversed([*enumerate(o.servers for o in wanted)])}
    return dict(sorted(placed.items(), key=lambda item: rank[item[1]]))
