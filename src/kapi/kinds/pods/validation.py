"""THE VALIDATION OF POD SPECS, one for pods and for every pod template: order and words of the real
server.

`validate_pod_template_spec` serves all kinds with a template; `validate_pod_spec` and
`validate_pod` serve pods. The parts are in `pod_volumes`, `pod_containers`, `pod_security`,
`pod_scheduling`. What may change in a pod is in `pod_updates`.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.containers import (
    Surroundings,
    validate_containers,
    validate_ephemeral_containers,
    validate_image_spaces,
    validate_init_containers,
)
from kapi.kinds.pods.os import validate_host_processes, validate_os
from kapi.kinds.pods.profiles import seccomp_matches
from kapi.kinds.pods.resources import POD_RESOURCES, validate_resources
from kapi.kinds.pods.scheduling import (
    validate_affinity,
    validate_readiness_gates,
    validate_scheduling_gates,
    validate_spread,
    validate_tolerations,
)
from kapi.kinds.pods.security import (
    validate_pod_security_context,
    validate_profile_annotations,
)
from kapi.kinds.pods.volumes import validate_volumes
from kapi.kinds.shared import checks
from kapi.registry import names, object_meta
from kapi.registry.allocation import addresses

Json = dict[str, Any]
Findings = list[FieldError]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
MIRROR_POD = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_SECONDS_MAX = 2**31 - 1
_NAMESERVERS_MAX = 3
_SEARCH_PATHS_MAX = 32
_SEARCH_CHARACTERS_MAX = 2048
_NO_CLAIMS: frozenset[str] = frozenset()


def validate_pod_template_spec(template: Json, path: str) -> Findings:
    """A template, where it stands in its parent (`spec.template`)."""
    out: Findings = []
    meta = template.get("metadata") or {}
    spec = template.get("spec") or {}
    if meta.get("labels"):
        out += object_meta.validate_labels(meta["labels"], f"{path}.labels")
    annotations = meta.get("annotations")
    if annotations:
        where = f"{path}.annotations"
        out += object_meta.validate_annotations(annotations, where)
        out += validate_pod_annotations(annotations, spec, where)
    out += validate_pod_spec(spec, f"{path}.spec", template=True)
    out += seccomp_matches(annotations or {}, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        out.append(errors.field_forbidden(f"{path}.spec.ephemeralContainers", text))
    return out


def validate_pod(pod: Json) -> Findings:
    """A pod but for its metadata, on create and on update."""
    out: Findings = []
    spec = pod.get("spec") or {}
    annotations = pod["metadata"].get("annotations")
    if annotations:
        out += validate_pod_annotations(annotations, spec, "metadata.annotations")
    out += validate_pod_spec(spec, "spec", pod=pod["metadata"].get("name", ""))
    if not spec.get("serviceAccountName"):
        out += _tokens_without_account(spec.get("volumes") or (), "spec.volumes")
    for field in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            out += validate_image_spaces(container, f"spec.{field}[{i}]")
    return out


def _tokens_without_account(volumes: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, volume in enumerate(volumes):
        for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                where = f"{path}[{i}].projected.sources[{j}].serviceAccountToken"
                text = "must not be specified when serviceAccountName is not set"
                out.append(errors.field_forbidden(where, text))
    return out


def validate_pod_annotations(annotations: Mapping[str, str], spec: Json, path: str) -> Findings:
    """Annotations that mean something to the server."""
    out: Findings = []
    mirror = annotations.get(MIRROR_POD)
    if mirror is not None and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        out.append(errors.invalid_value(f"{path}[{MIRROR_POD}]", mirror, text))
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        where = f"{path}[{DELETION_COST}]"
        out.append(errors.invalid_value(where, cost, "must be a 32bit integer"))
    return out + validate_profile_annotations(annotations, spec, path)


def _is_int32(text: str) -> bool:
    """As `strconv.ParseInt` reads it: no blanks, no leading zeros or plus sign."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (digits[0] == "0" and text != "0"):
        return False
    return -(2**31) <= int(text) < 2**31


def validate_pod_spec(spec: Json, path: str, *, template: bool = False, pod: str = "") -> Findings:
    """`pod`: the name of the pod; a template has none."""
    out: Findings = []
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        out.append(errors.required(f"{path}.terminationGracePeriodSeconds"))
    volumes, found = validate_volumes(spec.get("volumes") or (), f"{path}.volumes", pod)
    out += found
    claims = _NO_CLAIMS
    if spec.get("resourceClaims"):
        claims, found = _resource_claims(spec["resourceClaims"], f"{path}.resourceClaims")
        out += found
    around = Surroundings(
        volumes=volumes,
        claims=claims,
        grace_period=grace,
        restart_policy=spec.get("restartPolicy", ""),
        host_users=spec.get("hostUsers") is not False,
    )
    containers, init = spec.get("containers") or (), spec.get("initContainers") or ()
    out += validate_containers(containers, f"{path}.containers", around)
    if init:
        out += validate_init_containers(init, containers, f"{path}.initContainers", around)
    if spec.get("ephemeralContainers"):
        out += validate_ephemeral_containers(
            spec["ephemeralContainers"], containers, init, f"{path}.ephemeralContainers", around
        )
    if spec.get("resources"):
        if spec["resources"].get("claims") is not None:
            text = "claims cannot be set for Resources at pod-level"
            out.append(errors.field_forbidden(f"{path}.resources.claims", text))
        out += validate_resources(
            spec["resources"], f"{path}.resources", claims, _pod_resource_name
        )
    if spec.get("hostNetwork"):
        out += _host_ports(spec, path, template)
    out += _policies(spec, path)
    out += _scheduling(spec, path)
    return out + _the_rest(spec, path)


def _resource_claims(claims: Sequence[Json], path: str) -> tuple[frozenset[str], Findings]:
    out: Findings = []
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        name, where = claim.get("name", ""), f"{path}[{i}]"
        if not name:
            out.append(errors.required(f"{where}.name"))
        elif name in seen:
            out.append(errors.duplicate(f"{where}.name", name))
        else:
            out += checks.dns_label(name, f"{where}.name")
            seen.add(name)
        given = {f: claim[f] for f in _CLAIM_SOURCES if claim.get(f) is not None}
        if len(given) > 1:
            text = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
            out.append(errors.invalid_value(where, checks.go_json(claim), text))
        if not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            out.append(errors.invalid_value(where, checks.go_json(claim), text))
        for field, value in given.items():
            out += checks.dns_subdomain(value, f"{where}.{field}")
    return frozenset(seen), out


_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")


def _pod_resource_name(name: str, path: str) -> Findings:
    """What a pod may ask for as a whole."""
    if name in POD_RESOURCES or name.startswith("hugepages-"):
        return []
    return [errors.not_supported(path, name, POD_RESOURCES)]


def _host_ports(spec: Json, path: str, template: bool) -> Findings:
    out: Findings = []
    for field in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            for j, port in enumerate(container.get("ports") or ()):
                host = port.get("hostPort", 0)
                if host == port.get("containerPort", 0) or (template and host == 0):
                    continue
                where = f"{path}.{field}[{i}].ports[{j}].hostPort"
                text = "must match `containerPort` when `hostNetwork` is true"
                out.append(errors.invalid_value(where, host, text))
    return out


def _policies(spec: Json, path: str) -> Findings:
    out: Findings = []
    for field, supported in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", DNS_POLICIES)):
        value = spec.get(field)
        if value not in supported:
            if not value:
                out.append(errors.required(f"{path}.{field}"))
            else:
                out.append(errors.not_supported(f"{path}.{field}", value, supported))
    if spec.get("nodeSelector"):
        out += object_meta.validate_labels(spec["nodeSelector"], f"{path}.nodeSelector")
    context = spec.get("securityContext")
    if context or spec.get("shareProcessNamespace"):
        out += validate_pod_security_context(context or {}, spec, f"{path}.securityContext")
    return out


def _scheduling(spec: Json, path: str) -> Findings:
    out: Findings = []
    if spec.get("affinity"):
        out += validate_affinity(spec["affinity"], f"{path}.affinity")
    dns = spec.get("dnsConfig")
    if dns is not None or spec.get("dnsPolicy") == "None":
        out += _dns(dns, spec.get("dnsPolicy", ""), f"{path}.dnsConfig")
    if spec.get("readinessGates"):
        out += validate_readiness_gates(spec["readinessGates"], f"{path}.readinessGates")
    if spec.get("schedulingGates"):
        out += validate_scheduling_gates(spec["schedulingGates"], f"{path}.schedulingGates")
    if spec.get("topologySpreadConstraints"):
        where = f"{path}.topologySpreadConstraints"
        out += validate_spread(spec["topologySpreadConstraints"], where)
    out += validate_host_processes(spec, path)
    if spec.get("hostUsers") is False:
        for field, shown in _HOST_NAMESPACES:
            if spec.get(field):
                out.append(errors.field_forbidden(f"{path}.{shown}", "when `hostUsers` is false"))
    return out


_HOST_NAMESPACES = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))


def _dns(config: Json | None, policy: str, path: str) -> Findings:
    if policy == "None":
        if config is None:
            return [errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [errors.required(f"{path}.nameservers", text)]
    out: Findings = []
    config = config or {}
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if len(servers) > _NAMESERVERS_MAX:
        text = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        out.append(errors.invalid_value(f"{path}.nameservers", list(servers), text))
    for i, server in enumerate(servers):
        out += addresses.ip(server, f"{path}.nameservers[{i}]")
    where = f"{path}.searches"
    if len(searches) > _SEARCH_PATHS_MAX:
        text = f"must not have more than {_SEARCH_PATHS_MAX} search paths"
        out.append(errors.invalid_value(where, list(searches), text))
    if len(" ".join(searches)) > _SEARCH_CHARACTERS_MAX:
        text = (
            f"must not have more than {_SEARCH_CHARACTERS_MAX} characters "
            "(including spaces) in the search list"
        )
        out.append(errors.invalid_value(where, list(searches), text))
    for i, search in enumerate(searches):
        if search != ".":
            bare = search.removesuffix(".")
            out += _search_path(bare, f"{where}[{i}]")
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            out.append(errors.required(f"{path}.options[{i}]", "must not be empty"))
    return out


_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH_PATTERN = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_SEARCH = re.compile(_SEARCH_PATTERN + r"\Z")
_SEARCH_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' "
    "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
    f"regex used for validation is '{_SEARCH_PATTERN}')"
)


def _search_path(value: str, path: str) -> Findings:
    """A domain to search in: a subdomain whose labels may begin with an underscore."""
    out: Findings = []
    if len(value) > names.DNS_SUBDOMAIN_MAX:
        text = names.max_length(names.DNS_SUBDOMAIN_MAX)
        out.append(errors.invalid_value(path, value, text))
    if not _SEARCH.match(value):
        out.append(errors.invalid_value(path, value, _SEARCH_MESSAGE))
    return out


def _the_rest(spec: Json, path: str) -> Findings:
    out: Findings = []
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            out += checks.dns_subdomain(spec[field], f"{path}.{field}")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _SECONDS_MAX:
        text = f"must be between 1 and {_SECONDS_MAX}, inclusive"
        out.append(errors.invalid_value(f"{path}.activeDeadlineSeconds", deadline, text))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            out += checks.dns_label(spec[field], f"{path}.{field}")
    if spec.get("tolerations"):
        out += validate_tolerations(spec["tolerations"], f"{path}.tolerations")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{i}]"
        out += addresses.ip(alias.get("ip", ""), f"{where}.ip")
        for j, host in enumerate(alias.get("hostnames") or ()):
            out += checks.dns_subdomain(host, f"{where}.hostnames[{j}]")
    if spec.get("priorityClassName"):
        out += checks.dns_subdomain(spec["priorityClassName"], f"{path}.priorityClassName")
    if spec.get("runtimeClassName") is not None:
        out += checks.dns_subdomain(spec["runtimeClassName"], f"{path}.runtimeClassName")
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in PREEMPTION_POLICIES:
        where = f"{path}.preemptionPolicy"
        if not preemption:
            out.append(errors.required(where))
        else:
            out.append(errors.not_supported(where, preemption, PREEMPTION_POLICIES))
    if spec.get("overhead"):
        out += validate_resources({"limits": spec["overhead"]}, f"{path}.overhead", _NO_CLAIMS)
    if spec.get("os") is not None:
        out += validate_os(spec, path)
    return out
