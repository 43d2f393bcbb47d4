"""Defaults in the schema of a definition: each must be an object of the very schema it stands in,
with no field that would be pruned. One that stands in the metadata, the kind or the apiVersion of a
resource must leave a resource that is one.

Called by `schemas.py`.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kapi.codec import json_format
from kapi.errors import FieldError, invalid_value
from kapi.registry import embedded
from kapi.schema.custom_parsing import META_FIELDS, TYPE_META, parse
from kapi.schema.decoding import Decoders
from kapi.schema.decoding_errors import type_error
from kapi.schema.structural import Schema
from kapi.schema.validation import same
from kapi.schema.validation_errors import findings as value_findings

Json = dict[str, Any]


def findings(props: Json, path: str, object_meta: Schema, *, pruned: bool) -> list[FieldError]:
    """About a structural schema. `pruned`: whether unknown fields are told of."""
    if not has_defaults(props):
        return []
    walk = _Walk(pruned=pruned)
    walk.node(parse(props, object_meta), path, None, root=True)
    return walk.found


def has_defaults(props: Json) -> bool:
    """Whether a default stands anywhere in the skeleton of a schema."""
    if props.get("default") is not None:
        return True
    below = list((props.get("properties") or {}).values())
    below += [props[n] for n in ("items", "additionalProperties") if isinstance(props.get(n), dict)]
    return any(map(has_defaults, below))


def unpruned(props: Json, object_meta: Schema) -> bool:
    """Whether a default of a schema has fields that would be pruned."""
    return any(f.detail == _UNKNOWN for f in findings(props, "", object_meta, pruned=True))


_UNKNOWN = "must not have unknown fields"
_BAD_META = "must result in valid metadata: "


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the metadata, kind or apiVersion of a resource a schema stands. Steps: names of
    fields, None for an item.
    """

    resource: Schema
    steps: tuple[str | None, ...]

    def below(self, step: str | None) -> _Place:
        return _Place(self.resource, (*self.steps, step))

    def around(self, value: Any) -> Json:
        """A resource with nothing but a value there."""
        for step in reversed(self.steps):
            value = [value] if step is None else {step: value}
        return {"apiVersion": "validation/v1", "kind": "Validation", **value}


class _Walk:
    def __init__(self, *, pruned: bool) -> None:
        self.found: list[FieldError] = []
        self._pruned = pruned
        self._decoders = Decoders()

    def node(self, schema: Schema, path: str, place: _Place | None, *, root: bool = False) -> None:
        resource = root or schema.embedded_resource
        if resource:
            place = None
        if schema.default is not None:
            where = f"{path}.default"
            self.found += (
                self._plain(schema, where) if place is None else _meta(schema, place, where)
            )
        if schema.items is not None:
            self.node(schema.items, f"{path}.items", place and place.below(None))
        for name, p in schema.properties.items():
            below = schema.meta if p.schema.typed else p.schema
            if below is not None:
                inner = place and place.below(name)
                if resource and name in META_FIELDS:
                    inner = _Place(schema, (name,))
                self.node(below, f"{path}.properties[{name}]", inner)

    def _plain(self, schema: Schema, path: str) -> list[FieldError]:
        value = schema.default
        found = []
        bare = _without_metadata(schema, value)
        kept, unknown = self._decoders.decode(schema, bare)
        if self._pruned and unknown and not same(kept, bare):
            found.append(invalid_value(path, value, _UNKNOWN))
        misfit = _misfit(schema, value, path)
        if misfit is not None:
            return [*found, misfit]
        return found + (
            embedded.findings(schema, value, path) or value_findings(schema, value, at=path)
        )


def _meta(schema: Schema, place: _Place, path: str) -> list[FieldError]:
    value = schema.default
    resource = place.around(value)
    misfit = _of_resource(place.resource, resource, "")
    found = [misfit] if misfit is not None else embedded.resource_findings(resource, "")
    if found:
        texts = list(dict.fromkeys(map(str, found)))
        words = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        return [invalid_value(path, value, _BAD_META + words)]
    return value_findings(schema, value, at=path)


def _without_metadata(schema: Schema, value: Any) -> Any:
    """A value without the metadata of resources, whose fields are those of every object."""
    if isinstance(value, list) and schema.items is not None:
        return [_without_metadata(schema.items, x) for x in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, x in value.items():
        if schema.embedded_resource and name == "metadata":
            continue
        below = _below(schema, name)
        out[name] = x if below is None else _without_metadata(below, x)
    return out


def _below(schema: Schema, name: str) -> Schema | None:
    p = schema.properties.get(name)
    return p.schema if p is not None else schema.values


def _misfit(schema: Schema, value: Any, path: str) -> FieldError | None:
    """The first resource in a value whose kind or metadata have another type."""
    if isinstance(value, list) and schema.items is not None:
        found = (_misfit(schema.items, x, f"{path}[{i}]") for i, x in enumerate(value))
        return next(filter(None, found), None)
    if not isinstance(value, dict):
        return None
    if schema.embedded_resource and (own := _of_resource(schema, value, path)) is not None:
        return own
    for name, x in value.items():
        below = _below(schema, name)
        if below is not None and not below.typed:
            where = f"{path}.{name}" if name in schema.properties else f"{path}[{name}]"
            if (inner := _misfit(below, x, where)) is not None:
                return inner
    return None


def _of_resource(schema: Schema, value: Json, path: str) -> FieldError | None:
    head = f"{path}." if path else ""
    for name in TYPE_META:
        if name in value and not isinstance(value[name], str):
            return invalid_value(f"{head}{name}", value[name], embedded.NOT_A_STRING)
    if "metadata" in value:
        spelled = json_format.loads_exact(json_format.dumps(value["metadata"]))
        words = type_error(schema.properties["metadata"].schema, spelled)
        if words:
            return invalid_value(f"{head}metadata", value["metadata"], words)
    return None
