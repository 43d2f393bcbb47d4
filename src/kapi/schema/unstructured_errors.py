"""The words of a strategic merge patch whose result does not fit: the real server then converts
maps into structs without JSON, and complains otherwise than a decoder. The slow twin of
`decoding.py` for that path."""

from __future__ import annotations

from typing import Any

from kapi.schema.structural import Schema

_GO_KINDS = {"int32": "int32", "int64": "int64", "double": "float64"}


def conversion_error(schema: Schema, value: Any) -> str:
    """The first complaint, by the order of the struct; empty if the value fits."""
    if value is None:
        return ""
    if schema.format in ("quantity", "int-or-string", "date-time", "micro-time", "duration", "raw"):
        return ""
    if schema.type == "object":
        if not isinstance(value, dict):
            return f"cannot restore struct from: {_kind(value)}"
        for name, p in schema.properties.items():
            if name in value and (found := conversion_error(p.schema, value[name])):
                return found
        return ""
    if schema.type == "map":
        if not isinstance(value, dict):
            return f"cannot restore map from {_kind(value)}"
        assert schema.values is not None
        inner = schema.values
        return next((e for x in value.values() if (e := conversion_error(inner, x))), "")
    if schema.type == "array":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        assert schema.items is not None
        inner = schema.items
        return next((e for x in value if (e := conversion_error(inner, x))), "")
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }.get(schema.type, True)
    return "" if fits else f"unrecognized type: {_go_kind(schema)}"


def _go_kind(schema: Schema) -> str:
    if schema.type == "boolean":
        return "bool"
    return _GO_KINDS.get(schema.format, "string")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "float64"
    return "map" if isinstance(value, dict) else "slice"
