"""The loops that run beside requests: compaction, the end of events, the status of flow schemas,
custom kinds, and the housekeeping controllers that are switched on.

`server.py` starts them when everything is there and cancels them first when it stops.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kapi.admission.quotas.gate import QuotaGate
from kapi.apiextensions.definitions import Definitions
from kapi.assembly.aggregation import Aggregation
from kapi.assembly.authority import Authority
from kapi.assembly.identity import Identity
from kapi.assembly.shown_options import bootstrap_settings
from kapi.background import replicas
from kapi.cacher.cacher import Cacher
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.controllers import fixed_objects, flow_status, identity_lease
from kapi.controllers.default_service_range import DefaultServiceRange
from kapi.controllers.event_expiry import EventExpiry
from kapi.controllers.flow_status import FlowStatus
from kapi.controllers.follow import Begin, Watching
from kapi.controllers.identity_lease import IdentityLease
from kapi.controllers.objects import Fixed
from kapi.controllers.service_repair import ServiceRepair
from kapi.controllers.upkeep import Upkeep
from kapi.flowcontrol.levels import FlowControl
from kapi.kinds.definitions import apiextensions
from kapi.kinds.server import apiregistration
from kapi.options.table import Options
from kapi.registry import list_options
from kapi.registry.allocation.allocate import ServiceAllocation
from kapi.registry.allocation.shared import SharedAllocation
from kapi.registry.in_process import InProcess
from kapi.registry.read import Reader
from kapi.registry.resource import ResourceTable, ResourceType
from kapi.storage.compaction import Compactor
from kapi.storage.interface import Storage

if TYPE_CHECKING:
    from kapi.storage.etcd_probe import Probe

Json = dict[str, Any]
FOREVER_SECONDS = 10 * 365 * 86400.0  # a watch of the server's own does not time out


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    options: Options
    clock: Clock
    entropy: Entropy
    storage: Storage
    table: ResourceTable
    cacher: Cacher
    reader: Reader
    in_process: InProcess
    quota_gate: QuotaGate | None
    fixed: fixed_objects.Bootstrap  # what every server holds
    definitions: Definitions
    aggregation: Aggregation
    allocation: ServiceAllocation | SharedAllocation
    flow_control: FlowControl | None  # None: switched off
    probes: Sequence[Probe]
    who: Identity
    authority: Authority
    draining: Callable[[], bool]

    def resource(self, group: str, plural: str) -> ResourceType:
        found = self.table.get(group, plural)
        assert found is not None, "kinds that the server itself needs are always there"
        return found


# What the availability of other servers hangs on.
_LOOKED_AT = (("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices"))


async def start(d: Dependencies) -> list[asyncio.Task[None]]:
    """One task per loop; the caller cancels and awaits them."""
    loops: dict[str, Coroutine[Any, Any, None]] = {
        "upkeep": _upkeep(d),
        "api-services": d.aggregation.tending.run(
            _watch(d, d.resource(apiregistration.GROUP, "apiservices")),
            *(_watch(d, d.resource(*known)) for known in _LOOKED_AT),
        ),
        "api-service-registration": _registration(d),
        "definitions": d.definitions.run(
            _watch(d, d.resource(apiextensions.GROUP, apiextensions.PLURAL))
        ),
    }
    if d.flow_control is not None:
        loops |= {"flow-control": d.flow_control.run(), "flow-status": _flow_status(d)}
    ranges = DefaultServiceRange(d.clock, d.in_process, d.options.service_cluster_ip_range)
    await ranges.step()
    loops["service-ranges"] = ranges.run()
    if d.options.gates["APIServerIdentity"]:
        lease = _identity(d)
        await lease.step()
        loops["identity"] = lease.run()
    loops |= _shared(d) if isinstance(d.allocation, SharedAllocation) else _alone(d)
    if d.options.housekeeping:
        loops |= _housekeeping(d)
    for file in (d.who.file, d.authority.file):
        if file is not None:
            loops[f"reload {file.path}"] = file.run()
    if d.who.issuers is not None:
        loops["jwt-issuers"] = d.who.issuers.run()
    loop = asyncio.get_running_loop()
    return [loop.create_task(run, name=name) for name, run in loops.items()]


async def _registration(d: Dependencies) -> None:
    definitions = d.resource(apiextensions.GROUP, apiextensions.PLURAL)
    services = d.resource(apiregistration.GROUP, "apiservices")
    there = Lister(d.cacher, definitions).list()
    await d.aggregation.registration.run(there, _watch(d, definitions), _watch(d, services))


def _alone(d: Dependencies) -> dict[str, Coroutine[Any, Any, None]]:
    """What a server does whose store is its own."""
    loops = {"event-expiry": _event_expiry(d), "service-repair": _service_repair(d)}
    if d.options.etcd_compaction_interval:  # else all history is kept
        interval = d.options.etcd_compaction_interval
        loops["compactor"] = Compactor(d.storage, d.clock, interval=interval).run()
    return loops


def _identity(d: Dependencies) -> IdentityLease:
    leases = d.resource(identity_lease.GROUP, identity_lease.PLURAL)

    async def remove(name: str, revision: str) -> None:
        await d.in_process.delete(
            leases.group, leases.plural, identity_lease.NAMESPACE, name, version_is=revision
        )

    host, lister = socket.gethostname(), Lister(d.cacher, leases)
    return IdentityLease(d.clock, d.entropy, host, d.in_process, lister, remove)


async def _upkeep(d: Dependencies) -> None:
    def wanted() -> list[Fixed]:
        return fixed_objects.kept(d.fixed, bootstrap_settings(d.options), d.clock)

    def lister(group: str, plural: str) -> Lister:
        return Lister(d.cacher, d.resource(group, plural))

    await Upkeep(d.clock, wanted, lister, d.in_process).run()


async def _service_repair(d: Dependencies) -> None:
    assert isinstance(d.allocation, ServiceAllocation)
    ports = d.options.service_node_port_range
    repair = ServiceRepair(
        d.clock,
        d.entropy,
        Lister(d.cacher, d.resource("", "services")),
        Lister(d.cacher, d.resource("networking.k8s.io", "ipaddresses")),
        d.in_process,
        d.allocation,
        [ip_network(cidr) for cidr in d.options.service_cluster_ip_range],
        (ports.first, ports.last),
    )
    await repair.run()


def _shared(d: Dependencies) -> dict[str, Coroutine[Any, Any, None]]:
    assert isinstance(d.allocation, SharedAllocation)
    return dict(
        replicas.loops(
            d.options,
            d.clock,
            d.entropy,
            d.storage,
            d.in_process,
            d.allocation,
            Lister(d.cacher, d.resource("", "services")),
            Lister(d.cacher, d.resource("networking.k8s.io", "ipaddresses")),
            d.probes,
        )
    )


def _housekeeping(d: Dependencies) -> dict[str, Coroutine[Any, Any, None]]:
    from kapi.housekeeping import leader, runner, start  # nobody else needs it

    bundle = d.options.root_ca_file or d.options.tls_cert_file
    parts = start.Parts(
        table=d.table,
        cacher=d.cacher,
        objects=d.in_process,
        clock=d.clock,
        root_ca=Path(bundle).read_text() if bundle else "",
        quota_gate=d.quota_gate,
    )
    if isinstance(d.allocation, SharedAllocation):  # other servers may do the same
        leases = Lister(d.cacher, d.resource(leader.GROUP, leader.PLURAL))
        elected = leader.Leader(
            d.clock,
            d.entropy,
            socket.gethostname(),
            d.in_process,
            lambda: leases.get(leader.NAMESPACE, leader.NAME),
        )
        names = d.options.housekeeping
        return {replicas.CONTROLLERS_TASK: elected.run(lambda: start.run(parts, names))}
    made = start.controllers(parts, d.options.housekeeping)
    return {f"controller-{c.name}": runner.run(c) for c in made}


async def _event_expiry(d: Dependencies) -> None:
    cache = d.cacher.cache(d.resource("", "events"))
    assert cache is not None, "a stored resource has a cache"

    async def remove(namespace: str, name: str, revision: int) -> None:
        await d.in_process.delete("", "events", namespace, name, version_is=str(revision))

    await EventExpiry(d.clock, d.options.event_ttl, remove).run(cache.list)


async def _flow_status(d: Dependencies) -> None:
    group = flow_status.GROUP
    schemas = d.resource(group, "flowschemas")
    levels = d.resource(group, "prioritylevelconfigurations")

    async def apply(config: Json, manager: str) -> None:
        await d.in_process.apply(group, schemas.plural, "status", config, manager)

    status = FlowStatus(d.clock, Lister(d.cacher, schemas), Lister(d.cacher, levels), apply)
    await status.run(_watch(d, schemas), _watch(d, levels))


def _watch(d: Dependencies, resource: ResourceType) -> Begin:
    async def begin() -> Watching | None:
        if d.draining():
            return None
        return await d.reader.watch(resource, "", list_options.EVERYTHING, FOREVER_SECONDS)

    return begin
