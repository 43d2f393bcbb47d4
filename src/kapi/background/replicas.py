"""The loops of a server that shares its store with others: who lives, what is leaked, what is old.

`loops.py` starts them in the place of what a server alone does.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from kapi import log
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.controllers.kubernetes_service import is_reachable
from kapi.controllers.objects import Objects
from kapi.controllers.server_endpoints import ServerEndpoints
from kapi.errors import ApiError
from kapi.handlers.health import Check
from kapi.options.table import Options
from kapi.registry.shared_allocation import SharedAllocation
from kapi.storage.interface import Storage, StorageError

if TYPE_CHECKING:  # gRPC comes with them: only where the store is in etcd
    from kapi.storage.etcd import EtcdStorage
    from kapi.storage.etcd_probe import Probe

# How often claims and services are brought in line, in seconds, as on the real server.
REPAIR_S: Final = 180.0
# The task that shutdown ends first.
ENDPOINTS_TASK: Final = "server-endpoints"

_log = log.get("replicas")


def probe_of(storage: Storage, options: Options, clock: Clock) -> Probe | None:
    """What is known of the health of a store that is another process."""
    if not options.etcd_servers:
        return None
    from kapi.storage.etcd_probe import Probe

    alive, ready = options.etcd_healthcheck_timeout, options.etcd_readycheck_timeout
    return Probe(_etcd(storage), clock, alive_s=alive, ready_s=ready)


def checks(probe: Probe | None) -> list[Check]:
    """The checks about it."""
    if probe is None:
        return []
    return [
        Check("etcd", lambda: probe.alive),
        Check("etcd-readiness", lambda: probe.ready, live=False),
    ]


def _etcd(storage: Storage) -> EtcdStorage:
    from kapi.storage.etcd import EtcdStorage

    inner = getattr(storage, "inner", storage)
    assert isinstance(inner, EtcdStorage)
    return inner


def loops(
    options: Options,
    clock: Clock,
    entropy: Entropy,
    storage: Storage,
    objects: Objects,
    allocation: SharedAllocation,
    services: Lister,
    addresses: Lister,
    probe: Probe,
) -> Mapping[str, Coroutine[Any, Any, None]]:
    """By the name of the task."""
    out = {"service-repair": _repair(allocation, services, addresses, clock, entropy)}
    out["etcd-probe"] = probe.run()
    if options.etcd_compaction_interval:
        out["compactor"] = _compact(storage, clock, options.etcd_compaction_interval)
    address = options.advertise_address or options.bind_address
    if options.endpoint_reconciler_type == "lease" and address and is_reachable(address):
        port = options.secure_port
        out[ENDPOINTS_TASK] = _endpoints(ServerEndpoints(storage, objects, clock, address, port))
    return out


async def _compact(storage: Storage, clock: Clock, interval: float) -> None:
    from kapi.storage.etcd_compaction import EtcdCompactor

    await EtcdCompactor(_etcd(storage), clock, interval=interval).run()


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
