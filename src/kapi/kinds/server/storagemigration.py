"""storagemigration.k8s.io: StorageVersionMigration.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, invalid_value, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "storagemigration.k8s.io"
_VERSION = re.compile(r"[1-9][0-9]*\Z")


class MigrationStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _status(obj.get("status") or {}, (old or {}).get("status") or {})
        spec = obj.get("spec") or {}
        resource = spec.get("resource") or {}
        out: list[FieldError] = []
        group, name = resource.get("group", ""), resource.get("resource", "")
        if name:
            found = names.dns_1035_label(name)
            if found:
                out.append(invalid_value("spec.resource.resource", name, ",".join(found)))
        else:
            out.append(required("spec.resource.resource", "resource is required to be set"))
        found = names.dns_subdomain(group) if group else []
        if found:
            out.append(invalid_value("spec.resource.group", group, ",".join(found)))
        if old is not None and spec != (old.get("spec") or {}):
            shown = checks.go_json({"Resource": {"Group": group, "Resource": name}})
            out.append(invalid_value("spec", shown, checks.IMMUTABLE))
        return out


def _status(status: Json, old: Json) -> list[FieldError]:
    out: list[FieldError] = []
    version, before = status.get("resourceVersion", ""), old.get("resourceVersion", "")
    if version and not _VERSION.match(version):
        text = f"resource version is not well formed: {version}"
        out.append(invalid_value("status.resourceVersion", version, text))
    listed = status.get("conditions")
    out += checks.conditions(listed or (), "status.conditions")
    if before and version != before:
        out.append(invalid_value("status.resourceVersion", version, checks.IMMUTABLE))
    now, then = _true(status), _true(old)
    rules = (
        (
            {"Succeeded", "Failed"} <= now,
            "Both success and failed conditions cannot be true at the same time",
        ),
        (
            {"Succeeded", "Running"} <= now,
            "Running condition cannot be true when success condition is true",
        ),
        (
            {"Failed", "Running"} <= now,
            "Running condition cannot be true when failed condition is true",
        ),
        (
            "Succeeded" in then - now,
            "Success condition cannot be set to false once it is true",
        ),
        ("Failed" in then - now, "Failed condition cannot be set to false once it is true"),
    )
    shown = checks.go_json(listed)
    out += [invalid_value("status.conditions", shown, text) for broken, text in rules if broken]
    return out


def _true(status: Json) -> set[str]:
    listed = status.get("conditions") or ()
    return {c.get("type", "") for c in listed if c.get("status") == "True"}


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
