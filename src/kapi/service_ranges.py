"""The allocation of services' addresses and ports as the options ask for it, with what the stored
services have. Called by `server.py` at the start.
"""

from __future__ import annotations

from ipaddress import ip_network

from kapi import log
from kapi.cacher.lister import Lister
from kapi.clock import Entropy
from kapi.options import Options
from kapi.registry.allocate import ServiceAllocation
from kapi.registry.ip_objects import GROUP, PLURAL, Objects

IP_ADDRESSES = (GROUP, PLURAL)

_log = log.get("service_ranges")


def build(
    options: Options, entropy: Entropy, objects: Objects, services: Lister
) -> ServiceAllocation:
    """What the stored services have is taken; what is wrong among them is logged."""
    ports = options.service_node_port_range
    ranges = [ip_network(cidr) for cidr in options.service_cluster_ip_range]
    allocation = ServiceAllocation(ranges, (ports.first, ports.last), entropy, objects)
    for complaint in allocation.restore(services.list()):
        _log.warning("service address", problem=complaint)
    return allocation
