"""Printer columns of Service and Endpoints, as `kubectl get` shows them.

`addresses` and `endpoint_text` also serve other kinds that list addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kapi.kinds.shared import cells
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
ADDRESSES_CHARACTERS = 16  # of a load balancer's addresses before they are cut, unless wide
ENDPOINTS_SHOWN = 3


def addresses(status: Json | None) -> str:
    """The addresses of a load balancer's status, each once, sorted."""
    found = {
        text
        for item in (status or {}).get("ingress") or ()
        if (text := item.get("ip") or item.get("hostname"))
    }
    return ",".join(sorted(found))


def _external(obj: Json, now: float) -> str:
    spec = obj.get("spec") or {}
    listed = spec.get("externalIPs") or []
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        found = addresses((obj.get("status") or {}).get("loadBalancer"))
        if listed:
            return ",".join(([found] if found else []) + listed)
        return found or "<pending>"
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(listed) or cells.NONE
    return cells.UNKNOWN


def _cluster_ip(obj: Json, now: float) -> str:
    listed = (obj.get("spec") or {}).get("clusterIPs") or []
    return listed[0] if listed else cells.NONE


def _ports(obj: Json, now: float) -> str:
    out = []
    for port in (obj.get("spec") or {}).get("ports") or ():
        text = f"{port.get('port', 0)}/{port.get('protocol', '')}"
        if port.get("nodePort"):
            text = f"{port.get('port', 0)}:{port['nodePort']}/{port.get('protocol', '')}"
        out.append(text)
    return ",".join(out) or cells.NONE


def _service_ports(obj: Json, now: float) -> str:
    if (obj.get("spec") or {}).get("type") == "ExternalName" and not obj["spec"].get("ports"):
        return cells.NONE
    return _ports(obj, now)


def _selector(obj: Json, now: float) -> str:
    return cells.labels((obj.get("spec") or {}).get("selector"))


def endpoint_text(found: Iterable[str], shown: int = ENDPOINTS_SHOWN) -> str:
    """The first few of a list, and how many more there are."""
    listed = list(found)
    text = ",".join(listed[:shown])
    return f"{text} + {len(listed) - shown} more..." if len(listed) > shown else text


def _endpoints(obj: Json, now: float) -> str:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        listed = subset.get("addresses") or ()
        if not subset.get("ports"):
            found += [a.get("ip", "") for a in listed]
        for port in subset.get("ports") or ():
            for address in listed:
                ip = address.get("ip", "")
                host = f"[{ip}]" if ":" in ip else ip
                found.append(f"{host}:{port.get('port', 0)}")
    return endpoint_text(found) or cells.NONE


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "services"): (
        cells.name_column(),
        cells.column(
            "Type", "string", cells.field("spec", "type"), described(_CORE + "ServiceSpec", "type")
        ),
        cells.column(
            "Cluster-IP", "string", _cluster_ip, described(_CORE + "ServiceSpec", "clusterIP")
        ),
        cells.column(
            "External-IP", "string", _external, described(_CORE + "ServiceSpec", "externalIPs")
        ),
        cells.column(
            "Port(s)", "string", _service_ports, described(_CORE + "ServiceSpec", "ports")
        ),
        cells.age_column(),
        cells.column(
            "Selector",
            "string",
            _selector,
            described(_CORE + "ServiceSpec", "selector"),
            wide=True,
        ),
    ),
    ("", "endpoints"): (
        cells.name_column(),
        cells.column("Endpoints", "string", _endpoints, described(_CORE + "Endpoints", "subsets")),
        cells.age_column(),
    ),
}
