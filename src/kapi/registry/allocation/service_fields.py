"""The fields of a service spec that hang together: type, addresses, families, ports, policies.

Pure. Used by `allocate.py`, which fills them, and by the strategy of services, which
validates them.
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, duplicate, invalid_value, not_supported, required
from kapi.registry.allocation import addresses

Json = dict[str, Any]

FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
NO_ADDRESS = "None"  # the clusterIP of a headless service


def headless(spec: Json) -> bool:
    return spec.get("clusterIP") == NO_ADDRESS or (spec.get("clusterIPs") or [""])[0] == NO_ADDRESS


def needs_address(spec: Json) -> bool:
    return spec.get("type") != "ExternalName"


def needs_node_ports(spec: Json) -> bool:
    """Whether its ports get node ports of themselves."""
    kind = spec.get("type")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def needs_health_check(spec: Json) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def externally_accessible(spec: Json) -> bool:
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (
        kind == "ClusterIP" and bool(spec.get("externalIPs"))
    )


# -- what an update leaves out, and what a change of type takes along ---------------------------


def patch_allocated(spec: Json, old: Json) -> None:
    """Put back allocated values that the client left out, so that a PUT of a manifest changes
    nothing.
    """
    if needs_address(old) and needs_address(spec):
        if not spec.get("clusterIP") and old.get("clusterIP"):
            spec["clusterIP"] = old["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP"):
            _keep(spec, old, "clusterIPs")
    if needs_node_ports(old) and needs_node_ports(spec):
        _patch_node_ports(spec, old)
    if needs_health_check(old) and needs_health_check(spec) and not spec.get("healthCheckNodePort"):
        _keep(spec, old, "healthCheckNodePort")


def _keep(spec: Json, old: Json, name: str) -> None:
    if name in old:
        spec[name] = copy.copy(old[name])


def _patch_node_ports(spec: Json, old: Json) -> None:
    before = {p.get("name", ""): p.get("nodePort", 0) for p in old.get("ports") or ()}
    taken = {p.get("nodePort", 0) for p in spec.get("ports") or ()}
    used = {p.get("nodePort", 0) for p in old.get("ports") or ()} & taken
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            number = before.get(port.get("name", ""), 0)
            if number and number not in used:
                port["nodePort"] = number
                used.add(number)


def normalize_cluster_ips(spec: Json, old: Json | None) -> None:
    """Keep clusterIP and clusterIPs in step for clients that know only one of them."""
    single, many = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if old is None:
        if single and not many:
            spec["clusterIPs"] = [single]
        return
    before_single, before = old.get("clusterIP", ""), old.get("clusterIPs") or []
    if before and not many and single == before_single:
        spec["clusterIPs"] = many = list(before)
    if single == before_single or many != before:
        return
    if before_single and not single:
        spec.pop("clusterIPs", None)
    elif single:
        spec["clusterIPs"] = [single]


def drop_type_dependent(spec: Json, old: Json) -> None:
    """Drop what the new type has no use for, where the client left it as it was."""
    if needs_address(old) and not needs_address(spec):
        if spec.get("clusterIPs") == old.get("clusterIPs"):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        for name in ("ipFamilies", "ipFamilyPolicy"):
            _drop_same(spec, old, name)
    if needs_node_ports(old) and not needs_node_ports(spec):
        numbers = [p.get("nodePort", 0) for p in old.get("ports") or ()]
        if numbers == [p.get("nodePort", 0) for p in spec.get("ports") or ()]:
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    if needs_health_check(old) and not needs_health_check(spec):
        _drop_same(spec, old, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            _drop_same(spec, old, name)
    if externally_accessible(old) and not externally_accessible(spec):
        _drop_same(spec, old, "externalTrafficPolicy")
    if needs_address(old) and not needs_address(spec):
        _drop_same(spec, old, "internalTrafficPolicy")


def _drop_same(spec: Json, old: Json, name: str) -> None:
    if spec.get(name) == old.get(name):
        spec.pop(name, None)


# -- validation that allocation needs first -----------------------------------------------------


def cluster_ip_errors(spec: Json, old: Json | None) -> list[FieldError]:
    """Findings about clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, among themselves."""
    if spec.get("type") == "ExternalName":
        return []
    out: list[FieldError] = []
    many: list[str] = spec.get("clusterIPs") or []
    single = spec.get("clusterIP", "")
    path = "spec.clusterIPs"
    if single:
        if not many:
            out.append(required(path))
        elif many[0] != single:
            out.append(invalid_value(path, many, "first value must match `clusterIP`"))
    elif many:
        text = "must be empty when `clusterIP` is not specified"
        out.append(invalid_value(path, many, text))
    out += _family_errors(spec)
    broken = False
    known: Mapping[str, Any] = old or {}
    for i, text in enumerate(many):
        if i == 0 and text == NO_ADDRESS:
            if len(many) > 1:
                broken = True
                out.append(invalid_value(path, many, "'None' must be the first and only value"))
            continue
        found = addresses.ip(text, f"{path}[{i}]", old=known.get("clusterIPs") or ())
        broken = broken or bool(found)
        out += found
    if len(many) > 2:
        out.append(invalid_value(path, many, "may only hold up to 2 values"))
    if broken:
        return out
    families = [addresses.ip_family(text) for text in many]
    if len(many) > 1 and len(set(families)) < 2:
        text = "may specify no more than one IP for each IP family"
        out.append(invalid_value(path, many, text))
    if not headless(spec):
        for i, (family, wanted) in enumerate(
            zip(families, spec.get("ipFamilies") or (), strict=False)
        ):
            if family != wanted and wanted in FAMILIES:
                text = f"expected an {wanted} value as indicated by `ipFamilies[{i}]`"
                out.append(invalid_value(f"{path}[{i}]", many[i], text))
    return out


def _family_errors(spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in FAMILIES:
            out.append(not_supported(f"spec.ipFamilies[{i}]", family, FAMILIES))
        if family in seen:
            out.append(duplicate(f"spec.ipFamilies[{i}]", family))
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in POLICIES:
        out.append(not_supported("spec.ipFamilyPolicy", policy, POLICIES))
    return out
