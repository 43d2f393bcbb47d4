"""What a version of a definition may have beside its schema: subresources, columns, fields that
objects can be selected by. Called by `spec.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.errors import FieldError, duplicate, invalid_value, required, too_many
from kapi.kinds.definitions.field_paths import PathError, field_at

Json = dict[str, Any]
SELECTABLE_MAX = 8  # fields of a version that objects can be selected by
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = (
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
)


def subresources(given: Json | None, path: str) -> list[FieldError]:
    scale = (given or {}).get("scale")
    if scale is None:
        return []
    found: list[FieldError] = []
    for field, root in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        text, where = scale.get(field, ""), f"{path}.scale.{field}"
        if not text:
            found.append(required(where))
        elif not text.startswith("."):
            found += _simple_path(text, where)
        elif not text.startswith(f".{root}."):
            found.append(invalid_value(where, text, f"should be a json path under .{root}"))
    text, where = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if text and not text.startswith("."):
        found += _simple_path(text, where)
    elif text and not text.startswith((".spec.", ".status.")):
        words = "should be a json path under either .spec or .status"
        found.append(invalid_value(where, text, words))
    return found


def _simple_path(text: str, path: str) -> list[FieldError]:
    if text.startswith("."):
        return []
    return [invalid_value(path, text, "must be a simple json path starting with .")]


def column(given: Json, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if not given.get("name"):
        found.append(required(f"{path}.name"))
    kind, form, where = given.get("type", ""), given.get("format", ""), f"{path}.type"
    if kind not in COLUMN_TYPES:
        text = f"must be one of {','.join(COLUMN_TYPES)}"
        found.append(invalid_value(where, kind, text) if kind else required(where, text))
    if form and form not in COLUMN_FORMATS:
        text = f"must be one of {','.join(COLUMN_FORMATS)}"
        found.append(invalid_value(f"{path}.format", form, text))
    if not given.get("jsonPath"):
        found.append(required(f"{path}.JSONPath"))
    else:
        found += _simple_path(given["jsonPath"], f"{path}.JSONPath")
    return found


def selectable(
    fields: Sequence[Json], props: Json | None, path: str, schema: str
) -> list[FieldError]:
    base = f"{path}.selectableFields"
    if props is None:
        text = (
            "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        )
        if schema == "validation":
            text = "selectableFields may only be set when validations.schema is included"
        return [invalid_value(base, "", text)]
    found: list[FieldError] = []
    seen: set[tuple[str, ...]] = set()
    for i, field in enumerate(fields):
        text, where = field.get("jsonPath", ""), f"{base}[{i}].jsonPath"
        if not text:
            found.append(required(where))
            continue
        try:
            target = field_at(props, text, brackets=False)
        except PathError as e:
            found.append(invalid_value(where, text, f"is an invalid path: {e}"))
            continue
        if target.steps[0] == "metadata":
            found.append(invalid_value(where, text, "must not point to fields in metadata"))
        if target.schema.get("type") not in ("string", "boolean", "integer"):
            words = (
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed."
            )
            found.append(invalid_value(where, text, words))
        if target.steps in seen:
            found.append(duplicate(where, text))
        seen.add(target.steps)
    if len(seen) > SELECTABLE_MAX:
        found.append(too_many(base, len(seen), SELECTABLE_MAX))
    return found
