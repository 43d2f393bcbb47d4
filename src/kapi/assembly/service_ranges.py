"""The allocation of services' addresses and ports as the options ask for it, with what the stored
services have. Called by `server.py` at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from kapi import log
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.options.table import Options
from kapi.registry.allocation.allocate import ServiceAllocation
from kapi.registry.allocation.ip_objects import GROUP, PLURAL
from kapi.registry.allocation.port_range import PortRange
from kapi.registry.allocation.shared import Objects, SharedAllocation
from kapi.storage.interface import Storage

IP_ADDRESSES = (GROUP, PLURAL)

_log = log.get("service_ranges")


@dataclass(frozen=True, slots=True)
class Stored:
    """What says which addresses and ports are taken."""

    services: Lister
    addresses: Lister
    storage: Storage


def build(
    options: Options, clock: Clock, entropy: Entropy, objects: Objects, stored: Stored
) -> ServiceAllocation | SharedAllocation:
    """Of this server alone, or of several that share a store. What the stored services have is
    taken; what is wrong among them is logged.
    """
    first, last = options.service_node_port_range.first, options.service_node_port_range.last
    ranges = [ip_network(cidr) for cidr in options.service_cluster_ip_range]
    if options.etcd_servers:
        return SharedAllocation(
            ranges,
            PortRange(stored.storage, first, last),
            clock,
            entropy,
            objects,
            stored.addresses.names,
        )
    allocation = ServiceAllocation(ranges, (first, last), entropy, objects)
    for complaint in allocation.restore(stored.services.list()):
        _log.warning("service address", problem=complaint)
    return allocation
