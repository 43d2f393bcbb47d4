"""The loops of a server that shares its store with others: who lives, what is leaked, what is old.

`background.py` starts them in the place of what a server alone does.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Final

from kapi import log
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.controllers.kubernetes_service import is_reachable
from kapi.controllers.objects import Objects
from kapi.controllers.server_endpoints import ServerEndpoints
from kapi.errors import ApiError
from kapi.options import Options
from kapi.registry.shared_allocation import SharedAllocation
from kapi.storage.interface import Storage, StorageError

# How often claims and services are brought in line, in seconds, as on the real server.
REPAIR_S: Final = 180.0
# The task that shutdown ends first.
ENDPOINTS_TASK: Final = "server-endpoints"

_log = log.get("replicas")


def loops(
    options: Options,
    clock: Clock,
    entropy: Entropy,
    storage: Storage,
    objects: Objects,
    allocation: SharedAllocation,
    services: Lister,
    addresses: Lister,
) -> Mapping[str, Coroutine[Any, Any, None]]:
    """By the name of the task."""
    out = {"service-repair": _repair(allocation, services, addresses, clock, entropy)}
    if options.etcd_compaction_interval:
        out["compactor"] = _compact(storage, clock, options.etcd_compaction_interval)
    address = options.advertise_address or options.bind_address
    if options.endpoint_reconciler_type == "lease" and address and is_reachable(address):
        port = options.secure_port
        out[ENDPOINTS_TASK] = _endpoints(ServerEndpoints(storage, objects, clock, address, port))
    return out


async def _compact(storage: Storage, clock: Clock, interval: float) -> None:
    from kapi.storage.etcd import EtcdStorage
    from kapi.storage.etcd_compaction import EtcdCompactor

    inner = getattr(storage, "inner", storage)
    assert isinstance(inner, EtcdStorage)
    await EtcdCompactor(inner, clock, interval=interval).run()


async def _endpoints(endpoints: ServerEndpoints) -> None:
    try:
        await endpoints.run()
    finally:
        await endpoints.stop()


async def _repair(
    allocation: SharedAllocation,
    services: Lister,
    addresses: Lister,
    clock: Clock,
    entropy: Entropy,
) -> None:
    while True:
        # The spread keeps the servers from doing it at the same time.
        await clock.sleep(REPAIR_S * entropy.jitter(0.9, 1.1))
        try:
            await allocation.restore_objects(services.list(), addresses.list())
        except (ApiError, StorageError) as error:
            _log.warning("service allocation", error=str(error))
