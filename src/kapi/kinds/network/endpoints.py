"""Endpoints: validation, and the checks of ports that services share.

`services.py` lists what stands here.
"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, required
from kapi.kinds.shared import checks
from kapi.registry.allocation.addresses import ip_warnings
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]


class EndpointsStrategy(Strategy):
    create_on_update = True
    reset_main = ()

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if old is not None and obj.get("subsets") == old.get("subsets"):
            return out
        known = [
            a.get("ip", "")
            for subset in (old or {}).get("subsets") or ()
            for name in ("addresses", "notReadyAddresses")
            for a in subset.get(name) or ()
        ]
        for i, subset in enumerate(obj.get("subsets") or ()):
            path = f"subsets[{i}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                text = "must specify `addresses` or `notReadyAddresses`"
                out.append(required(path, text))
            for name in ("addresses", "notReadyAddresses"):
                for k, address in enumerate(subset.get(name) or ()):
                    out += _endpoint_address(address, f"{path}.{name}[{k}]", known)
            ports = subset.get("ports") or ()
            for k, port in enumerate(ports):
                out += _endpoint_port(port, f"{path}.ports[{k}]", len(ports) > 1)
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        labels = obj["metadata"].get("labels") or {}
        if labels.get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
            return []
        return [
            warning
            for i, subset in enumerate(obj.get("subsets") or ())
            for name in ("addresses", "notReadyAddresses")
            for k, address in enumerate(subset.get(name) or ())
            for warning in ip_warnings(address.get("ip", ""), f"subsets[{i}].{name}[{k}].ip")
        ]


def _endpoint_address(address: Json, path: str, known: list[str]) -> list[FieldError]:
    ip = address.get("ip", "")
    out = checks.ip(ip, f"{path}.ip", old=known)
    if address.get("hostname"):
        out += checks.dns_label(address["hostname"], f"{path}.hostname")
    if address.get("nodeName") is not None:
        out += checks.dns_subdomain(address["nodeName"], f"{path}.nodeName")
    return out + checks.non_special_ip(ip, f"{path}.ip")


def _endpoint_port(port: Json, path: str, need_name: bool) -> list[FieldError]:
    out: list[FieldError] = []
    name = port.get("name", "")
    if name:
        out += checks.dns_label(name, f"{path}.name")
    elif need_name:
        out.append(required(f"{path}.name"))
    out += checks.port(port.get("port", 0), f"{path}.port")
    out += protocol(port, path)
    return out + app_protocol(port, path)


def protocol(port: Json, path: str) -> list[FieldError]:
    protocol = port.get("protocol", "")
    if not protocol:
        return [required(f"{path}.protocol")]
    return checks.one_of(protocol, f"{path}.protocol", checks.PROTOCOLS)


def app_protocol(port: Json, path: str) -> list[FieldError]:
    protocol = port.get("appProtocol")
    return [] if protocol is None else checks.qualified_name(protocol, f"{path}.appProtocol")
