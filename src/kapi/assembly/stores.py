"""Which store the flags name, opened: memory, SQLite in the data directory, or etcd.

Called by `server.py` once at the start. What only one store needs is imported with it: a server on
SQLite never loads gRPC.
"""

from __future__ import annotations

from pathlib import Path

from kapi.assembly.stored_forms import StoredForms
from kapi.clock import Clock
from kapi.controllers import server_endpoints
from kapi.kinds.catalog import Catalog
from kapi.options.table import MEMORY, Options
from kapi.storage import keys
from kapi.storage.interface import Storage, StorageError
from kapi.storage.memory import MemoryStorage
from kapi.storage.translation import TranslatedStorage

# What is stored without being served: (storage prefix, apiVersion, kind).
EXTRA = (("masterleases", "v1", "Endpoints"), ("ranges", "v1", "RangeAllocation"))


class NoEtcdLibrary(StorageError):
    """--etcd-servers was given, but what speaks to etcd is not installed."""


async def open_store(options: Options, clock: Clock) -> Storage:
    """Raises StorageError."""
    if options.etcd_servers:
        return await _open_etcd(options, clock)
    if options.data_dir == MEMORY:
        return MemoryStorage()
    from kapi.storage.sqlite import SqliteStorage

    return await SqliteStorage.open(Path(options.data_dir))


def translated(storage: Storage, options: Options, catalog: Catalog) -> Storage:
    """The store as kapi works with it: in etcd, objects have the form of the real server."""
    if not options.etcd_servers or isinstance(storage, TranslatedStorage):
        return storage
    return translated_by(storage, options.storage_media_type, catalog)


def translated_by(storage: Storage, media_type: str, catalog: Catalog) -> TranslatedStorage:
    """A store of the real server's forms, as kapi works with it."""
    everything = catalog.resources({"api/all": True})
    forms = StoredForms(catalog.schema_of, everything, EXTRA, media_type)
    return TranslatedStorage(storage, forms)


async def _open_etcd(options: Options, clock: Clock) -> Storage:
    try:
        from kapi.storage.etcd import EtcdStorage
        from kapi.storage.etcd_client import EtcdFiles, EtcdSettings
    except ImportError as error:
        raise NoEtcdLibrary(
            "--etcd-servers needs the package grpcio: pip install 'kapi[etcd]'"
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
    return await EtcdStorage.open(settings, clock)
