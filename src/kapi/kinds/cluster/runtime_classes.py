"""node.k8s.io: RuntimeClass. https://kubernetes.io/docs/concepts/containers/runtime-class/"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, duplicate
from kapi.kinds.pods.resources import validate_resources
from kapi.kinds.pods.scheduling import validate_tolerations
from kapi.kinds.shared import cells, checks, declared, formats
from kapi.kinds.shared.bases import Plain
from kapi.kinds.shared.declared import Field, Struct
from kapi.kinds.shared.go_view import struct
from kapi.kinds.shared.node_labels import OLD_NODE_LABELS
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "node.k8s.io"


class RuntimeClassStrategy(Plain):
    standard_finalizers = False
    create_on_update = True
    unconditional_update = False

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        declared_faults = declared.findings(_DECLARED, "RuntimeClass", obj, old)
        if old is not None:
            return declared_faults
        out: list[FieldError] = []
        overhead = obj.get("overhead")
        if overhead is not None:
            out += validate_resources(
                {"limits": overhead.get("podFixed") or {}}, "overhead", frozenset()
            )
        scheduling = obj.get("scheduling")
        if scheduling is not None:
            out += checks.labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
            out += _tolerations(scheduling.get("tolerations") or [])
        return out + declared_faults

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        chosen = (obj.get("scheduling") or {}).get("nodeSelector") or ()
        return [
            f"scheduling.nodeSelector: {OLD_NODE_LABELS[key]}"
            for key in chosen
            if key in OLD_NODE_LABELS
        ]


def _tolerations(tolerations: list[Json]) -> list[FieldError]:
    path = "scheduling.tolerations"
    out = validate_tolerations(tolerations, path)
    for i, toleration in enumerate(tolerations):
        if toleration in tolerations[:i]:
            shown = struct("io.k8s.api.core.v1.Toleration", toleration)
            out.append(duplicate(f"{path}[{i}]", shown))
    return out


# What the types declare.
_DECLARED: declared.Types = {
    "RuntimeClass": Struct(
        fields=(
            Field(
                name="handler",
                gates=(declared.immutable, declared.required),
                checks=(formats.short_name,),
            ),
        )
    )
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "runtimeclasses"): RuntimeClassStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "runtimeclasses"): (
        cells.name_column(),
        cells.column("Handler", "string", cells.field("handler"), ""),
        cells.age_column(),
    ),
}
