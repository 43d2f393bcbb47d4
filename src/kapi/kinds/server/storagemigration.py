"""storagemigration.k8s.io: StorageVersionMigration.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, duplicate, invalid_value, not_supported, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "storagemigration.k8s.io"


class MigrationStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _status(obj.get("status") or {})
        spec = obj.get("spec") or {}
        resource = spec.get("resource") or {}
        out: list[FieldError] = []
        group, name = resource.get("group", ""), resource.get("resource", "")
        if group:
            out += checks.dns_subdomain(group, "spec.resource.group")
        if name:
            out += checks.each("spec.resource.resource", name, names.dns_1035_label(name))
        else:
            out.append(required("spec.resource.resource", "resource is required to be set"))
        if old is not None and spec != (old.get("spec") or {}):
            shown = checks.go_json({"Resource": {"Group": group, "Resource": name}})
            out.append(invalid_value("spec", shown, checks.IMMUTABLE))
        return out


def _status(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(status.get("conditions") or ()):
        path, kind = f"status.conditions[{i}]", condition.get("type", "")
        if not kind:
            out.append(required(f"{path}.type"))
        if kind in seen:
            out.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        value = condition.get("status", "")
        if not value:
            out.append(required(f"{path}.status"))
        elif value not in ("True", "False", "Unknown"):
            out.append(not_supported(f"{path}.status", value, ("False", "True", "Unknown")))
    return out


def _resource(obj: Json, now: float) -> str:
    resource = (obj.get("spec") or {}).get("resource") or {}
    group, name = resource.get("group", ""), resource.get("resource", "")
    return f"{name}.{group}" if group else str(name)


def _state(obj: Json, now: float) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True":
            return str(condition.get("type", ""))
    return ""


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "storageversionmigrations"): MigrationStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "storageversionmigrations"): (
        cells.name_column(format_name=""),
        cells.column("Resource", "string", _resource, "GroupResource to migrate"),
        cells.column("Status", "string", _state, "Status of the migration"),
    ),
}
