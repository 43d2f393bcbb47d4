"""The address by which others reach this host.

`local.py` asks when nobody said what to advertise: the `kubernetes` Service leads to it, as it does
with a kube-apiserver that listens everywhere or on loopback.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

# Of a network for documentation: the system says by which interface it would go there, and nothing
# is sent.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def advertised(bind: str) -> str:
    """`bind`, or the host's address if that is no address for others; "" if it has none."""
    ip = ip_address(bind)
    if not (ip.is_loopback or ip.is_unspecified):
        return bind
    return _own(socket.AF_INET6 if ip.version == 6 else socket.AF_INET)


def _own(family: socket.AddressFamily) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))
            address = str(probe.getsockname()[0])
    except OSError:
        return ""
    ip = ip_address(address.partition("%")[0])
    usable = not (ip.is_loopback or ip.is_unspecified or ip.is_link_local)
    return str(ip) if usable else ""
