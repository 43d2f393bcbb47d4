"""What a part of an object was before an update, as far as that can be told.

A part that did not change may stay as invalid as it was (KEP-4008). Fields of objects and maps are
found by name, items of lists of type map by their keys; what lies in an atomic map, or in a list of
another type, has no past.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
"""

from __future__ import annotations

from typing import Any

from kapi.schema.structural import Schema
from kapi.schema.validation import same

Json = dict[str, Any]


class Past:
    """A value of an updated object, with its schema and with what it was."""

    __slots__ = ("_schema", "_unchanged", "_value", "old")

    def __init__(self, schema: Schema, value: Any, old: Any) -> None:
        self._schema = schema
        self._value = value
        self.old = old
        self._unchanged: bool | None = None

    @property
    def unchanged(self) -> bool:
        if self._unchanged is None:
            self._unchanged = same(self._value, self.old)
        return self._unchanged

    def field(self, name: str) -> Past | None:
        if self._schema.map_type == "atomic" or not isinstance(self.old, dict):
            return None
        if name not in self.old or name not in self._value:
            return None
        p = self._schema.properties.get(name)
        below = p.schema if p is not None else self._schema.values
        return None if below is None else Past(below, self._value[name], self.old[name])

    def item(self, index: int) -> Past | None:
        schema = self._schema
        if schema.list_type != "map" or schema.items is None or not isinstance(self.old, list):
            return None
        item = self._value[index]
        key = _key(schema, item)
        if key is None:
            return None
        for before in self.old:
            if _key(schema, before) == key:
                return Past(schema.items, item, before)
        return None


def _key(schema: Schema, item: Any) -> list[Any] | None:
    if not isinstance(item, dict):
        return None
    return [item.get(name) for name in schema.list_keys]
