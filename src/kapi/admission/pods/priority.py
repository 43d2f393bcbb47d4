"""Priority: a pod's priority class becomes a number; one class at most is the default.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused

Json = dict[str, Any]
PREEMPT = "PreemptLowerPriority"
_PODS = ("", "pods")
_CLASSES = ("scheduling.k8s.io", "priorityclasses")


class Priority:
    name = "Priority"

    def __init__(self, classes: Lister) -> None:
        self._classes = classes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if subresource or operation not in ("CREATE", "UPDATE"):
            return False
        return (group, resource) in (_PODS, _CLASSES)

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        if (a.group, a.resource) != _PODS:
            return
        assert a.object is not None
        spec = a.object.setdefault("spec", {})
        if a.operation == "UPDATE":
            before = (a.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and before.get(field) is not None:
                    spec[field] = before[field]
            return
        self._set(a, spec)

    def _set(self, a: Attributes, spec: Json) -> None:
        name = spec.get("priorityClassName")
        if name:
            found = self._classes.get("", name)
            if found is None:
                text = f"no PriorityClass with name {name} was found"
                raise refused(a, text)
        else:
            found = self._default()
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        priority = 0 if found is None else found.get("value", 0)
        policy = PREEMPT if found is None else found.get("preemptionPolicy") or PREEMPT
        given = spec.get("priority")
        if given is not None and given != priority:
            text = (
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given "
                "PriorityClass name"
            )
            raise refused(a, text)
        spec["priority"] = priority
        own = spec.get("preemptionPolicy")
        if own is not None and own != policy:
            text = (
                f"the string value of PreemptionPolicy ({own}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given "
                "PriorityClass name"
            )
            raise refused(a, text)
        spec["preemptionPolicy"] = policy

    def _default(self) -> Json | None:
        """The class for pods that name none; the lowest, where there are several."""
        marked = [c for c in self._classes.list() if c.get("globalDefault")]
        return min(marked, key=lambda c: c.get("value", 0), default=None)

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        if (a.group, a.resource) != _CLASSES or not (a.object or {}).get("globalDefault"):
            return
        for other in self._classes.list():
            if other.get("globalDefault") and other["metadata"]["name"] != a.name:
                text = (
                    f"PriorityClass {other['metadata']['name']} is already marked as default. "
                    "Only one default can exist"
                )
                raise refused(a, text)
