"""scheduling.k8s.io: PriorityClass.
https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kapi.errors import FieldError, field_forbidden, not_supported, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import FirstGeneration
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "scheduling.k8s.io"
_PACKAGE = "io.k8s.api.scheduling.v1."
USER_PRIORITY_MAX = 1_000_000_000
SYSTEM_CLASSES: Mapping[str, int] = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
_POLICIES = ("PreemptLowerPriority", "Never")


class PriorityClassStrategy(FirstGeneration):
    undeletable = MappingProxyType(
        dict.fromkeys(SYSTEM_CLASSES, "this is a system priority class and cannot be deleted")
    )

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        value, policy = obj.get("value", 0), obj.get("preemptionPolicy")
        if old is not None:
            out: list[FieldError] = []
            if value != old.get("value", 0):
                out.append(field_forbidden("value", "may not be changed in an update."))
            before = old.get("preemptionPolicy")
            return out + checks.immutable(policy, before, "preemptionPolicy")
        out = _value(obj["metadata"].get("name", ""), value, bool(obj.get("globalDefault")))
        if policy == "":
            out.append(required("preemptionPolicy"))
        elif policy is not None and policy not in _POLICIES:
            out.append(not_supported("preemptionPolicy", policy, _POLICIES))
        return out


def _value(name: str, value: int, everywhere: bool) -> list[FieldError]:
    if not name.startswith("system-"):
        if value <= USER_PRIORITY_MAX:
            return []
        text = f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"
        return [field_forbidden("value", text)]
    if name not in SYSTEM_CLASSES:
        problem = f"{name} is not a known system priority class"
    elif value != SYSTEM_CLASSES[name]:
        problem = f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    elif everywhere:
        problem = f"globalDefault of {name} PriorityClass must be false"
    else:
        return []
    text = (
        "priority class names with 'system-' prefix are reserved for system use only. error: "
        f"{problem}"
    )
    return [field_forbidden("metadata.name", text)]


DEFAULTS: Mapping[str, Any] = {
    _PACKAGE + "PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "priorityclasses"): PriorityClassStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "priorityclasses"): (
        cells.name_column(),
        cells.column(
            "Value",
            "integer",
            cells.field("value", default=0),
            described("io.k8s.api.scheduling.v1.PriorityClass", "value"),
        ),
        cells.column(
            "Global-Default",
            "boolean",
            cells.field("globalDefault", default=False),
            described("io.k8s.api.scheduling.v1.PriorityClass", "globalDefault"),
        ),
        cells.age_column(),
        cells.column(
            "PreemptionPolicy",
            "string",
            cells.field("preemptionPolicy"),
            described("io.k8s.api.scheduling.v1.PriorityClass", "preemptionPolicy"),
        ),
    ),
}
