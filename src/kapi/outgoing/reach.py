"""Which addresses may be called for somebody else: what pods, nodes and endpoints claim to be.

Whoever writes a node's or a pod's status, or an endpoint, names an address that this server then
calls with its own place in the network. So loopback, link-local, multicast and metadata addresses
are refused, unless a flag allows them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from kapi.outgoing.dial import Address

# Services of clouds that tell secrets to whoever is on the machine, where no link-local address
# says so: AWS over IPv6, Alibaba, Oracle.
METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
)
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def proxyable(allowed: Sequence[str]) -> Callable[[Address], bool]:
    """Go's IsGlobalUnicast, without METADATA, and all of `allowed` (CIDRs)."""
    networks = [ipaddress.ip_network(cidr) for cidr in allowed]

    def may(address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in networks if network.version == address.version):
            return True
        return not (
            address.is_unspecified
            or address.is_loopback
            or address.is_multicast
            or address.is_link_local
            or address == _BROADCAST
            or address in METADATA
        )

    return may
