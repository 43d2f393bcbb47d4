"""What an object uses of a quota: its count, and for pods, services and claims what they ask for.

Called by `resource_quota.py`. https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kapi.admission.quotas.pod_usage import pod_totals

Json = dict[str, Any]
Usage = dict[str, str]  # quantities by quota resource

# Kinds that are also counted under their bare name.
_BARE = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
_UPDATED = frozenset({"services", "persistentvolumeclaims"})
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_ENDED = ("Failed", "Succeeded")
MUST_SPECIFY = ("cpu", "memory", "ephemeral-storage")
_SERVICES = ("services.nodeports", "services.loadbalancers")
_STORAGE = "requests.storage"


def counts_updates(group: str, resource: str) -> bool:
    """Whether a change of an object can change what it uses."""
    return not group and resource in _UPDATED


def usage(group: str, resource: str, obj: Json) -> Usage:
    out: Usage = {f"count/{resource}.{group}" if group else f"count/{resource}": "1"}
    if group:
        return out
    if resource == "pods":
        return {**out, **_pod(obj)}
    if resource in _BARE:
        out[resource] = "1"
    if resource == "services":
        out.update(_service(obj.get("spec") or {}))
    elif resource == "persistentvolumeclaims":
        out.update(_claim(obj.get("spec") or {}))
    return out


def concerned(group: str, resource: str, names: Iterable[str]) -> list[str]:
    """Which of a quota's resources objects of a kind can use, sorted."""
    counted = {f"count/{resource}.{group}" if group else f"count/{resource}"}
    if not group and resource in _BARE:
        counted.add(resource)
    if not group and resource == "services":
        counted.update(_SERVICES)

    def used(name: str) -> bool:
        if name in counted:
            return True
        if group:
            return False
        if resource == "persistentvolumeclaims":
            return name == _STORAGE or _CLASS_SUFFIX in name
        return resource == "pods" and _of_pods(name)

    return sorted(name for name in names if used(name))


def _of_pods(name: str) -> bool:
    field, _, rest = name.partition(".")
    if field not in ("requests", "limits") or name == _STORAGE:
        return name in MUST_SPECIFY or name.startswith("hugepages-")
    return rest in MUST_SPECIFY or (
        field == "requests" and (rest.startswith("hugepages-") or "/" in rest)
    )


def _pod(pod: Json) -> Usage:
    if (pod.get("status") or {}).get("phase") in _ENDED:
        return {}
    spec = pod.get("spec") or {}
    out: Usage = {"pods": "1"}
    for name, amount in pod_totals(spec, "requests").items():
        out[f"requests.{name}"] = amount
        if name in MUST_SPECIFY or name.startswith("hugepages-"):
            out[name] = amount
    for name, amount in pod_totals(spec, "limits").items():
        out[f"limits.{name}"] = amount
    return out


def _service(spec: Json) -> Usage:
    kind, ports = spec.get("type"), spec.get("ports") or ()
    balanced = kind == "LoadBalancer"
    node_ports = 0
    if kind == "NodePort" or (balanced and spec.get("allocateLoadBalancerNodePorts") is not False):
        node_ports = len(ports)
    elif balanced:
        node_ports = sum(1 for p in ports if p.get("nodePort"))
    return {
        "services.loadbalancers": str(int(balanced)),
        "services.nodeports": str(node_ports),
    }


def _claim(spec: Json) -> Usage:
    out: Usage = {}
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    name = spec.get("storageClassName")
    if name:
        out[f"{name}{_CLASS_SUFFIX}persistentvolumeclaims"] = "1"
    if storage is not None:
        out[_STORAGE] = storage
        if name:
            out[f"{name}{_CLASS_SUFFIX}requests.storage"] = storage
    return out


# -- which quotas are meant -----------------------------------------------------------------------


def in_scope(quota: Json, resource: str, obj: Json) -> bool:
    """Whether all scopes of a quota hold for an object; only pods have any."""
    spec = quota.get("spec") or {}
    scopes = [{"scopeName": s, "operator": "Exists"} for s in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not scopes:
        return True
    if resource != "pods":
        return False
    return all(_matches(scope, obj.get("spec") or {}, obj) for scope in scopes)


def _matches(scope: Mapping[str, Any], spec: Json, pod: Json) -> bool:
    name = scope.get("scopeName")
    if name in ("Terminating", "NotTerminating"):
        ends = spec.get("activeDeadlineSeconds") is not None
        return ends is (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        best = (pod.get("status") or {}).get("qosClass") == "BestEffort"
        return bool(best) is (name == "BestEffort")
    if name == "PriorityClass":
        return _priority(scope, spec.get("priorityClassName") or "")
    return name == "CrossNamespacePodAffinity" and _crosses_namespaces(spec)


def _priority(scope: Mapping[str, Any], value: str) -> bool:
    operator, values = scope.get("operator"), scope.get("values") or ()
    if operator in ("In", "NotIn"):
        return bool(value in tuple(values)) is (operator == "In")
    return bool(value) is (operator == "Exists")


def _crosses_namespaces(spec: Json) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        for preferred in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            terms.append(preferred.get("podAffinityTerm") or {})
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


def unspecified(hard: Mapping[str, str], pod: Json) -> str:
    """What a quota limits and containers do not say: `must specify limits.cpu for: a,b`."""
    spec = pod.get("spec") or {}
    whole = spec.get("resources") or {}
    missing: dict[str, list[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        for wanted in hard:
            field, name = _field_and_name(wanted)
            if name not in MUST_SPECIFY or name in (whole.get(field) or {}):
                continue
            if name not in (resources.get(field) or {}):
                missing.setdefault(wanted, []).append(container.get("name", ""))
    if not missing:
        return ""
    said = [f"{name} for: {','.join(missing[name])}" for name in sorted(missing)]
    return "must specify " + "; ".join(said)


def _field_and_name(resource: str) -> tuple[str, str]:
    for prefix in ("requests", "limits"):
        if resource.startswith(f"{prefix}."):
            return prefix, resource[len(prefix) + 1 :]
    return "requests", resource
