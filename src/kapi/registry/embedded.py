"""Resources inside a custom object (x-kubernetes-embedded-resource): have they a kind, and
metadata as every object has it?"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, invalid_value, required
from kapi.registry import names, object_meta
from kapi.schema.structural import Schema

Json = dict[str, Any]
EMPTY = "must not be empty"
NOT_A_STRING = "must be a string"
_MIXED_CASE = "may have mixed case, but should otherwise match: "


def findings(schema: Schema, obj: Any, at: str = "") -> list[FieldError]:
    """About all resources inside a value that stands at a place."""
    found: list[FieldError] = []
    _walk(schema, obj, at, found)
    return found


def holds_resources(schema: Schema) -> bool:
    """Whether an object of this schema may hold another one."""
    if schema.typed:
        return False
    below = [p.schema for p in schema.properties.values()]
    below += [s for s in (schema.values, schema.items) if s is not None]
    return any(s.embedded_resource or holds_resources(s) for s in below)


def _walk(schema: Schema, value: Any, path: str, found: list[FieldError]) -> None:
    if isinstance(value, list):
        if schema.items is not None:
            for i, x in enumerate(value):
                _walk(schema.items, x, f"{path}[{i}]", found)
        return
    if not isinstance(value, dict):
        return
    if schema.embedded_resource:
        found += resource_findings(value, path)
    for name, x in value.items():
        p = schema.properties.get(name)
        if p is not None and not p.schema.typed:
            _walk(p.schema, x, f"{path}.{name}" if path else name, found)
        elif p is None and schema.values is not None:
            _walk(schema.values, x, f"{path}[{name}]", found)


def resource_findings(value: Json, path: str) -> list[FieldError]:
    """About one resource, at a place or at the root."""
    head = f"{path}." if path else ""
    found = [required(f"{head}{name}") for name in ("apiVersion", "kind") if name not in value]
    for name, check in (("apiVersion", _api_version), ("kind", _kind)):
        if name in value:
            found += check(value[name], f"{head}{name}")
    meta = value.get("metadata")
    if isinstance(meta, dict):
        named = meta if meta.get("name") else {**meta, "name": "fakename"}
        found += object_meta.validate_create(
            named,
            namespaced=bool(meta.get("namespace")),
            name_rule=names.path_segment,
            path=f"{head}metadata",
            standard_finalizers=False,
        )
    return found


def _api_version(value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, str):
        return [invalid_value(path, value, NOT_A_STRING)]
    if not value:
        return [invalid_value(path, value, EMPTY)]
    if value.count("/") > 1:
        return [invalid_value(path, value, f"unexpected GroupVersion string: {value}")]
    return []


def _kind(value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, str):
        return [invalid_value(path, value, NOT_A_STRING)]
    if not value:
        return [invalid_value(path, value, EMPTY)]
    wrong = names.dns_1035_label(value.lower())
    return [invalid_value(path, value, _MIXED_CASE + ",".join(wrong))] if wrong else []
