"""Defaults in the schema of a definition: each must be an object of the very schema it stands in,
with no field that would be pruned."""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, invalid_value
from kapi.registry import embedded
from kapi.schema.custom_parsing import parse
from kapi.schema.decoding import Decoders
from kapi.schema.scalars import Mismatch
from kapi.schema.structural import Schema
from kapi.schema.validation import same
from kapi.schema.validation_errors import findings as value_findings

Json = dict[str, Any]


def findings(props: Json, path: str, object_meta: Schema, *, pruned: bool) -> list[FieldError]:
    """About a structural schema. `pruned`: whether unknown fields are told of."""
    if not has_defaults(props):
        return []
    found: list[FieldError] = []
    _walk(parse(props, object_meta), path, Decoders(), found, pruned=pruned)
    return found


def has_defaults(props: Json) -> bool:
    """Whether a default stands anywhere in the skeleton of a schema."""
    if props.get("default") is not None:
        return True
    below = list((props.get("properties") or {}).values())
    below += [props[n] for n in ("items", "additionalProperties") if isinstance(props.get(n), dict)]
    return any(map(has_defaults, below))


def unpruned(props: Json, object_meta: Schema) -> bool:
    """Whether a default of a schema has fields that would be pruned."""
    if not has_defaults(props):
        return False
    found: list[FieldError] = []
    _walk(parse(props, object_meta), "", Decoders(), found, pruned=True)
    return any(f.detail == _UNKNOWN for f in found)


_UNKNOWN = "must not have unknown fields"


def _walk(
    schema: Schema, path: str, decoders: Decoders, found: list[FieldError], *, pruned: bool
) -> None:
    if schema.default is not None:
        found += _default(schema, f"{path}.default", decoders, pruned=pruned)
    if schema.items is not None:
        _walk(schema.items, f"{path}.items", decoders, found, pruned=pruned)
    for name, p in schema.properties.items():
        below = schema.meta if p.schema.typed else p.schema
        if below is not None:
            _walk(below, f"{path}.properties[{name}]", decoders, found, pruned=pruned)


def _default(schema: Schema, path: str, decoders: Decoders, *, pruned: bool) -> list[FieldError]:
    value = schema.default
    try:
        kept, unknown = decoders.decode(schema, value)
    except Mismatch:
        return [invalid_value(path, value, "must result in valid metadata")]
    found = []
    if pruned and unknown and not same(kept, value):
        found.append(invalid_value(path, value, _UNKNOWN))
    return found + (
        embedded.findings(schema, value, path) or value_findings(schema, value, at=path)
    )
