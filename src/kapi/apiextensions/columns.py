"""Printer columns of custom kinds: Name, then what the definition says, or Age.

Each column is a JSONPath; of its values the first is shown, as the column's type wants it.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.apiextensions.json_path import JsonPath, LookupFailed, PathError
from kapi.codec import json_format
from kapi.kinds.shared import cells
from kapi.kinds.shared.cells import Cell
from kapi.registry.go_text import go_text
from kapi.registry.resource import Column
from kapi.schema.scalars import parse_rfc3339

Json = dict[str, Any]
INVALID = "<invalid>"
AGE: Json = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_DESCRIPTION = "Custom resource definition column (in JSONPath format): {}"


def printer_columns(given: Sequence[Json]) -> tuple[Column, ...]:
    """The columns of one version; those behind a path that is none are left out."""
    out = [cells.name_column()]
    for column in given or (AGE,):
        text = column.get("jsonPath", "")
        try:
            path = JsonPath(text)
        except PathError:
            break
        kind = column.get("type", "")
        description = column.get("description") or _DESCRIPTION.format(text)
        out.append(
            Column(
                name=column.get("name", ""),
                type=kind,
                format=column.get("format", ""),
                description=cells.AGE_DESCRIPTION if not given else description,
                priority=column.get("priority", 0),
                cell=_cell(path, kind),
            )
        )
    return tuple(out)


def _cell(path: JsonPath, kind: str) -> Cell:
    def cell(obj: Json, now: float) -> Any:
        try:
            found = path.find(obj)
        except LookupFailed:
            return None
        if not found or found[0] is None:
            return None
        return shown(found[0], kind, now)

    return cell


def shown(value: Any, kind: str, now: float) -> Any:
    """A value in a column of a type; None where it is of another."""
    match kind:
        case "string":
            if isinstance(value, dict | list):
                return json_format.dumps_sorted(value).decode()
            return go_text(value)
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return json_format.go_number(float(value))
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return _date(value, now)
    return None


def _date(text: str, now: float) -> str:
    if text in ("", "null"):
        return cells.UNKNOWN
    try:
        seconds, _ = parse_rfc3339(text)
    except (ValueError, OverflowError):
        return INVALID
    return cells.human_duration(now - seconds)
