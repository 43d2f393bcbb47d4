"""discovery.k8s.io: EndpointSlice.
https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, duplicate, invalid_value, required, too_many
from kapi.kinds.network.service_columns import endpoint_text
from kapi.kinds.shared import cells, checks, declared
from kapi.kinds.shared.bases import Plain
from kapi.kinds.shared.declared import Field, Struct
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.allocation.addresses import ip_warnings
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "discovery.k8s.io"
_PACKAGE = "io.k8s.api.discovery.v1."
ENDPOINTS_MAX, ADDRESSES_MAX, PORTS_MAX, HINTS_MAX = 1000, 100, 20000, 8
_TYPES = ("FQDN", "IPv4", "IPv6")
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _port_defaults(port: Json) -> None:
    port.setdefault("name", "")
    port.setdefault("protocol", "TCP")


class EndpointSliceStrategy(Plain):
    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None or obj.get("endpoints") != old.get("endpoints"):
            for endpoint in obj.get("endpoints") or ():
                endpoint.pop("deprecatedTopology", None)
        if old is not None and obj["metadata"].get("labels") != old["metadata"].get("labels"):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        kind = obj.get("addressType", "")
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        known = _addresses(old)
        if len(endpoints) > ENDPOINTS_MAX:
            out.append(too_many("endpoints", len(endpoints), ENDPOINTS_MAX))
        else:
            for i, endpoint in enumerate(endpoints):
                out += _endpoint(endpoint, f"endpoints[{i}]", kind, known)
        return out + _ports(ports) + declared.findings(_DECLARED, "EndpointSlice", obj, old)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if old is None and obj.get("addressType") == "FQDN":
            return ["spec.addressType: FQDN endpoints are deprecated"]
        labels = obj["metadata"].get("labels") or {}
        if labels.get("endpointslice.kubernetes.io/managed-by") in _CONTROLLERS:
            return []
        return [
            warning
            for i, endpoint in enumerate(obj.get("endpoints") or ())
            for k, address in enumerate(endpoint.get("addresses") or ())
            for warning in ip_warnings(address, f"endpoints[{i}].addresses[{k}]")
        ]


def _addresses(obj: Json | None) -> list[str]:
    return [a for e in (obj or {}).get("endpoints") or () for a in e.get("addresses") or ()]


def _endpoint(endpoint: Json, path: str, kind: str, known: list[str]) -> list[FieldError]:
    out: list[FieldError] = []
    addresses = endpoint.get("addresses") or []
    for i, address in enumerate(addresses):
        out += _address(address, f"{path}.addresses[{i}]", kind, known)
    if endpoint.get("nodeName") is not None:
        out += checks.dns_subdomain(endpoint["nodeName"], f"{path}.nodeName")
    if endpoint.get("hostname") is not None:
        out += checks.dns_label(endpoint["hostname"], f"{path}.hostname")
    hints = endpoint.get("hints") or {}
    for field in ("forZones", "forNodes"):
        out += _hints(hints.get(field) or [], f"{path}.hints.{field}", field)
    return out


def _address(address: str, path: str, kind: str, known: list[str]) -> list[FieldError]:
    if kind == "FQDN":
        return _full_name(address, path)
    if kind not in ("IPv4", "IPv6"):
        return []
    out = checks.ip(address, path, old=known)
    if out:
        return out
    found = checks.parse_ip(address)
    if found is not None and f"IPv{found.version}" != kind:
        out.append(invalid_value(path, address, f"must be an {kind} address"))
    return out + checks.non_special_ip(address, path)


def _full_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    out = checks.each(path, name, names.dns_subdomain(name.removesuffix(".")))
    if not out and len(name.removesuffix(".").split(".")) < 2:
        text = "should be a domain with at least two segments separated by dots"
        out.append(invalid_value(path, name, text))
    return out


def _hints(hints: list[Json], path: str, field: str) -> list[FieldError]:
    out: list[FieldError] = []
    if len(hints) > HINTS_MAX:
        out.append(too_many(path, len(hints), HINTS_MAX))
        return out
    seen: set[str] = set()
    for i, hint in enumerate(hints):
        where, name = f"{path}[{i}].name", hint.get("name", "")
        if name in seen:
            out.append(duplicate(where, name))
        seen.add(name)
        if field == "forZones":
            out += checks.label_value(name, where)
        else:
            out += checks.dns_subdomain(name, where)
    return out


def _ports(ports: list[Json]) -> list[FieldError]:
    if len(ports) > PORTS_MAX:
        return [too_many("ports", len(ports), PORTS_MAX)]
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        name, protocol = port.get("name", ""), port.get("protocol")
        if name:
            out += checks.dns_label(name, f"ports[{i}].name")
        if name in seen:
            out.append(duplicate(f"ports[{i}].name", name))
        seen.add(name)
        if protocol is None:
            out.append(required(f"ports[{i}].protocol"))
        else:
            out += checks.one_of(protocol, f"ports[{i}].protocol", checks.PROTOCOLS)
        if port.get("appProtocol") is not None:
            out += checks.qualified_name(port["appProtocol"], f"ports[{i}].appProtocol")
    return out


def _port_cell(obj: Json, now: float) -> str:
    found = ["*" if p.get("port") is None else str(p["port"]) for p in obj.get("ports") or ()]
    return endpoint_text(found) if found else cells.UNSET


def _endpoint_cell(obj: Json, now: float) -> str:
    return endpoint_text(found) if (found := _addresses(obj)) else cells.UNSET


# What the types declare.
_DECLARED: declared.Types = {
    "EndpointSlice": Struct(
        fields=(
            Field(
                name="addressType",
                gates=(declared.required, declared.immutable),
                checks=(declared.one_of(*_TYPES),),
            ),
            Field(name="endpoints", each="Endpoint"),
        )
    ),
    "Endpoint": Struct(
        fields=(
            Field(
                name="addresses",
                gates=(declared.required, declared.max_items(ADDRESSES_MAX)),
            ),
        )
    ),
}
DEFAULTS: Mapping[str, Any] = {_PACKAGE + "EndpointPort": _port_defaults}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "endpointslices"): EndpointSliceStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "endpointslices"): (
        cells.name_column(),
        cells.column(
            "AddressType",
            "string",
            cells.field("addressType"),
            described("io.k8s.api.discovery.v1.EndpointSlice", "addressType"),
        ),
        cells.column(
            "Ports",
            "string",
            _port_cell,
            described("io.k8s.api.discovery.v1.EndpointSlice", "ports"),
        ),
        cells.column(
            "Endpoints",
            "string",
            _endpoint_cell,
            described("io.k8s.api.discovery.v1.EndpointSlice", "endpoints"),
        ),
        cells.age_column(),
    ),
}
