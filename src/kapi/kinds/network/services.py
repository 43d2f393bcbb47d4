"""Service and Endpoints: defaults, what a change of type takes along, validation, tables.

Addresses and ports are reserved by `registry/allocation/allocate.py`, before this strategy prepares
and validates.
https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    required,
)
from kapi.kinds.network import endpoints, service_columns
from kapi.kinds.network.load_balancers import (
    ONLY_LOAD_BALANCER,
    ingress_warnings,
    load_balancer_class,
    load_balancer_status,
    source_ranges,
)
from kapi.kinds.shared import checks
from kapi.registry import names
from kapi.registry.allocation.addresses import cidr_warnings, ip_warnings
from kapi.registry.allocation.service_fields import (
    NO_ADDRESS,
    cluster_ip_errors,
    drop_type_dependent,
    externally_accessible,
    headless,
    needs_health_check,
)
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
AFFINITY_SECONDS = 10800  # of a client's session, where nobody said
AFFINITY_SECONDS_MAX = 86400
KUBELET_PORT = 10250
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_WITH_ADDRESS = ("ClusterIP", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_TOPOLOGY_KEYS = (
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)


def _service_defaults(spec: Json) -> None:
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {})
        client = config.setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", AFFINITY_SECONDS)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or ():
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if externally_accessible(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in _WITH_ADDRESS:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _ingress_defaults(ingress: Json) -> None:
    if ingress.get("ip"):
        ingress.setdefault("ipMode", "VIP")


def _service_status_defaults(service: Json) -> None:
    """Only a load balancer's addresses have a mode."""
    if (service.get("spec") or {}).get("type") != "LoadBalancer":
        return
    status = (service.get("status") or {}).get("loadBalancer") or {}
    for ingress in status.get("ingress") or ():
        _ingress_defaults(ingress)


class ServiceStrategy(Strategy):
    name_rule = staticmethod(names.dns_label)
    create_on_update = True
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is not None and not context.subresource:
            drop_type_dependent(obj["spec"], old["spec"])

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return load_balancer_status(obj, old)
        out: list[FieldError] = []
        spec = obj["spec"]
        if old is not None:
            out += _cluster_ip_changes(spec, old["spec"])
            out += _family_changes(spec, old["spec"])
            out += load_balancer_class(spec, old["spec"])
        return out + _service(obj, old["spec"] if old else None)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource == "status":
            return ingress_warnings(obj)
        return _service_warnings(obj)


def _service(service: Json, old: Json | None) -> list[FieldError]:
    spec, annotations = service["spec"], service["metadata"].get("annotations") or {}
    out: list[FieldError] = []
    modes = [annotations.get(key) for key in _TOPOLOGY_KEYS]
    if None not in modes and modes[0] != modes[1]:
        text = f"must match annotations[{_TOPOLOGY_KEYS[0]}] when both are specified"
        out.append(invalid_value(f"metadata.annotations[{_TOPOLOGY_KEYS[1]}]", modes[1], text))
    ports = spec.get("ports") or []
    if not ports and not headless(spec) and spec["type"] != "ExternalName":
        out.append(required("spec.ports"))
    out += _by_type(spec, ports)
    seen: set[str] = set()
    for i, port in enumerate(ports):
        out += _port(port, f"spec.ports[{i}]", len(ports) > 1, seen)
    out += checks.labels(spec.get("selector"), "spec.selector")
    out += _affinity(spec)
    out += cluster_ip_errors(spec, old)
    before = (old or {}).get("externalIPs") or ()
    for i, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{i}]"
        found = checks.ip(address, path, old=before)
        out += found or ([] if address in before else checks.non_special_ip(address, path))
    out += checks.one_of(spec["type"], "spec.type", _TYPES)
    if spec["type"] == "ClusterIP":
        for i, port in enumerate(ports):
            if port.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                out.append(field_forbidden(f"spec.ports[{i}].nodePort", text))
    out += _repeated(ports)
    out += source_ranges(spec, annotations, old)
    if "allocateLoadBalancerNodePorts" in spec and spec["type"] != "LoadBalancer":
        out.append(field_forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER))
    out += load_balancer_class(spec, None)
    return out + _traffic(spec)


def _by_type(spec: Json, ports: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    kind = spec["type"]
    if kind == "LoadBalancer":
        for i, port in enumerate(ports):
            if port.get("port") == KUBELET_PORT:
                text = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
                out.append(invalid_value(f"spec.ports[{i}].port", KUBELET_PORT, text))
    if kind in ("LoadBalancer", "NodePort") and headless(spec):
        text = f"may not be set to 'None' for {kind} services"
        out.append(invalid_value("spec.clusterIPs[0]", NO_ADDRESS, text))
    if kind == "ExternalName":
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(name):
                text = "may not be set for ExternalName services"
                out.append(field_forbidden(f"spec.{name}", text))
        host = spec.get("externalName", "").removesuffix(".")
        if host:
            out += checks.dns_subdomain(host, "spec.externalName")
        else:
            out.append(required("spec.externalName"))
    return out


def _port(port: Json, path: str, need_name: bool, seen: set[str]) -> list[FieldError]:
    out: list[FieldError] = []
    name = port.get("name", "")
    if name:
        out += checks.dns_label(name, f"{path}.name")
        if name in seen:
            out.append(duplicate(f"{path}.name", name))
        seen.add(name)
    elif need_name:
        out.append(required(f"{path}.name"))
    out += checks.port(port.get("port", 0), f"{path}.port")
    out += endpoints.protocol(port, path)
    target = port.get("targetPort", 0)
    if isinstance(target, str):
        out += checks.each(f"{path}.targetPort", target, checks.port_name(target))
    else:
        out += checks.port(target, f"{path}.targetPort")
    return out + endpoints.app_protocol(port, path)


def _affinity(spec: Json) -> list[FieldError]:
    affinity = spec.get("sessionAffinity", "")
    path = "spec.sessionAffinityConfig"
    out: list[FieldError] = []
    if not affinity:
        out.append(required("spec.sessionAffinity"))
    else:
        out += checks.one_of(affinity, "spec.sessionAffinity", ("ClientIP", "None"))
    if affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        seconds = client.get("timeoutSeconds", AFFINITY_SECONDS)
        if not 0 < seconds <= AFFINITY_SECONDS_MAX:
            text = f"must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"
            out.append(invalid_value(f"{path}.clientIP.timeoutSeconds", seconds, text))
    elif affinity == "None" and "sessionAffinityConfig" in spec:
        out.append(field_forbidden(path, "must not be set when session affinity is None"))
    return out


def _repeated(ports: list[Json]) -> list[FieldError]:
    """Node ports and ports that stand twice for one protocol."""
    out: list[FieldError] = []
    seen: set[tuple[Any, int]] = set()
    for i, port in enumerate(ports):
        number = port.get("nodePort", 0)
        if number:
            key = (port.get("protocol"), number)
            if key in seen:
                out.append(duplicate(f"spec.ports[{i}].nodePort", number))
            seen.add(key)
    seen.clear()
    for i, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port", 0))
        if key in seen:
            shown = checks.go_json(
                {
                    "Name": "",
                    "Protocol": key[0] or "",
                    "AppProtocol": None,
                    "Port": key[1],
                    "TargetPort": 0,
                    "NodePort": 0,
                }
            )
            out.append(duplicate(f"spec.ports[{i}]", shown))
        seen.add(key)
    return out


def _traffic(spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    policy = spec.get("externalTrafficPolicy", "")
    path = "spec.externalTrafficPolicy"
    if not externally_accessible(spec):
        if policy:
            text = "may only be set for externally-accessible services"
            out.append(invalid_value(path, policy, text))
    elif not policy:
        out.append(required(path))
    else:
        out += checks.one_of(policy, path, _POLICIES)
    port = spec.get("healthCheckNodePort", 0)
    if needs_health_check(spec):
        if port:
            out += checks.port(port, "spec.healthCheckNodePort")
    elif port:
        text = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        out.append(invalid_value("spec.healthCheckNodePort", port, text))
    inner = spec.get("internalTrafficPolicy")
    if inner is not None:
        out += checks.one_of(inner, "spec.internalTrafficPolicy", _POLICIES)
    elif spec["type"] in _WITH_ADDRESS:
        out.append(required("spec.internalTrafficPolicy"))
    spread = spec.get("trafficDistribution")
    if spread is not None:
        known = ("PreferClose", "PreferSameNode", "PreferSameZone")
        out += checks.one_of(spread, "spec.trafficDistribution", known)
    return out


def _cluster_ip_changes(spec: Json, old: Json) -> list[FieldError]:
    """What has an address keeps its first one; a second one may come, or go by policy."""
    if "ExternalName" in (spec["type"], old["type"]) or (headless(spec) and headless(old)):
        return []
    text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
    return _list_changes(spec, old, "clusterIPs", "primary clusterIP can not be unset", text)


def _family_changes(spec: Json, old: Json) -> list[FieldError]:
    if "ExternalName" in (spec["type"], old["type"]) or (
        headless(spec) and headless(old) and not spec.get("selector")
    ):
        return []
    text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
    return _list_changes(spec, old, "ipFamilies", "primary ipFamily can not be unset", text)


def _list_changes(spec: Json, old: Json, name: str, unset: str, released: str) -> list[FieldError]:
    new, before = spec.get(name) or [], old.get(name) or []
    path = f"spec.{name}"
    fixed = "may not change once set"
    if len(new) == len(before):
        return [
            invalid_value(f"{path}[{i}]", new, fixed)
            for i, value in enumerate(before)
            if value != new[i]
        ]
    out: list[FieldError] = []
    if not new:
        out.append(invalid_value(f"{path}[0]", new, unset))
    elif before and new[0] != before[0]:
        out.append(invalid_value(f"{path}[0]", new, fixed))
    if len(new) == 1 and len(before) > 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        out.append(invalid_value("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), released))
    return out


def _service_warnings(obj: Json) -> list[str]:
    spec = obj["spec"]
    out: list[str] = []
    annotations = obj["metadata"].get("annotations") or {}
    if _TOPOLOGY_KEYS[0] in annotations:
        out.append(
            f"annotation {_TOPOLOGY_KEYS[0]} is deprecated, please use {_TOPOLOGY_KEYS[1]} instead"
        )
    if not headless(spec) and spec["type"] != "ExternalName" and spec.get("clusterIP"):
        out += _listed_ips(spec, "clusterIPs")
    if headless(spec):
        out += [
            f"spec.{name} is ignored for headless services"
            for name in ("loadBalancerIP", "externalIPs")
            if spec.get(name)
        ]
        if spec.get("sessionAffinity") not in (None, "", "None"):
            out.append("spec.SessionAffinity is ignored for headless services")
    out += _listed_ips(spec, "externalIPs")
    if spec.get("loadBalancerIP"):
        out += ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for i, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        out += cidr_warnings(text, f"spec.loadBalancerSourceRanges[{i}]")
    if spec.get("externalIPs") and spec["type"] == "ExternalName":
        out.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    elif spec.get("externalIPs") and not headless(spec):
        out.append(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
        )
    if spec.get("externalName") and spec["type"] != "ExternalName":
        out.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        out.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return out


def _listed_ips(spec: Json, name: str) -> list[str]:
    return [
        warning
        for i, address in enumerate(spec.get(name) or ())
        for warning in ip_warnings(address, f"spec.{name}[{i}]")
    ]


DEFAULTS: Mapping[str, Any] = {
    _CORE + "Service": _service_status_defaults,
    _CORE + "ServiceSpec": _service_defaults,
    _CORE + "EndpointPort": {"protocol": "TCP"},
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "services"): ServiceStrategy(),
    ("", "endpoints"): endpoints.EndpointsStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = service_columns.COLUMNS
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("", "services"): {
        "spec.clusterIP": lambda obj: (obj.get("spec") or {}).get("clusterIP", ""),
        "spec.type": lambda obj: (obj.get("spec") or {}).get("type", ""),
    },
}
