"""Names of resources that are counted or limited, and their amounts.

Used by pods, quotas, limit ranges, nodes and autoscalers.
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from kapi.errors import FieldError, bounded_findings, invalid_value
from kapi.kinds.shared import checks

CONTAINER_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
_QUOTA_RESOURCES = frozenset(
    (
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
        "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
        "limits.ephemeral-storage", "pods", "resourcequotas", "services",
        "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
        "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
_STANDARD_RESOURCES = _QUOTA_RESOURCES | {"storage"}
_INTEGER_RESOURCES = frozenset(
    (
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    """A resource of Kubernetes itself: without a domain, or of kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource with a domain of its own."""
    if is_native(name) or name.startswith("requests."):
        return False
    with bounded_findings(told=False):
        return not checks.qualified_name("requests." + name, "")


def overcommit_allowed(name: str) -> bool:
    """Whether a request may be below its limit."""
    return is_native(name) and not is_huge_page(name)


def standard_resource(name: str, path: str) -> list[FieldError]:
    """A name in a list of resources: qualified, or a standard one."""
    out = checks.qualified_name(name, path)
    if out or "/" in name:
        return out
    if name not in _STANDARD_RESOURCES and not is_huge_page(name) and not _quota_huge_page(name):
        text = "must be a standard resource type or fully qualified"
        return [invalid_value(path, name, text)]
    return []


def _quota_huge_page(name: str) -> bool:
    return name.startswith("requests.hugepages-")


def container_resource(name: str, path: str) -> list[FieldError]:
    """A name in a container's list of resources."""
    out = standard_resource(name, path)
    if "/" not in name:
        if name not in CONTAINER_RESOURCES and not is_huge_page(name):
            out.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        out.append(invalid_value(path, name, "doesn't follow extended resource name standard"))
    return out


def in_quotas(name: str) -> bool:
    """A standard resource of quotas."""
    return name in _QUOTA_RESOURCES or is_huge_page(name) or _quota_huge_page(name)


def quota_resource(name: str, path: str) -> list[FieldError]:
    """A name in the hard limits of a quota."""
    out = standard_resource(name, path)
    if "/" not in name and not in_quotas(name):
        out.append(invalid_value(path, name, "must be a standard resource for quota"))
    return out


def quantity_of(name: str, text: str, path: str) -> list[FieldError]:
    """An amount of a resource: not negative, and whole where the resource is counted."""
    value = checks.number(text)
    out = []
    if value < 0:
        out.append(invalid_value(path, text, checks.NEGATIVE))
    if name in _INTEGER_RESOURCES or is_extended(name):
        # Thousandths are what is looked at; beyond 64 bits there are none.
        small = value.adjusted() < 19
        if small and (value * 1000).to_integral_value(rounding="ROUND_CEILING") % 1000:
            out.append(invalid_value(path, text, "must be an integer"))
    return out
