"""LimitRanger: a namespace's limit ranges give pods default amounts, and refuse what is outside of
them.

https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.quotas.pod_usage import pod_totals
from kapi.schema import quantity

Json = dict[str, Any]
Amounts = Mapping[str, str]
ANNOTATION = "kubernetes.io/limit-ranger"
_CLAIMS = "persistentvolumeclaims"


class LimitRanger:
    name = "LimitRanger"

    def __init__(self, ranges: Lister) -> None:
        self._ranges = ranges

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if group or operation not in ("CREATE", "UPDATE"):
            return False
        if resource == "pods":
            return (operation, subresource) in (("CREATE", ""), ("UPDATE", "resize"))
        return resource == _CLAIMS and not subresource

    async def admit(self, attributes: Attributes) -> None:
        if attributes.resource != "pods" or attributes.subresource:
            return
        pod = attributes.object
        assert pod is not None
        for limit_range in self._ranges.list(attributes.namespace):
            said = _set_defaults(pod.get("spec") or {}, limit_range)
            if said:
                meta = pod["metadata"]
                annotations = dict(meta.get("annotations") or {})
                annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(said)}"
                meta["annotations"] = {k: annotations[k] for k in sorted(annotations)}

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        assert a.object is not None
        for limit_range in self._ranges.list(a.namespace):
            check = _claim_findings if a.resource == _CLAIMS else _pod_findings
            found = check(a.object, limit_range)
            if found:
                text = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
                raise refused(a, text)


def _limits(limit_range: Json, kind: str) -> list[Json]:
    items = (limit_range.get("spec") or {}).get("limits") or ()
    return [item for item in items if item.get("type") == kind]


# -- defaults -------------------------------------------------------------------------------------


def _set_defaults(spec: Json, limit_range: Json) -> list[str]:
    """Fill in what containers do not say; what was set, in words."""
    limits: Json = {}
    requests: Json = {}
    for item in _limits(limit_range, "Container"):
        requests.update(item.get("defaultRequest") or {})
        limits.update(item.get("default") or {})
    said: list[str] = []
    if not limits and not requests:
        return said
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            resources = container.setdefault("resources", {})
            who = f"{word} {container.get('name', '')}"
            added = _fill(resources, "requests", requests)
            if added:
                said.append(f"{', '.join(added)} request for {who}")
            added = _fill(resources, "limits", limits)
            if added:
                said.append(f"{', '.join(added)} limit for {who}")
            _in_order(resources)
    return said


def _fill(resources: Json, field: str, defaults: Json) -> list[str]:
    own = resources.get(field) or {}
    added = sorted(defaults.keys() - own.keys())
    if added:
        merged = {**own, **{name: defaults[name] for name in added}}
        resources[field] = {name: merged[name] for name in sorted(merged)}
    return added


def _in_order(resources: Json) -> None:
    for field in ("limits", "requests", "claims"):
        if field in resources:
            resources[field] = resources.pop(field)


# -- bounds ---------------------------------------------------------------------------------------


def _pod_findings(pod: Json, limit_range: Json) -> list[str]:
    spec = pod.get("spec") or {}
    out: list[str] = []
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        kind = item.get("type")
        if kind == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    resources = container.get("resources") or {}
                    out += _bounds(
                        item, kind, resources.get("requests") or {}, resources.get("limits") or {}
                    )
        elif kind == "Pod":
            out += _bounds(item, kind, pod_totals(spec, "requests"), pod_totals(spec, "limits"))
    return out


def _bounds(item: Json, kind: str, requests: Amounts, limits: Amounts) -> list[str]:
    out: list[str] = []
    for name, bound in sorted((item.get("min") or {}).items()):
        out += _minimum(name, kind, bound, requests.get(name), limits.get(name))
    for name, bound in sorted((item.get("max") or {}).items()):
        out += _maximum(name, kind, bound, requests.get(name), limits.get(name))
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        out += _ratio(name, kind, bound, requests.get(name), limits.get(name))
    return out


def _minimum(name: str, kind: str, bound: str, request: str | None, limit: str | None) -> list[str]:
    head = f"minimum {name} usage per {kind} is {bound}"
    if request is None:
        return [f"{head}.  No request is specified"]
    if quantity.value(request) < quantity.value(bound):
        return [f"{head}, but request is {request}"]
    if limit is not None and quantity.value(limit) < quantity.value(bound):
        return [f"{head}, but limit is {limit}"]
    return []


def _maximum(name: str, kind: str, bound: str, request: str | None, limit: str | None) -> list[str]:
    head = f"maximum {name} usage per {kind} is {bound}"
    if limit is None:
        return [f"{head}.  No limit is specified"]
    if quantity.value(limit) > quantity.value(bound):
        return [f"{head}, but limit is {limit}"]
    if request is not None and quantity.value(request) > quantity.value(bound):
        return [f"{head}, but request is {request}"]
    return []


def _ratio(name: str, kind: str, bound: str, request: str | None, limit: str | None) -> list[str]:
    head = f"{name} max limit to request ratio per {kind} is {bound}"
    asked = quantity.value(request) if request is not None else Decimal(0)
    capped = quantity.value(limit) if limit is not None else Decimal(0)
    if asked == 0:
        return [f"{head}, but no request is specified or request is 0"]
    if capped == 0:
        return [f"{head}, but no limit is specified or limit is 0"]
    if capped / asked > quantity.value(bound):
        return [f"{head}, but provided ratio is {float(capped / asked):f}"]
    return []


def _claim_findings(claim: Json, limit_range: Json) -> list[str]:
    resources = (claim.get("spec") or {}).get("resources") or {}
    requests = resources.get("requests") or {}
    out: list[str] = []
    for item in _limits(limit_range, "PersistentVolumeClaim"):
        for word, wrong in (("min", -1), ("max", 1)):
            for name, bound in sorted((item.get(word) or {}).items()):
                head = f"{word}imum {name} usage per PersistentVolumeClaim is {bound}"
                amount = requests.get(name)
                if amount is None:
                    out.append(f"{head}.  No request is specified")
                elif (quantity.value(amount) - quantity.value(bound)) * wrong > 0:
                    out.append(f"{head}, but request is {amount}")
    return out
