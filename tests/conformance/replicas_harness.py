"""Several servers in the test's process over one real etcd, each with a store of its own to it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from etcd_process import one_member
from server_harness import Running, running

from kapi.assembly.stores import translated_by
from kapi.clock import SystemClock
from kapi.kinds.catalog import Catalog
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.translation import TranslatedStorage

PROTOBUF = "application/vnd.kubernetes.protobuf"


@functools.cache
def catalog() -> Catalog:
    return Catalog()


async def opened(servers: list[str], **settings: Any) -> TranslatedStorage:
    """A store as a server on etcd has it."""
    clock = SystemClock()
    storage = await EtcdStorage.open(EtcdSettings(servers=servers, **settings), clock)
    return translated_by(storage, PROTOBUF, catalog())


@asynccontextmanager
async def replica(servers: list[str], seed: int = 1, **flags: Any) -> AsyncIterator[Running]:
    storage = await opened(servers, lifetimes={"/registry/masterleases/": 15})
    more = {"etcd_servers": tuple(servers), "bind_address": "127.0.0.1", **flags}
    async with running(storage=storage, alone=False, seed=seed, **more) as run:
        yield run


@asynccontextmanager
async def replicas(directory: Path, count: int = 2, **flags: Any) -> AsyncIterator[list[Running]]:
    """So many servers, started one after the other."""
    async with AsyncExitStack() as stack:
        etcd = stack.enter_context(one_member(directory))
        yield [
            await stack.enter_async_context(replica([etcd.url], seed, **flags))
            for seed in range(1, count + 1)
        ]
