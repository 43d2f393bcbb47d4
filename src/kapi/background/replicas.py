"""The loops of a server that shares its store with others: who lives, what is leaked, what is old.

`loops.py` starts them in the place of what a server alone does.
"""

from __future__ import annotations

import functools
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kapi import log
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.controllers.kubernetes_service import is_reachable
from kapi.controllers.objects import Objects
from kapi.controllers.server_endpoints import ServerEndpoints
from kapi.errors import ApiError
from kapi.handlers.documents.health import Check
from kapi.options.table import Options
from kapi.registry.allocation.shared import SharedAllocation
from kapi.storage.interface import Storage, StorageError
from kapi.storage.parts import parts_of

if TYPE_CHECKING:  # gRPC comes with them: only where the store is in etcd
    from kapi.storage.etcd import EtcdStorage
    from kapi.storage.etcd_probe import Probe

# How often claims and services are brought in line, in seconds, as on the real server.
REPAIR_S: Final = 180.0
# The tasks that shutdown ends first, so that others take over at once.
ENDPOINTS_TASK: Final = "server-endpoints"
CONTROLLERS_TASK: Final = "elected-controllers"
ENDED_FIRST: Final = frozenset((ENDPOINTS_TASK, CONTROLLERS_TASK))
# Checks; by their names those of further stores are excluded, too.
ETCD: Final = "etcd"
ETCD_READINESS: Final = "etcd-readiness"

_log = log.get("replicas")


def probes_of(storage: Storage, options: Options, clock: Clock) -> list[Probe]:
    """What is known of the health of stores that are other processes, the main one first."""
    if not options.etcd_servers:
        return []
    from kapi.storage.etcd_probe import Probe

    alive, ready = options.etcd_healthcheck_timeout, options.etcd_readycheck_timeout
    return [Probe(s, clock, alive_s=alive, ready_s=ready) for s in _etcds(storage)]


def etcds(storage: Storage, options: Options) -> list[EtcdStorage]:
    """The stores that are etcds, the main one first."""
    return _etcds(storage) if options.etcd_servers else []


def checks(probes: Sequence[Probe]) -> list[Check]:
    """The checks about them."""
    found = []
    for at, probe in enumerate(probes):
        # The first further store is etcd-override-0.
        health, ready = (ETCD, ETCD_READINESS) if at == 0 else _override_checks(at - 1)
        found += [
            Check(health, functools.partial(getattr, probe, "alive"), group=ETCD),
            Check(
                ready, functools.partial(getattr, probe, "ready"), live=False, group=ETCD_READINESS
            ),
        ]
    return found


def _override_checks(at: int) -> tuple[str, str]:
    return f"etcd-override-{at}", f"etcd-override-readiness-{at}"


def _etcds(storage: Storage) -> list[EtcdStorage]:
    from kapi.storage.etcd import EtcdStorage

    main, others = parts_of(storage)
    found = []
    for store in dict.fromkeys((main, *others.values())):
        inner = store
        while not isinstance(inner, EtcdStorage):  # what stands before it
            inner = getattr(inner, "inner")  # noqa: B009
        found.append(inner)
    return found


def loops(
    options: Options,
    clock: Clock,
    entropy: Entropy,
    storage: Storage,
    objects: Objects,
    allocation: SharedAllocation,
    services: Lister,
    addresses: Lister,
    probes: Sequence[Probe],
) -> Mapping[str, Coroutine[Any, Any, None]]:
    """By the name of the task."""
    out = {"service-repair": _repair(allocation, services, addresses, clock, entropy)}
    interval = options.etcd_compaction_interval
    for at, (probe, store) in enumerate(zip(probes, _etcds(storage), strict=True)):
        out[f"etcd-probe-{at}"] = probe.run()
        if interval:
            out[f"compactor-{at}"] = _compact(store, clock, interval)
    address = options.reached_at
    if options.endpoint_reconciler_type == "lease" and address and is_reachable(address):
        port = options.secure_port
        out[ENDPOINTS_TASK] = _endpoints(ServerEndpoints(storage, objects, clock, address, port))
    return out


async def _compact(storage: EtcdStorage, clock: Clock, interval: float) -> None:
    from kapi.storage.etcd_compaction import EtcdCompactor

    await EtcdCompactor(storage, clock, interval=interval).run()


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
