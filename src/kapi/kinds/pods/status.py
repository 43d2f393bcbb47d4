"""What may stand in the status of a pod: conditions, states, claims, addresses, users, health.

Called by `pods.py` for writes of `pods/status`. The order of findings is the real server's.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.security import identity
from kapi.kinds.pods.updates import annotation_changes
from kapi.kinds.shared import checks
from kapi.registry.allocation import addresses

Json = dict[str, Any]
Findings = list[FieldError]

_SYSTEM_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})
_LISTS = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_CLAIM = "claim:"


def validate_status_change(new: Json, old: Json) -> Findings:
    out = annotation_changes(new, old)
    status, before = new.get("status") or {}, old.get("status") or {}
    spec = new.get("spec") or {}
    for i, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type", "")
        if kind not in _SYSTEM_CONDITIONS:  # the real server says metadata here
            out += checks.qualified_name(kind, f"metadata.conditions[{i}].Type")
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        out += checks.dns_subdomain(nominated, "status.nominatedNodeName")
    for field, containers in _LISTS:
        out += _transitions(status, before, field, _Restarts(old.get("spec") or {}, containers))
    out += _claims(status.get("resourceClaimStatuses") or (), spec)
    out += _pod_addresses(status.get("podIPs") or (), "status.podIPs")
    out += _host_addresses(status, "status.hostIPs")
    for field, _ in _LISTS:
        for i, container in enumerate(status.get(field) or ()):
            out += _user(container.get("user"), spec, f"status.{field}[{i}].linux")
    for field, containers in _LISTS:
        for i, container in enumerate(status.get(field) or ()):
            resources = container.get("allocatedResourcesStatus") or ()
            where = f"status.{field}[{i}].allocatedResourcesStatus"
            if resources and containers == "ephemeralContainers":
                text = "must not be specified in container status"
                out.append(errors.field_forbidden(where, text))
            else:
                out += _allocated(resources, _named(spec, containers, container), where)
    return out


def keep(status: Json, before: Json) -> None:
    """What a status that a client writes may not take away: clients forget newer fields."""
    if before.get("qosClass"):
        status["qosClass"] = before["qosClass"]
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    observed: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        generation = condition.get("observedGeneration", 0)
        observed.setdefault(condition.get("type", ""), []).append(generation)
    for condition in status.get("conditions") or ():
        earlier = observed.get(condition.get("type", ""))
        generation = earlier.pop(0) if earlier else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def address_warnings(status: Json) -> list[str]:
    return [
        warning
        for name in ("podIPs", "hostIPs")
        for i, entry in enumerate(status.get(name) or ())
        for warning in addresses.ip_warnings(entry.get("ip", ""), f"status.{name}[{i}].ip")
    ]


def _named(spec: Json, field: str, status: Json) -> Json | None:
    name = status.get("name", "")
    return next((c for c in spec.get(field) or () if c.get("name", "") == name), None)


# -- states -----------------------------------------------------------------------------------


class _Restarts:
    """Which containers of a list may run again after they ended."""

    def __init__(self, spec: Json, field: str) -> None:
        self._policy = "Never" if field == "ephemeralContainers" else spec.get("restartPolicy")
        self._own = {
            c.get("name", "")
            for c in spec.get(field) or ()
            if c.get("restartPolicy") == "Always" or c.get("restartPolicyRules")
        }

    def __call__(self, name: str, exit_code: int) -> bool:
        if self._policy == "Always" or name in self._own:
            return True
        return self._policy == "OnFailure" and exit_code != 0


def _transitions(status: Json, before: Json, field: str, restarts: _Restarts) -> Findings:
    """Containers of a pod that does not restart them stay terminated."""
    out: Findings = []
    for i, old in enumerate(before.get(field) or ()):
        ended, name = (old.get("state") or {}).get("terminated"), old.get("name", "")
        if ended is None or restarts(name, ended.get("exitCode", 0)):
            continue
        for new in status.get(field) or ():
            if new.get("name", "") == name and not (new.get("state") or {}).get("terminated"):
                text = "may not be transitioned to non-terminated state"
                out.append(errors.field_forbidden(f"status.{field}[{i}].state", text))
    return out


# -- claims and addresses -------------------------------------------------------------------------


def _claims(statuses: Sequence[Json], spec: Json) -> Findings:
    out: Findings = []
    known = {c.get("name", "") for c in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for i, status in enumerate(statuses):
        name, where = status.get("name", ""), f"status.resourceClaimStatuses[{i}].name"
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            out.append(errors.invalid_value(where, name, text))
        if name in seen:
            out.append(errors.duplicate(where, name))
        seen.add(name)
        if status.get("resourceClaimName") is not None:
            out += checks.dns_subdomain(status["resourceClaimName"], where)
    return out


def _pod_addresses(entries: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, entry in enumerate(entries):
        out += addresses.ip(entry.get("ip", ""), f"{path}[{i}]")
    if len(entries) > 1:
        out += _families(entries, path)
        out += _twice(entries, path)
    return out


def _host_addresses(status: Json, path: str) -> Findings:
    entries = status.get("hostIPs") or ()
    if not entries:
        return []
    out: Findings = []
    first = entries[0].get("ip", "")
    if status.get("hostIP", "") != first:
        out.append(errors.invalid_value(f"{path}[0].ip", first, "must be equal to `hostIP`"))
    for i, entry in enumerate(entries):
        out += addresses.ip(entry.get("ip", ""), f"{path}[{i}]")
    if len(entries) > 1:
        out += _twice(entries, path)
        out += _families(entries, path)
    return out


def _shown(entry: Json) -> Json:
    return {"IP": entry.get("ip", "")}


def _twice(entries: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        address = entry.get("ip", "")
        if address in seen:
            out.append(errors.duplicate(f"{path}[{i}]", _shown(entry)))
        seen.add(address)
    return out


def _families(entries: Sequence[Json], path: str) -> Findings:
    """At most one address of each family."""
    out: Findings = []
    families = [addresses.ip_family(e.get("ip", "")) for e in entries]
    for i, family in enumerate(families):
        if not family:
            wrong = f"invalid IP[{i}]: {entries[i].get('ip', '')}"
            text = f"failed to check for dual stack with error:{wrong}"
            out.append(FieldError(path, "InternalError", "", text))
            break
    if len(entries) > 2 or len(set(families)) != 2 or out:
        text = "may specify no more than one IP for each IP family"
        out.append(errors.invalid_value(path, [_shown(e) for e in entries], text))
    return out


# -- what the kubelet saw ------------------------------------------------------------------------


def _user(user: Json | None, spec: Json, where: str) -> Findings:
    linux = (user or {}).get("linux")
    if linux is None:
        return []
    if ((spec.get("os") or {}).get("name") or "linux") == "windows":
        return [errors.field_forbidden(where, "cannot be set for a windows pod")]
    out = identity(linux.get("uid", 0), f"{where}.uid")
    out += identity(linux.get("gid", 0), f"{where}.gid")
    for i, group in enumerate(linux.get("supplementalGroups") or ()):
        out += identity(group, f"{where}.supplementalGroups[{i}]")
    return out


def _allocated(resources: Sequence[Json], container: Json | None, path: str) -> Findings:
    out: Findings = []
    for i, resource in enumerate(resources):
        name = resource.get("name", "")
        if container is not None:
            wanted: Mapping[str, Any] = container.get("resources") or {}
            if name.startswith(_CLAIM):
                known = {_claim_name(c) for c in wanted.get("claims") or ()}
                text = (
                    "must match one of the container's resource claims in a format "
                    "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
                )
            else:
                known = set(wanted.get("requests") or ())
                text = "must match one of the container's resource requests"
            if name not in known:
                out.append(errors.invalid_value(f"{path}[{i}].name", name, text))
        seen: set[str] = set()
        for j, health in enumerate(resource.get("resources") or ()):
            where, state = f"{path}[{i}].resources[{j}]", health.get("health", "")
            if state not in _HEALTH:
                out.append(errors.not_supported(f"{where}.health", state, _HEALTH))
            identifier = health.get("resourceID", "")
            if identifier in seen:
                out.append(errors.duplicate(f"{where}.resourceID", identifier))
            seen.add(identifier)
    return out


def _claim_name(claim: Json) -> str:
    request = claim.get("request", "")
    return f"{_CLAIM}{claim.get('name', '')}" + (f"/{request}" if request else "")
