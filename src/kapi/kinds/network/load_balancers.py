"""What services say to and hear from load balancers: ranges of clients, classes, status.

Called by the strategies of services and of ingresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, required
from kapi.kinds.shared import checks
from kapi.registry import names
from kapi.registry.allocation.addresses import ip_warnings

Json = dict[str, Any]

ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES_KEY = "service.beta.kubernetes.io/load-balancer-source-ranges"


def source_ranges(spec: Json, annotations: Mapping[str, str], old: Json | None) -> list[FieldError]:
    ranges = spec.get("loadBalancerSourceRanges") or ()
    path = "spec.LoadBalancerSourceRanges"
    out: list[FieldError] = []
    if ranges:
        if spec["type"] != "LoadBalancer":
            out.append(field_forbidden(path, ONLY_LOAD_BALANCER))
        before = (old or {}).get("loadBalancerSourceRanges") or ()
        for i, text in enumerate(ranges):
            out += checks.cidr(text.strip(), f"{path}[{i}]", old=before)
        return out
    listed = annotations.get(_SOURCE_RANGES_KEY)
    if listed is not None:
        path = f"metadata.annotations[{_SOURCE_RANGES_KEY}]"
        if spec["type"] != "LoadBalancer":
            out.append(field_forbidden(path, ONLY_LOAD_BALANCER))
        for text in listed.strip().split(",") if listed.strip() else ():
            out += checks.cidr(text.strip(), path)
    return out


def load_balancer_class(spec: Json, old: Json | None) -> list[FieldError]:
    path = "spec.loadBalancerClass"
    name = spec.get("loadBalancerClass")
    same = old is not None and old["type"] == spec["type"] == "LoadBalancer"
    if same and old is not None and name != old.get("loadBalancerClass"):
        return [invalid_value(path, name, "may not change once set")]
    if name is None:
        return []
    if spec["type"] != "LoadBalancer":
        return [field_forbidden(path, ONLY_LOAD_BALANCER)]
    return checks.qualified_name(name, path)


def load_balancer_status(obj: Json, old: Json | None) -> list[FieldError]:
    out: list[FieldError] = []
    path = "status.loadBalancer"
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    before = (((old or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    known = [x.get("ip", "") for x in before]
    if ingress and obj["spec"]["type"] != "LoadBalancer" and list(ingress) != list(before):
        text = "may only be used when `spec.type` is 'LoadBalancer'"
        return [field_forbidden(f"{path}.ingress", text)]
    for i, item in enumerate(ingress):
        out += ingress_status(item, f"{path}.ingress[{i}]", known)
        mode = item.get("ipMode")
        if item.get("ip"):
            if mode is None:
                out.append(
                    required(f"{path}.ingress[{i}].ipMode", "must be specified when `ip` is set")
                )
            else:
                out += checks.one_of(mode, f"{path}.ingress[{i}].ipMode", ("Proxy", "VIP"))
        elif mode is not None:
            text = "may not be specified when `ip` is not set"
            out.append(field_forbidden(f"{path}.ingress[{i}].ipMode", text))
    return out


def ingress_status(item: Json, path: str, old: list[str]) -> list[FieldError]:
    """One address of a load balancer, of a service or an ingress."""
    out: list[FieldError] = []
    if item.get("ip"):
        out += checks.ip(item["ip"], f"{path}.ip", old=old)
    host = item.get("hostname", "")
    if host:
        out += checks.each(f"{path}.hostname", host, names.dns_subdomain(host))
        if checks.parse_ip(host) is not None:
            text = "must be a DNS name, not an IP address"
            out.append(invalid_value(f"{path}.hostname", host, text))
    return out


def ingress_warnings(obj: Json) -> list[str]:
    """Of the addresses of a load balancer, in the status of a Service or Ingress."""
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    return [
        warning
        for i, item in enumerate(balancer.get("ingress") or ())
        for warning in ip_warnings(item.get("ip", ""), f"status.loadBalancer.ingress[{i}]")
    ]
