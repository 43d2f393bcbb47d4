"""Decoding of custom kinds: unknown fields go, nulls that may not be go, metadata is typed.

`Pruner.compile` makes a function over (value, unknown) for an untyped schema, with the contract of
a decoder: it raises Mismatch where metadata does not fit ObjectMeta and appends to `unknown` where
fields were left out; `pruning_errors.py` then says what and where. Nothing else is checked or
coerced: that is for validation. The result shares with the value what did not change; the value
stays as it is.

The rules, as structural schemas have them: a field goes that is neither a property nor covered by
additionalProperties, unless its object preserves unknown fields; inside what
`additionalProperties: true` lets through no field is known; a null goes where its property is not
nullable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from kapi.schema.custom_parsing import META_FIELDS
from kapi.schema.scalars import Decode, Unknown
from kapi.schema.structural import Schema

Json = dict[str, Any]


def prune_nothing(value: Any, unknown: Unknown) -> Any:
    """For a schema below which nothing can be unknown."""
    return value


def prune_all(value: Any, unknown: Unknown) -> Any:
    """For a place without a schema: no field of a map is known."""
    if value.__class__ is dict:
        if value:
            unknown.append(None)
            return {}
        return value
    if value.__class__ is list:
        return _each(value, prune_all, unknown)
    return value


def compile_pruner(schema: Schema, decoder: Callable[[Schema], Decode]) -> Decode:
    """`decoder`: how a schema below is compiled; typed ones (metadata) too."""
    if not schema.properties and schema.items is None and schema.values is None:
        return _LEAVES[(schema.preserve_unknown, schema.embedded_resource)]
    return _compile(schema, decoder)


def _compile(schema: Schema, decoder: Callable[[Schema], Decode]) -> Decode:
    of_list = _list_pruner(schema, decoder)
    of_map = _map_pruner(schema, decoder)
    if of_map is prune_nothing and of_list is prune_nothing:
        return prune_nothing

    def prune(value: Any, unknown: Unknown) -> Any:
        if value.__class__ is dict:
            return of_map(value, unknown)
        if value.__class__ is list:
            return of_list(value, unknown)
        return value

    return prune


def _list_pruner(schema: Schema, decoder: Callable[[Schema], Decode]) -> Decode:
    run: Decode = prune_nothing if schema.preserve_unknown else prune_all
    if schema.items is not None:
        run = decoder(schema.items)
    if run is prune_nothing:
        return prune_nothing

    def prune_list(value: Any, unknown: Unknown) -> Any:
        return _each(value, run, unknown)

    return prune_list


def _each(value: list[Any], run: Decode, unknown: Unknown) -> Any:
    """A list with each item pruned; itself if nothing changed."""
    out: list[Any] | None = None
    for i, x in enumerate(value):
        if x.__class__ is dict or x.__class__ is list:
            y = run(x, unknown)
            if y is not x:
                if out is None:
                    out = list(value)
                out[i] = y
    return value if out is None else out


def _map_pruner(schema: Schema, decoder: Callable[[Schema], Decode]) -> Decode:
    fields: dict[str, tuple[Decode | None, bool, bool]] = {}
    for p in schema.properties.values():
        run: Decode | None = decoder(p.schema)
        if run is prune_nothing:
            run = None
        fields[p.name] = (run, not p.schema.nullable, p.schema.typed)
    each = _values_pruner(schema.values, decoder)
    kept = schema.preserve_unknown
    own = frozenset(META_FIELDS) if schema.embedded_resource else frozenset[str]()
    if not fields and (each is prune_nothing or (each is None and kept)):
        return prune_nothing
    get = fields.get

    def prune_map(value: Any, unknown: Unknown) -> Any:
        out: Json | None = None
        for name, x in value.items():
            entry = get(name)
            if entry is not None:
                run, not_null, always = entry
                if x is None:
                    if not_null:
                        out = dict(value) if out is None else out
                        del out[name]
                    continue
                if run is None or not (always or x.__class__ is dict or x.__class__ is list):
                    continue
                y = run(x, unknown)
            elif each is not None:
                y = each(x, unknown)
            elif kept or name in own:
                continue
            else:
                unknown.append(None)
                out = dict(value) if out is None else out
                del out[name]
                continue
            if y is not x:
                out = dict(value) if out is None else out
                out[name] = y
        return value if out is None else out

    return prune_map


def _values_pruner(values: Schema | None, decoder: Callable[[Schema], Decode]) -> Decode | None:
    if values is None:
        return None
    return prune_all if lets_through(values) else decoder(values)


def lets_through(values: Schema) -> bool:
    """Whether it stands for `additionalProperties: true`, which says nothing of the values."""
    return values.type == "any" and not (
        values.preserve_unknown or values.format or values.properties or values.items
        or values.values or values.constraints or values.enum or values.nullable
    )  # fmt: skip


def _leaf(*, preserve: bool, embedded: bool) -> Decode:
    schema = Schema("any", preserve_unknown=preserve, embedded_resource=embedded)
    return _compile(schema, lambda below: prune_all)


# Most of the places in a schema are leaves, and they share their functions.
_LEAVES: Mapping[tuple[bool, bool], Decode] = MappingProxyType(
    {
        (preserve, embedded): _leaf(preserve=preserve, embedded=embedded)
        for preserve in (False, True)
        for embedded in (False, True)
    }
)
