"""Amounts of resources that containers and pods ask for: names, numbers, requests within limits.

Called by `containers.py` and `validation.py`; the quality of service class of a pod follows
from the same amounts.
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared.resource_names import (
    CONTAINER_RESOURCES,
    container_resource,
    overcommit_allowed,
    quantity_of,
)
from kapi.schema import quantity

Json = dict[str, Any]
Findings = list[FieldError]
NameCheck = Callable[[str, str], Findings]  # (resource name, path)

HUGE_PAGES = "hugepages-"
POD_RESOURCES = ("cpu", "hugepages-", "memory")


def validate_resources(
    resources: Json,
    path: str,
    claims: frozenset[str],
    name_check: NameCheck = container_resource,
) -> Findings:
    out: Findings = []
    limits: Mapping[str, str] = resources.get("limits") or {}
    requests: Mapping[str, str] = resources.get("requests") or {}
    huge = False
    for name, amount in limits.items():
        if name not in CONTAINER_RESOURCES or amount[0] == "-":
            where = f"{path}.limits[{name}]"
            out += name_check(name, where)
            out += quantity_of(name, amount, where)
            if name.startswith(HUGE_PAGES):
                huge = True
                out += _whole_pages(name, amount, where)
    for name, amount in requests.items():
        if name not in CONTAINER_RESOURCES or amount[0] == "-":
            where = f"{path}.requests[{name}]"
            out += name_check(name, where)
            out += quantity_of(name, amount, where)
            if name.startswith(HUGE_PAGES):
                huge = True
                out += _whole_pages(name, amount, where)
        limit = limits.get(name)
        if limit is None:
            if not overcommit_allowed(name):
                text = "Limit must be set for non overcommitable resources"
                out.append(errors.required(f"{path}.limits", text))
        elif amount != limit:
            out += _within(name, amount, limit, f"{path}.requests")
    if huge and not ({"cpu", "memory"} & (limits.keys() | requests.keys())):
        out.append(errors.field_forbidden(path, "HugePages require cpu or memory"))
    if resources.get("claims"):
        out += _claim_names(resources["claims"], claims, f"{path}.claims")
    return out


def _whole_pages(name: str, amount: str, path: str) -> Findings:
    """An amount of `hugepages-<size>` is a multiple of the size."""
    try:
        size = quantity.value(quantity.canonical(name.removeprefix(HUGE_PAGES)))
    except ValueError:
        size = Decimal(0)
    whole = size > 0 and size == size.to_integral_value()
    if whole and -(-quantity.value(amount) // 1) % size == 0:
        return []
    text = f"{amount} is not positive integer multiple of {name}"
    return [errors.invalid_value(path, amount, text)]


def _within(name: str, request: str, limit: str, path: str) -> Findings:
    more = quantity.value(request) - quantity.value(limit)
    if more != 0 and not overcommit_allowed(name):
        text = f"must be equal to {name} limit of {limit}"
        return [errors.invalid_value(path, request, text)]
    if more > 0:
        text = f"must be less than or equal to {name} limit of {limit}"
        return [errors.invalid_value(path, request, text)]
    return []


def _claim_names(claims: Sequence[Json], known: frozenset[str], path: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        name, request = claim.get("name", ""), claim.get("request", "")
        if not name:
            out.append(errors.required(f"{path}[{i}]"))
            continue
        if name in seen or f"{name}/{request}" in seen:
            shown = name if name in seen else f"{name}/{request}"
            out.append(errors.duplicate(f"{path}[{i}]", shown))
        else:
            seen.add(f"{name}/{request}" if request else name)
        if name not in known:
            out.append(errors.field_not_found(f"{path}[{i}]", name, _among(known)))
    return out


def _among(known: frozenset[str]) -> str:
    listed = f": {', '.join(sorted(known))}" if known else " which is empty"
    return f"must be one of the names in pod.spec.resourceClaims{listed}"


_RESIZABLE = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def validate_resize_policy(policies: Sequence[Json], path: str, restart_policy: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, policy in enumerate(policies):
        resource, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in seen:
            out.append(errors.duplicate(f"{path}[{i}]", resource))
        seen.add(resource)
        for value, supported in ((resource, _RESIZABLE), (restart, _RESIZE_POLICIES)):
            if not value:
                out.append(errors.required(path))
            elif value not in supported:
                out.append(errors.not_supported(path, value, supported))
        if restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            out.append(errors.invalid_value(path, restart, text))
    return out


# -- quality of service ---------------------------------------------------------------------------

_COUNTED = ("cpu", "memory")


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort.
    https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    """
    whole = spec.get("resources")
    if whole and (whole.get("requests") or whole.get("limits")):
        return _class_of([whole])
    containers = [c.get("resources") or {} for c in spec.get("containers") or ()]
    containers += [c.get("resources") or {} for c in spec.get("initContainers") or ()]
    return _class_of(containers)


def _class_of(resources: Sequence[Json]) -> str:
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    guaranteed = True
    for each in resources:
        own_limits, own_requests = each.get("limits") or {}, each.get("requests") or {}
        found = 0
        for name in _COUNTED:
            amount = own_requests.get(name)
            if amount is not None and amount != "0":
                requests[name] = requests.get(name, Decimal(0)) + quantity.value(amount)
            amount = own_limits.get(name)
            if amount is not None and amount != "0":
                limits[name] = limits.get(name, Decimal(0)) + quantity.value(amount)
                found += 1
        guaranteed = guaranteed and found == len(_COUNTED)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and requests == limits and len(requests) == len(limits):
        return "Guaranteed"
    return "Burstable"
