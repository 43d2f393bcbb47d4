"""Fields in the order of the Go struct: what defaulting, admission and strategies added goes where
it belongs.

Called by the write pipeline right before an object is encoded; answers are made from the stored
bytes, so their fields come in the order of the real server. Compiled per schema; an object that is
in order is only looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.schema.structural import Schema

Json = dict[str, Any]
Arrange = Callable[[Any], None]


class Orders:
    """Compiled arrangers by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._compiled: dict[int, tuple[Schema, Arrange | None]] = {}

    def arrange(self, schema: Schema, obj: Json) -> None:
        """Put all fields in order, in place."""
        run = self.arranger(schema)
        if run is not None:
            run(obj)

    def arranger(self, schema: Schema) -> Arrange | None:
        """None where a schema holds no struct at any depth."""
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]

        def later(value: Any) -> None:  # the inner place of a recursive type
            run = self._compiled[id(schema)][1]
            if run is not None:
                run(value)

        self._compiled[id(schema)] = (schema, later)
        made = self._compile(schema)
        self._compiled[id(schema)] = (schema, made)
        return made

    def _compile(self, schema: Schema) -> Arrange | None:
        if schema.type == "object":
            return self._object(schema) if schema.typed and schema.properties else None
        inner = schema.items if schema.type == "array" else schema.values
        each = self.arranger(inner) if inner is not None else None
        if each is None:
            return None
        run = each

        def arrange_items(value: Any) -> None:
            for item in value:
                run(item)

        def arrange_values(value: Any) -> None:
            for item in value.values():
                run(item)

        return arrange_items if schema.type == "array" else arrange_values

    def _object(self, schema: Schema) -> Arrange:
        position = {name: i for i, name in enumerate(schema.properties)}
        place = position.__getitem__
        inner: dict[str, Arrange] = {}
        for name, p in schema.properties.items():
            run = self.arranger(p.schema)
            if run is not None:
                inner[name] = run

        fields = {n: (i, inner.get(n)) for n, i in position.items()}

        def arrange(obj: Any) -> None:
            last, moved = -1, False
            for name, value in obj.items():
                field = fields.get(name)
                if field is None:
                    continue
                here, run = field
                if here < last:
                    moved = True
                last = here
                if run is not None and value:
                    run(value)
            if moved:
                known = sorted((n for n in obj if n in position), key=place)
                ordered = {n: obj[n] for n in known}
                ordered.update(obj)
                obj.clear()
                obj.update(ordered)

        return arrange
