"""What storing does to an object: an empty list that is not optional comes back as null.

The real server keeps built-in kinds in Protocol Buffers, which cannot tell an empty list from
none. Until then the empty list counts (its writer owns it). Compiled per schema; walks only where
such lists can be. Called by the write pipeline once the owners of fields are settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.schema.made import Made
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
Settle = Callable[[Any], None]


class Settlers:
    """Compiled by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._made: Made[int, tuple[Schema, Settle | None]] = Made()
        self._compiled = self._made.known

    def settle(self, schema: Schema, obj: Json) -> None:
        """Turn what cannot be stored into what comes back, in place."""
        run = self._settler(schema)
        if run is not None:
            run(obj)

    def forget(self, schema: Schema) -> None:
        """Drop what is kept for a custom kind's schema, in which nothing settles."""
        self._compiled.pop(id(schema), None)

    def _settler(self, schema: Schema) -> Settle | None:
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]
        if not _concerned(schema, set()):
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

    def _compile(self, schema: Schema) -> Settle | None:
        if schema.type == "object":
            return self._object(schema)
        inner = schema.items if schema.type == "array" else schema.values
        each = self._settler(inner) if inner is not None else None
        if each is None:
            return None
        run, is_list = each, schema.type == "array"

        def settle_members(value: Any) -> None:
            for x in value if is_list else value.values():
                if x:
                    run(x)

        return settle_members

    def _object(self, schema: Schema) -> Settle:
        lists = [p.name for p in schema.properties.values() if keeps_empty(p)]
        children: list[tuple[str, Settle]] = []
        for p in schema.properties.values():
            child = self._settler(p.schema)
            if child is not None:
                children.append((p.name, child))

        def settle(value: Any) -> None:
            for name in lists:
                if name in value and not value[name]:
                    value[name] = None
            for name, run in children:
                x = value.get(name)
                if x:
                    run(x)

        return settle


def keeps_empty(p: Property) -> bool:
    """A list or map that prints even when there is nothing in it."""
    return p.schema.type in ("array", "map") and not p.omit_empty and not p.pointer


def _concerned(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen or not schema.typed:
        return False
    seen.add(id(schema))
    if any(keeps_empty(p) or _concerned(p.schema, seen) for p in schema.properties.values()):
        return True
    return any(s is not None and _concerned(s, seen) for s in (schema.items, schema.values))
