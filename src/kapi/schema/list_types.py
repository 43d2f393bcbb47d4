"""Lists of a custom kind that are sets or maps: their items must differ, by value or by key."""

from __future__ import annotations

from typing import Any

import orjson

from kapi.errors import FieldError, duplicate, invalid_value
from kapi.schema.structural import Schema

NOT_AN_OBJECT = "must be an object for an array of list-type map"


class ListTypes:
    """Knows which schemas hold such lists. One instance per server."""

    def __init__(self) -> None:
        self._concerned: dict[int, tuple[Schema, bool]] = {}

    def findings(self, schema: Schema, obj: Any) -> list[FieldError]:
        found: list[FieldError] = []
        self._walk(schema, obj, "", found)
        return found

    def forget(self, schema: Schema) -> None:
        """Drop what is kept for a schema and all in it."""
        gone = [schema]
        while gone:
            node = gone.pop()
            if self._concerned.pop(id(node), None) is not None:
                gone += _below(node)

    def concerns(self, schema: Schema) -> bool:
        """Whether a value of this schema may hold a set or a map."""
        found = self._concerned.get(id(schema))
        if found is None:
            own = schema.type == "array" and schema.list_type != "atomic"
            found = (schema, own or any(self.concerns(s) for s in _below(schema)))
            self._concerned[id(schema)] = found
        return found[1]

    def _walk(self, schema: Schema, value: Any, path: str, found: list[FieldError]) -> None:
        if not self.concerns(schema):
            return
        if value.__class__ is list:
            if schema.type == "array" and schema.list_type != "atomic":
                found += _repeated(schema, value, path)
            if schema.items is not None:
                for i, x in enumerate(value):
                    self._walk(schema.items, x, f"{path}[{i}]", found)
        elif value.__class__ is dict:
            for name, x in value.items():
                p = schema.properties.get(name)
                if p is not None:
                    self._walk(p.schema, x, f"{path}.{name}" if path else name, found)
                if schema.values is not None:
                    self._walk(schema.values, x, f"{path}[{name}]", found)


def _below(schema: Schema) -> list[Schema]:
    if schema.typed:
        return []
    below = [p.schema for p in schema.properties.values() if not p.schema.typed]
    return below + [s for s in (schema.values, schema.items) if s is not None]


def _repeated(schema: Schema, value: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[bytes] = set()
    for i, item in enumerate(value):
        key = item
        if schema.list_type == "map":
            if not isinstance(item, dict):
                found.append(invalid_value(f"{path}[{i}]", item, NOT_AN_OBJECT))
                continue
            key = {name: item[name] for name in schema.list_keys if name in item}
        text = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
        if text in seen:
            found.append(duplicate(f"{path}[{i}]", key))
        seen.add(text)
    return found
