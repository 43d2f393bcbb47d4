"""Defaults: what a field holds when nobody said. Compiled per schema; walks only where some
default can apply.

A parent's defaults come before its children's, as in the real server's generated functions.
Defaulting twice changes nothing. Called by the write pipeline after decoding and after mutating
admission, on the request's version. In a custom kind a null counts as missing unless its place is
nullable, items and map values have defaults for nulls, and values may be of any type yet."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from kapi.schema.made import Made
from kapi.schema.structural import Schema, untyped_nodes

Json = dict[str, Any]
Default = Callable[[Any], None]


class Defaulters:
    """Compiled defaulters by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._made: Made[int, tuple[Schema, Default | None]] = Made()
        self._compiled = self._made.known

    def default(self, schema: Schema, obj: Json) -> None:
        """Fill in defaults, in place."""
        run = self.defaulter(schema)
        if run is not None:
            run(obj)

    def defaulter(self, schema: Schema) -> Default | None:
        """A function that fills in defaults; None where the schema has none at any depth."""
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]
        if not _has_defaults(schema, set()):
            self._compiled[id(schema)] = (schema, None)
            return None

        def later(value: Any) -> None:  # the inner place of a recursive type
            run = self._compiled[id(schema)][1]
            if run is not None:
                run(value)

        with self._made as made:
            found = made.find(id(schema))
            if found is None:
                made.put(id(schema), (schema, later))
                found = (schema, self._compile(schema))
                made.put(id(schema), found)
            return found[1]

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a custom kind's schema and all in it that is its own."""
        for node in untyped_nodes(schema):
            self._compiled.pop(id(node), None)

    def _compile(self, schema: Schema) -> Default | None:
        if not schema.typed:
            return self._untyped(schema)
        if schema.type == "object":
            return self._object(schema)
        inner = schema.items if schema.type == "array" else schema.values
        each = self.defaulter(inner) if inner is not None else None
        if each is None:
            return None
        run = each
        if schema.type == "array":

            def default_items(value: Any) -> None:
                for x in value:
                    if x.__class__ is dict or x.__class__ is list:
                        run(x)

            return default_items

        def default_values(value: Any) -> None:
            for x in value.values():
                if x.__class__ is dict or x.__class__ is list:
                    run(x)

        return default_values

    def _object(self, schema: Schema) -> Default:
        constants: list[tuple[str, Any, bool]] = []
        children: list[tuple[str, Default]] = []
        for p in schema.properties.values():
            if p.default is not None:
                constants.append((p.name, p.default, p.default.__class__ in (dict, list)))
            child = self.defaulter(p.schema)
            if child is not None:
                children.append((p.name, child))
        own = schema.defaulter

        def default(value: Any) -> None:
            for name, constant, shared in constants:
                if value.get(name) is None:
                    value[name] = copy.deepcopy(constant) if shared else constant
            if own is not None:
                own(value)
            for name, run in children:
                x = value.get(name)
                if x is not None:
                    run(x)

        return default

    def _untyped(self, schema: Schema) -> Default:
        """Of a custom kind."""
        constants: list[tuple[str, Any, bool]] = []
        children: dict[str, Default] = {}
        for p in schema.properties.values():
            below = schema.meta if p.schema.typed else p.schema
            if p.default is not None:
                constants.append((p.name, p.default, p.schema.nullable))
            child = self.defaulter(below) if below is not None else None
            if child is not None:
                children[p.name] = child
        values = self._members(schema.values)
        items = self._members(schema.items)

        def default(value: Any) -> None:
            if value.__class__ is dict:
                for name, constant, nullable in constants:
                    if name not in value or (value[name] is None and not nullable):
                        value[name] = _fresh(constant)
                for name, run in children.items():
                    if name in value:
                        run(value[name])
                if values is not None:
                    values(value, [k for k in value if k not in schema.properties])
            elif value.__class__ is list and items is not None:
                items(value, range(len(value)))

        return default

    def _members(self, schema: Schema | None) -> Callable[[Any, Iterable[Any]], None] | None:
        """Fills in the members of a list or map of a custom kind."""
        run = self.defaulter(schema) if schema is not None else None
        if schema is None or (run is None and schema.default is None):
            return None
        constant, nullable = schema.default, schema.nullable

        def default_members(value: Any, keys: Iterable[Any]) -> None:
            for key in keys:
                if value[key] is None:
                    if not nullable:
                        value[key] = _fresh(constant)
                elif run is not None:
                    run(value[key])

        return default_members


def _fresh(constant: Any) -> Any:
    return copy.deepcopy(constant) if constant.__class__ in (dict, list) else constant


def _has_defaults(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.defaulter is not None:
        return True
    if any(
        p.default is not None or _has_defaults(p.schema, seen) for p in schema.properties.values()
    ):
        return True
    below: tuple[Schema | None, ...] = (schema.items, schema.values)
    if not schema.typed:
        if any(s is not None and s.default is not None for s in below):
            return True
        below = (*below, schema.meta)
    return any(s is not None and _has_defaults(s, seen) for s in below)
