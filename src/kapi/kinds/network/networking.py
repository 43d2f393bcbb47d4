"""networking.k8s.io: Ingress, IngressClass, NetworkPolicy, ServiceCIDR, IPAddress.

https://kubernetes.io/docs/reference/kubernetes-api/service-resources/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import (
    FieldError,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kapi.kinds.network import networking_columns
from kapi.kinds.network.load_balancers import ingress_status, ingress_warnings
from kapi.kinds.network.network_policies import NetworkPolicyStrategy, policy_defaults
from kapi.kinds.network.networking_columns import GROUP
from kapi.kinds.shared import checks, declared
from kapi.kinds.shared.bases import SPEC_AND_METADATA
from kapi.kinds.shared.declared import Field, Struct
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_NET = "io.k8s.api.networking.v1."
CONTROLLER_BYTES_MAX = 250
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")


# -- ingresses ----------------------------------------------------------------------------------


class IngressStrategy(Strategy):
    reset_status = (("spec",),)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _load_balancer(obj, old)
        spec = obj.get("spec") or {}
        if old is None:
            out = _ingress(spec, {})
            value = (obj["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
            name = spec.get("ingressClassName")
            if value is not None and name is not None and value != name:
                text = "must match `ingressClassName` when both are specified"
                out.append(invalid_value(f"annotations.{_CLASS_ANNOTATION}", value, text))
            return out
        return _ingress(spec, old.get("spec") or {})

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource == "status":
            return ingress_warnings(obj)
        if old is not None or _CLASS_ANNOTATION not in (obj["metadata"].get("annotations") or {}):
            return []
        return [
            f'annotation "{_CLASS_ANNOTATION}" is deprecated, please use '
            "'spec.ingressClassName' instead"
        ]


def _listed(ingress: Json | None) -> list[Json]:
    status = ((ingress or {}).get("status") or {}).get("loadBalancer") or {}
    return status.get("ingress") or []


def _addresses(ingress: Json | None) -> list[str]:
    return [item.get("ip", "") for item in _listed(ingress)]


def _load_balancer(obj: Json, old: Json | None) -> list[FieldError]:
    known = _addresses(old)
    out: list[FieldError] = []
    for i, item in enumerate(_listed(obj)):
        out += ingress_status(item, f"status.loadBalancer.ingress[{i}]", known)
    return out


def _ingress(spec: Json, old: Json) -> list[FieldError]:
    out: list[FieldError] = []
    rules, backend = spec.get("rules"), spec.get("defaultBackend")
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        out.append(invalid_value("spec", rules, text))
    if backend is not None:
        out += _backend(backend, "spec.defaultBackend")
    for i, rule in enumerate(rules or ()):
        path = f"spec.rules[{i}]"
        host = rule.get("host", "")
        if host:
            if checks.parse_ip(host) is not None:
                text = "must be a DNS name, not an IP address"
                out.append(invalid_value(f"{path}.host", host, text))
            out += checks.each(f"{path}.host", host, host_complaints(host))
        if rule.get("http") is not None:
            out += _paths(rule["http"].get("paths") or [], f"{path}.http.paths")
    out += _tls(spec.get("tls") or [], old.get("tls") or [])
    name = spec.get("ingressClassName")
    if name is not None:
        out += checks.dns_subdomain(name, "spec.ingressClassName")
    return out


def host_complaints(host: str) -> list[str]:
    """Complaints about a host name, whose first part may be `*`."""
    if "*" not in host:
        return names.dns_subdomain(host)
    out = []
    if len(host) > names.DNS_SUBDOMAIN_MAX:
        out.append(names.max_length(names.DNS_SUBDOMAIN_MAX))
    if not host.startswith("*.") or names.dns_subdomain(host[2:]):
        out.append(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
            "subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and "
            "end with an alphanumeric character (e.g. '*.example.com', regex used for validation "
            r"is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return out


def _tls(tls: list[Json], old: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    known = {item.get("secretName", "") for item in old}
    for i, item in enumerate(tls):
        for k, host in enumerate(item.get("hosts") or ()):
            out += checks.each(f"spec.tls[{i}].hosts[{k}]", host, host_complaints(host))
        secret = item.get("secretName", "")
        if secret and secret not in known:
            out += checks.dns_subdomain(secret, f"spec.tls[{i}].secretName")
    return out


def _paths(paths: list[Json], where: str) -> list[FieldError]:
    if not paths:
        return [required(where)]
    out: list[FieldError] = []
    for i, item in enumerate(paths):
        out += _path(item, f"{where}[{i}]")
    return out


def _path(item: Json, where: str) -> list[FieldError]:
    kind, path = item.get("pathType"), item.get("path", "")
    if kind is None:
        return [required(f"{where}.pathType", "pathType must be specified")]
    out: list[FieldError] = []
    absolute = path.startswith("/")
    if kind not in _PATH_TYPES:
        out.append(not_supported(f"{where}.pathType", kind, _PATH_TYPES))
    elif not absolute and (path or kind != "ImplementationSpecific"):
        out.append(invalid_value(f"{where}.path", path, "must be an absolute path"))
    if kind in ("Exact", "Prefix") and path:
        for text in _BAD_SEQUENCES:
            if text in path:
                out.append(invalid_value(f"{where}.path", path, f"must not contain '{text}'"))
        for text in _BAD_ENDS:
            if path.endswith(text):
                out.append(invalid_value(f"{where}.path", path, f"cannot end with '{text}'"))
    return out + _backend(item.get("backend") or {}, f"{where}.backend")


def _backend(backend: Json, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid_value(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [invalid_value(path, "", "resource or service backend is required")]
    out: list[FieldError] = []
    name, port = service.get("name", ""), service.get("port") or {}
    if name:
        out += checks.dns_label(name, f"{path}.service.name")
    else:
        out.append(required(f"{path}.service.name"))
    if port.get("name") and port.get("number"):
        out.append(invalid_value(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        text = port["name"]
        out += checks.each(f"{path}.service.port.name", text, checks.port_name(text))
    elif port.get("number"):
        out += checks.port(port["number"], f"{path}.service.port.number")
    else:
        out.append(required(path, "port name or number is required"))
    return out


def _reference(reference: Json, path: str, *, declared_required: bool = False) -> list[FieldError]:
    """A reference to an object of any kind, in the same namespace; of a class, the types declare
    what it must have.
    """
    out: list[FieldError] = []
    if reference.get("apiGroup") is not None:
        out += checks.dns_subdomain(reference["apiGroup"], f"{path}.apiGroup")
    for name in ("kind", "name"):
        value = reference.get(name, "")
        if value:
            out += checks.each(f"{path}.{name}", value, names.path_segment(value))
        elif not declared_required:
            out.append(required(f"{path}.{name}"))
    return out


# -- ingress classes ----------------------------------------------------------------------------


class IngressClassStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        out: list[FieldError] = []
        controller = spec.get("controller", "")
        if old is not None:
            before = (old.get("spec") or {}).get("controller", "")
            out += checks.immutable(controller, before, "spec.controller")
        if len(controller.encode()) > CONTROLLER_BYTES_MAX:
            out.append(too_long("spec.controller", CONTROLLER_BYTES_MAX))
        out += checks.domain_prefixed_path(controller, "spec.controller")
        parameters = spec.get("parameters")
        if parameters is not None:
            out += _reference(parameters, "spec.parameters", declared_required=True)
            out += _scope(parameters, "spec.parameters")
        return out + declared.findings(_DECLARED, "IngressClass", obj, old)


def _scope(parameters: Json, path: str) -> list[FieldError]:
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    out: list[FieldError] = []
    if scope not in ("Cluster", "Namespace"):
        out.append(not_supported(f"{path}.scope", scope or "", ("Cluster", "Namespace")))
    if scope == "Namespace":
        if namespace is None:
            text = "`parameters.scope` is set to 'Namespace'"
            out.append(required(f"{path}.namespace", text))
        else:
            out += checks.dns_label(namespace, f"{path}.namespace")
    if scope == "Cluster" and namespace is not None:
        text = "`parameters.scope` is set to 'Cluster'"
        out.append(field_forbidden(f"{path}.namespace", text))
    return out


# -- ranges and addresses -----------------------------------------------------------------------


class ServiceCIDRStrategy(Strategy):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return []
        ranges = (obj.get("spec") or {}).get("cidrs")
        if old is None:
            return _ranges(ranges or [])
        return _range_changes(ranges, (old.get("spec") or {}).get("cidrs") or [])


def _ranges(ranges: list[str]) -> list[FieldError]:
    if not ranges:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(ranges) > 2:
        shown = checks.go_json({"CIDRs": ranges})
        return [invalid_value("spec.cidrs", shown, "may only hold up to 2 values")]
    out: list[FieldError] = []
    for i, text in enumerate(ranges):
        out += checks.canonical_cidr(text, f"spec.cidrs[{i}]")
    families = [found.version for item in ranges if (found := checks.parse_cidr(item))]
    if len(families) == 2 and families[0] == families[1]:
        text = (
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
            "2001:db8::/64"
        )
        out.append(invalid_value("spec.cidrs", ranges, text))
    return out


def _range_changes(ranges: list[str] | None, old: list[str]) -> list[FieldError]:
    """A second family may come; nothing else changes."""
    new = ranges or []
    if len(new) == len(old):
        return [
            invalid_value(f"spec.cidrs[{i}]", new[i], checks.IMMUTABLE)
            for i, text in enumerate(old)
            if new[i] != text
        ]
    if len(old) == 1 and len(new) == 2:
        out = checks.immutable(new[0], old[0], "spec.cidrs[0]")
        return out + _ranges(new)
    return [invalid_value("spec.cidrs", ranges, checks.IMMUTABLE)]


def _address_name(name: str, prefix: bool = False) -> list[str]:
    return [e.detail for e in checks.canonical_ip(name, "")]


class IPAddressStrategy(Strategy):
    name_rule = staticmethod(_address_name)
    generates_names = False

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        reference = (obj.get("spec") or {}).get("parentRef") or {}
        path = "spec.parentRef"
        out: list[FieldError] = []
        if reference.get("group"):
            out += checks.dns_subdomain(reference["group"], f"{path}.group")
        for name in ("resource", "name", "namespace"):
            value = reference.get(name, "")
            out += checks.each(f"{path}.{name}", value, names.path_segment(value))
        return out + declared.findings(_DECLARED, "IPAddress", obj, old)


# What the types declare.
_DECLARED: declared.Types = {
    "IngressClass": Struct(fields=(Field(name="spec", type="IngressClassSpec"),)),
    "IngressClassSpec": Struct(
        fields=(Field(name="parameters", type="IngressClassParameters", pointer=True),)
    ),
    "IngressClassParameters": Struct(
        fields=(
            Field(name="kind", gates=(declared.required,)),
            Field(name="name", gates=(declared.required,)),
        )
    ),
    "IPAddress": Struct(fields=(Field(name="spec", type="IPAddressSpec"),)),
    "IPAddressSpec": Struct(
        fields=(
            Field(
                name="parentRef",
                type="ParentReference",
                pointer=True,
                gates=(declared.there, declared.immutable),
            ),
        )
    ),
    "ParentReference": Struct(
        fields=(
            Field(name="resource", gates=(declared.required,)),
            Field(name="name", gates=(declared.required,)),
        )
    ),
}

DEFAULTS: Mapping[str, Any] = {
    _NET + "IngressClassParametersReference": {"scope": "Cluster"},
    _NET + "NetworkPolicySpec": policy_defaults,
    _NET + "NetworkPolicyPort": {"protocol": "TCP"},
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "ingresses"): IngressStrategy(),
    (GROUP, "ingressclasses"): IngressClassStrategy(),
    (GROUP, "networkpolicies"): NetworkPolicyStrategy(),
    (GROUP, "servicecidrs"): ServiceCIDRStrategy(),
    (GROUP, "ipaddresses"): IPAddressStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = networking_columns.COLUMNS
