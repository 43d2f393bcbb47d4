"""Warnings about pod specs that are accepted but will hardly do what was meant.

Called by the strategies of pods and of kinds with a template; each text goes into a `Warning`
header. https://kubernetes.io/blog/2020/09/03/warnings/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kapi.errors import quote
from kapi.kinds.pods.volume_warnings import fraction, volume_warnings
from kapi.kinds.shared.node_labels import OLD_NODE_LABELS, term_warnings
from kapi.registry import names
from kapi.registry.allocation.addresses import ip_warnings

Json = dict[str, Any]

_OLD_ANNOTATIONS: Mapping[str, str] = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
    "security.alpha.kubernetes.io/unsafe-sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_BYTES = ("memory", "ephemeral-storage")
_NOBODY = "a null labelSelector results in matching no pod"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(pod: Json) -> list[str]:
    """Of a new pod. Changes of pods are not warned of: controllers make most of them."""
    return _warnings(pod, "")


def template_warnings(obj: Json, old: Json | None, template: Json, path: str) -> list[str]:
    """Of a pod template at a path in an object; none where only metadata or status changed."""
    if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
        return []
    return _warnings(template, f"{path}.")


def name_warnings(obj: Json, old: Json | None, use: str = "Pod names and hostnames") -> list[str]:
    """Of the name of a new pod, or of something that names pods after itself, that no host may
    have.
    """
    complaints = [] if old is not None else names.dns_label(obj["metadata"].get("name", ""))
    if not complaints:
        return []
    return [
        f"metadata.name: this is used in {use}, which can result in surprising behavior; "
        f"a DNS label is recommended: [{' '.join(complaints)}]"
    ]


def _warnings(pod: Json, at: str) -> list[str]:
    spec = pod.get("spec") or {}
    notes: Json = (pod.get("metadata") or {}).get("annotations") or {}
    path = f"{at}spec"
    out = _placement(spec, path)
    for key, text in _OLD_ANNOTATIONS.items():
        if key in notes:
            out.append(f"{at}metadata.annotations[{key}]: {text}")
    out += volume_warnings(spec.get("volumes") or (), f"{path}.volumes")
    out += _aliases(spec.get("hostAliases") or (), path)
    out += _pull_secrets(spec.get("imagePullSecrets") or (), path)
    for name in _BYTES:
        out += fraction(spec.get("overhead") or {}, name, f"{path}.overhead")
    security = spec.get("securityContext") or {}
    if security.get("seccompProfile") is None and _SECCOMP_POD in notes:
        out.append(_seccomp(f"{at}metadata.annotations[{_SECCOMP_POD}]"))
    containers = list(_containers(spec, path))
    for container, where in containers:
        out += _profiles(container, notes, security, at)
        out += _container(container, where)
    out += _ports(containers) + _port_names(containers)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        out.append(f"{path}.terminationGracePeriodSeconds: {text}")
    out += _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    for i, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        out += ip_warnings(server, f"{path}.dnsConfig.nameservers[{i}]")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        out += ip_warnings(alias.get("ip", ""), f"{path}.hostAliases[{i}].ip")
    return out


def _containers(spec: Json, path: str) -> Iterator[tuple[Json, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{i}]"


# -- where it runs ----------------------------------------------------------------------------


def _placement(spec: Json, path: str) -> list[str]:
    out = [
        f"{path}.nodeSelector[{key}]: {OLD_NODE_LABELS[key]}"
        for key in spec.get("nodeSelector") or ()
        if key in OLD_NODE_LABELS
    ]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    for i, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        out += term_warnings(term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{i}]")
    for i, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        preference = weighted.get("preference") or {}
        at = f"{where}.{_PREFERRED}[{i}].preference"
        out += term_warnings(preference, at, values=True)
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key, where = constraint.get("topologyKey", ""), f"{path}.topologySpreadConstraints[{i}]"
        if key in OLD_NODE_LABELS:
            out.append(f"{where}.topologyKey: {key} is {OLD_NODE_LABELS[key]}")
        if constraint.get("labelSelector") is None:
            out.append(f"{where}.labelSelector: {_NOBODY}")
    return out


def _affinity(affinity: Json, path: str) -> list[str]:
    out: list[str] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        for i, term in enumerate(rules.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                out.append(f"{path}.{kind}.{_REQUIRED}[{i}].labelSelector: {_NOBODY}")
        for i, weighted in enumerate(rules.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                where = f"{path}.{kind}.{_PREFERRED}[{i}].podAffinityTerm.labelSelector"
                out.append(f"{where}: {_NOBODY}")
    return out


# -- lists ------------------------------------------------------------------------------------


def _aliases(aliases: Sequence[Json], path: str) -> list[str]:
    out: list[str] = []
    seen: set[str] = set()
    for i, alias in enumerate(aliases):
        address = alias.get("ip", "")
        if address in seen:
            out.append(f"{path}.hostAliases[{i}].ip: duplicate ip {quote(address)}")
        seen.add(address)
    return out


def _pull_secrets(secrets: Sequence[Json], path: str) -> list[str]:
    twice: list[str] = []
    empty: list[str] = []
    seen: set[str] = set()
    for i, secret in enumerate(secrets):
        name, where = secret.get("name", ""), f"{path}.imagePullSecrets[{i}].name"
        if name in seen:
            twice.append(f"{where}: duplicate name {quote(name)}")
        if not name:
            empty.append(f"{where}: invalid empty name {quote(name)}")
        seen.add(name)
    return twice + empty


# -- containers -------------------------------------------------------------------------------


def _seccomp(where: str) -> str:
    return f'{where}: non-functional in v1.27+; use the "seccompProfile" field instead'


def _profiles(container: Json, notes: Json, pod: Json, at: str) -> list[str]:
    """Annotations of profiles beside no field; those of AppArmor count for templates only."""
    out: list[str] = []
    security = container.get("securityContext") or {}
    name = container.get("name", "")
    key = _SECCOMP_CONTAINER + name
    if security.get("seccompProfile") is None and key in notes:
        out.append(_seccomp(f"{at}metadata.annotations[{key}]"))
    key = _APP_ARMOR + name
    fields = (pod.get("appArmorProfile"), security.get("appArmorProfile"))
    if at and fields == (None, None) and key in notes:
        text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
        out.append(f"{at}metadata.annotations[{key}]: {text}")
    return out


def _container(container: Json, path: str) -> list[str]:
    out: list[str] = []
    resources = container.get("resources") or {}
    for name in _BYTES:
        for field in ("limits", "requests"):
            out += fraction(resources.get(field) or {}, name, f"{path}.resources.{field}")
    seen: set[str] = set()
    for i, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen and _hides(variable, f"$({name})"):
            text = "hides previous definition of"
            more = "which may be dropped when using apply"
            out.append(f"{path}.env[{i}]: {text} {quote(name)}, {more}")
        seen.add(name)
    return out


def _hides(variable: Json, reference: str) -> bool:
    """Whether a variable leaves nothing of the one that it comes after."""
    value = variable.get("value", "")
    return variable.get("valueFrom") is not None or value == reference or reference not in value


_OTHERS_MAX = 200  # ports of one number that a port is compared with


def _ports(containers: Sequence[tuple[Json, str]]) -> list[str]:
    """Ports of one number and protocol, in all containers: apply would merge them."""
    out: list[str] = []
    seen: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for container, path in containers:
        for i, port in enumerate(container.get("ports") or ()):
            where = f"{path}.ports[{i}]"
            ip, host = port.get("hostIP", ""), port.get("hostPort", 0)
            if ip and not host:
                out.append(f"{where}: hostIP set without hostPort: {_printed(port)}")
            key = (port.get("containerPort", 0), port.get("protocol", ""))
            for other, other_ip, other_host in seen.get(key, ()):
                how = _conflict((ip, host), (other_ip, other_host))
                if how:
                    out.append(f"{where}: {how} port definition with {other}")
            others = seen.setdefault(key, [])
            if len(others) < _OTHERS_MAX:
                others.append((where, ip, host))
    return out


def _port_names(containers: Sequence[tuple[Json, str]]) -> list[str]:
    """Ports of one name, in all containers: who selects by name gets the first of them."""
    out: list[str] = []
    first: dict[str, str] = {}
    for container, path in containers:
        for i, port in enumerate(container.get("ports") or ()):
            name, where = port.get("name", ""), f"{path}.ports[{i}]"
            other = first.setdefault(name, where)
            if name and other != where:
                out.append(
                    f"{where}: duplicate port name {quote(name)} with {other}, services and "
                    f"probes that select ports by name will use {other}"
                )
    return out


def _conflict(one: tuple[str, int], other: tuple[str, int]) -> str:
    if one == other:
        return "duplicate"
    if not one[1] or not other[1]:
        return "overlapping"
    if one[1] == other[1] and bool(one[0]) is not bool(other[0]):
        return "dangerously ambiguous"
    return ""


def _printed(port: Json) -> str:
    """A port as Go prints its struct."""
    return (
        f"{{Name:{port.get('name', '')} HostPort:{port.get('hostPort', 0)} "
        f"ContainerPort:{port.get('containerPort', 0)} Protocol:{port.get('protocol', '')} "
        f"HostIP:{port.get('hostIP', '')}}}"
    )
