"""PodResizeValidator: a running pod does not grow beyond its node, and is resized on Linux only.

https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.quotas.pod_usage import pod_totals
from kapi.errors import ApiError, quote
from kapi.schema import quantity

Json = dict[str, Any]
_OS = "kubernetes.io/os"
_MILLI = Decimal(1000)


class PodResizeValidator:
    name = "PodResizeValidator"

    def __init__(self, nodes: Lister) -> None:
        self._nodes = nodes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == ("UPDATE", "", "pods", "resize")

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        old, new = ((o or {}).get("spec") or {} for o in (a.old, a.object))
        name = new.get("nodeName")
        if not name or old == new:
            return
        node = self._nodes.get("", name)
        if node is None:
            raise refused(a, f"node {quote(name)} not found")
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        requests = pod_totals(new, "requests")
        too_much = [
            f"{resource}, requested: {wanted}, allocatable: {there}"
            for resource, factor in (("cpu", _MILLI), ("memory", Decimal(1)))
            if (wanted := _count(requests, resource, factor))
            > (there := _count(allocatable, resource, factor))
        ]
        if too_much:
            text = "Node didn't have enough allocatable resources: " + "; ".join(too_much)
            raise _because(a, text, "NodeCapacity")
        system = (node["metadata"].get("labels") or {}).get(_OS, "")
        if system != "linux":
            text = "pod resize is only supported on linux nodes, "
            text += f"node {quote(name)} is {quote(system)}"
            raise _because(a, text, "UnsupportedPlatform")


def _count(amounts: Json, resource: str, factor: Decimal) -> int:
    number = quantity.value(amounts.get(resource, "0")) * factor
    return int(number.to_integral_value(ROUND_CEILING))


def _because(a: Attributes, text: str, reason: str) -> ApiError:
    error = refused(a, text)
    error.details = {**(error.details or {}), "causes": [{"reason": reason}]}
    return error
