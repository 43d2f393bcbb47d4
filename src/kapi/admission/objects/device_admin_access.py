"""Devices are shared with who administers them only in namespaces that are labelled for it.

Asked after a claim was found valid; the answer is one more finding. What a driver was granted
before stays.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#admin-access
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from kapi.admission.plugin import Attributes, Operation
from kapi.errors import field_forbidden, invalid

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name

GROUP = "resource.k8s.io"
LABEL = "resource.kubernetes.io/admin-access"


class DeviceAdminAccess:
    name = "DeviceAdminAccess"

    def __init__(self, live: Live) -> None:
        self._live = live

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if group != GROUP:
            return False
        return (operation, resource, subresource) in (
            ("CREATE", "resourceclaims", ""),
            ("CREATE", "resourceclaimtemplates", ""),
            ("UPDATE", "resourceclaims", "status"),
        )

    async def validate(self, attributes: Attributes) -> None:
        """Raises ApiError 422."""
        a, obj = attributes, attributes.object or {}
        path = _granted(obj) if a.subresource else _requested(obj.get("spec") or {})
        if not path or (a.subresource and _granted(a.old or {})):
            return
        namespace = await self._live("namespaces", "", a.namespace) or {}
        labels = (namespace.get("metadata") or {}).get("labels") or {}
        if labels.get(LABEL) != "true":
            text = (
                f"admin access to devices requires the `{LABEL}: true` label on the containing "
                "namespace"
            )
            name = obj["metadata"].get("name", "")
            raise invalid(GROUP, a.kind, name, [field_forbidden(path, text)])


def _requested(spec: Json) -> str:
    """Where the first request asks for it. Templates are told the path of a claim."""
    requests = (spec.get("spec", spec).get("devices") or {}).get("requests")
    path = "spec.devices.requests"
    return _first((request.get("exactly") or {} for request in requests or ()), path)


def _granted(obj: Json) -> str:
    allocation = (obj.get("status") or {}).get("allocation") or {}
    path = "status.allocation.devices.results"
    return _first((allocation.get("devices") or {}).get("results") or (), path)


def _first(items: Iterable[Json], path: str) -> str:
    for i, item in enumerate(items):
        if item.get("adminAccess"):
            return f"{path}[{i}].adminAccess"
    return ""
