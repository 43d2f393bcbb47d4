"""Objects as CBOR, by their schema: nearly all of an object is written as it is.

Only two kinds of fields are otherwise in Go than in JSON: bytes, which are base64 there and a byte
string in a tag here, and floats, which may look like integers there. What holds none of them, all
the way down, goes to `cbor_format.write` at once; the rest is walked by closures, compiled once for
each schema. Used by `handlers/cbor_answers.py`; the other way is `cbor_reading.py`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from kapi.codec.cbor_format import (
    ARRAY,
    BASE64_LATER,
    BYTE_STRING,
    MAP,
    NULL,
    TAG,
    Put,
    head,
    name,
    number,
    write,
)
from kapi.schema.made import Made
from kapi.schema.structural import Schema

Json = dict[str, Any]
Write = Callable[[Any, Put], None]

_BASE64_TAG = head(TAG, BASE64_LATER)


class CborWriters:
    """Compiled writers by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._made: Made[int, tuple[Schema, Write]] = Made()
        self._compiled = self._made.known
        self._known_plain: Made[int, tuple[Schema, bool]] = Made()

    def dumps(self, schema: Schema | None, value: Any) -> bytes:
        """A value. `schema`: None for what is written as it is."""
        out: list[bytes] = []
        (write if schema is None else self._writer(schema))(value, out.append)
        return b"".join(out)

    def plain(self, schema: Schema) -> bool:
        """Whether everything of a schema is written as it is."""
        found = self._known_plain.known.get(id(schema))
        if found is not None:
            return found[1]
        with self._known_plain as known:
            found = known.find(id(schema))
            if found is not None:
                return found[1]
            known.put(id(schema), (schema, True))  # what a recursive type adds is nothing new
            plain = _as_it_is(schema) and all(self.plain(s) for s in _children(schema))
            known.put(id(schema), (schema, plain))
            return plain

    def _writer(self, schema: Schema) -> Write:
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]
        key = id(schema)
        with self._made as made:
            found = made.find(key)
            if found is None:
                # A recursive type meets itself: that inner place looks it up when called.
                made.put(key, (schema, lambda v, put: self._compiled[key][1](v, put)))
                found = (schema, self._compile(schema))
                made.put(key, found)
            return found[1]

    def _compile(self, schema: Schema) -> Write:
        if not schema.typed or self.plain(schema):
            return write
        if schema.format == "byte":
            return _write_bytes
        if schema.type == "number":
            return _write_number
        if schema.type == "object":
            fields = {p.name: self._writer(p.schema) for p in schema.properties.values()}
            return lambda value, put: _write_fields(value, put, fields)
        if schema.type == "map":
            assert schema.values is not None
            values = self._writer(schema.values)
            return lambda value, put: _write_map(value, put, values)
        items = schema.items
        assert items is not None, "only what has parts has parts that are not plain"
        return _or_list(self._writer(items), items)


def _as_it_is(schema: Schema) -> bool:
    return schema.format != "byte" and schema.type != "number"


def _children(schema: Schema) -> list[Schema]:
    found = [p.schema for p in schema.properties.values()]
    return [*found, *(s for s in (schema.values, schema.items) if s is not None)]


def _write_bytes(value: Any, put: Put) -> None:
    if value is None:
        put(NULL)
        return
    data = b64decode(value)
    put(_BASE64_TAG)
    put(head(BYTE_STRING, len(data)))
    put(data)


def _write_number(value: Any, put: Put) -> None:
    put(NULL if value is None else number(float(value)))


def _write_fields(value: Any, put: Put, fields: dict[str, Write]) -> None:
    if value is None:
        put(NULL)
        return
    put(head(MAP, len(value)))
    for key, x in value.items():
        put(name(key))
        fields.get(key, write)(x, put)


def _write_map(value: Any, put: Put, values: Write) -> None:
    if value is None:
        put(NULL)
        return
    put(head(MAP, len(value)))
    for key, x in value.items():
        put(name(key))
        values(x, put)


def _or_list(write_item: Write, item: Schema) -> Write:
    """A list, or where a field may hold one or one of its items, that, or a list of names."""
    fields = item.type == "object"

    def write_items(value: Any, put: Put) -> None:
        if value.__class__ is list:
            put(head(ARRAY, len(value)))
            for x in value:
                (write if fields and x.__class__ is str else write_item)(x, put)
        elif value.__class__ is dict:
            write_item(value, put)
        else:
            write(value, put)

    return write_items
