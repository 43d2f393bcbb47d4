"""Warnings about pod specs that are accepted but will hardly do what was meant.

Called by the strategies of pods and of kinds with a template; each text goes into a `Warning`
header. https://kubernetes.io/blog/2020/09/03/warnings/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi.errors import quote

Json = dict[str, Any]

_OLD_LABELS: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
}
_BYTES = ("ephemeral-storage", "memory")


def pod_warnings(new: Json, old: Json | None) -> list[str]:
    """Of a pod; on update nothing that was so before is said again."""
    if old is not None and (new.get("spec") or {}) == (old.get("spec") or {}):
        return []
    return _spec(new.get("spec") or {}, "spec")


def template_warnings(template: Json, old: Json | None, path: str) -> list[str]:
    """Of a pod template at a path; none where it did not change."""
    if old is not None and template == old:
        return []
    return _spec(template.get("spec") or {}, f"{path}.spec")


def _spec(spec: Json, path: str) -> list[str]:
    out: list[str] = []
    for key in spec.get("nodeSelector") or ():
        if key in _OLD_LABELS:
            out.append(f"{path}.nodeSelector[{key}]: {_OLD_LABELS[key]}")
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey", "")
        if key in _OLD_LABELS:
            where = f"{path}.topologySpreadConstraints[{i}].topologyKey"
            out.append(f"{where}: {key} is {_OLD_LABELS[key]}")
    out += _aliases(spec.get("hostAliases") or (), path)
    out += _pull_secrets(spec.get("imagePullSecrets") or (), path)
    for field in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(field) or ()):
            out += _container(container, f"{path}.{field}[{i}]")
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        out.append(f"{path}.terminationGracePeriodSeconds: {text}")
    return out


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
    out: list[str] = []
    seen: set[str] = set()
    for i, secret in enumerate(secrets):
        name, where = secret.get("name", ""), f"{path}.imagePullSecrets[{i}].name"
        if not name:
            out.append(f"{where}: invalid empty name {quote(name)}")
        elif name in seen:
            out.append(f"{where}: duplicate name {quote(name)}")
        seen.add(name)
    return out


def _container(container: Json, path: str) -> list[str]:
    out: list[str] = []
    resources = container.get("resources") or {}
    for field in ("limits", "requests"):
        for name in _BYTES:
            amount = (resources.get(field) or {}).get(name, "")
            if amount.endswith("m"):
                where = f"{path}.resources.{field}[{name}]"
                text = f"fractional byte value {quote(amount)} is invalid, must be an integer"
                out.append(f"{where}: {text}")
    env = container.get("env") or ()
    if len(env) > 1:
        seen: set[str] = set()
        for i, variable in enumerate(env):
            name = variable.get("name", "")
            if name in seen:
                text = "hides previous definition of"
                more = "which may be dropped when using apply"
                out.append(f"{path}.env[{i}]: {text} {quote(name)}, {more}")
            seen.add(name)
    ports = container.get("ports") or ()
    if len(ports) > 1:
        out += _ports(ports, f"{path}.ports")
    return out


def _ports(ports: Sequence[Json], path: str) -> list[str]:
    """Two ports with one number and protocol: apply would merge them."""
    out: list[str] = []
    seen: dict[tuple[Any, ...], int] = {}
    for i, port in enumerate(ports):
        key = tuple(port.get(f) for f in ("containerPort", "protocol", "hostIP", "hostPort"))
        if key in seen:
            out.append(f"{path}[{i}]: duplicate port definition with {path}[{seen[key]}]")
        else:
            seen[key] = i
    return out
