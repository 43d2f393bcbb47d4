"""What a part of an object was before an update, as far as that can be told.

A part that did not change may stay as invalid as it was (KEP-4008). Fields of objects and maps are
found by name, items of lists of type map by their keys; an item of another list has no past.
An object with a field that its schema does not know counts as changed, and so does one with
metadata.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.schema.structural import Schema
from kapi.schema.validation import same

Json = dict[str, Any]


class Past:
    """A value of an updated object, with its schema and with what it was."""

    __slots__ = ("_before", "_schema", "_unchanged", "_value", "old")

    def __init__(self, schema: Schema, value: Any, old: Any) -> None:
        self._schema = schema
        self._value = value
        self.old = old
        self._unchanged: bool | None = None
        self._before: dict[bytes, Any] | None = None  # the old items by their keys

    @property
    def unchanged(self) -> bool:
        """The order of the items of a list of type map does not count."""
        if self._unchanged is None:
            self._unchanged = self._is_unchanged()
        return self._unchanged

    def _is_unchanged(self) -> bool:
        new, old = self._value, self.old
        if isinstance(new, dict) and isinstance(old, dict):
            parts = map(self._known_field, new)
        elif isinstance(new, list) and isinstance(old, list) and self._schema.list_type == "map":
            parts = map(self.item, range(len(new)))
        else:
            return same(new, old)
        return len(new) == len(old) and all(p is not None and p.unchanged for p in parts)

    def _known_field(self, name: str) -> Past | None:
        past = self.field(name)
        return None if past is None or past._schema.typed else past

    def field(self, name: str) -> Past | None:
        if not isinstance(self.old, dict) or name not in self.old or name not in self._value:
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
        if self._before is None:
            self._before = {}
            for before in self.old:
                own = _key(schema, before)
                if own is not None:
                    self._before.setdefault(own, before)
        return Past(schema.items, item, self._before[key]) if key in self._before else None


def _key(schema: Schema, item: Any) -> bytes | None:
    if not isinstance(item, dict):
        return None
    return orjson.dumps([item.get(name) for name in schema.list_keys])
