"""An object becomes a message of Protocol Buffers, byte for byte as the real server writes it.

`Writers.write(schema, obj)` puts together what closures give that are compiled per schema, on first
use; the other way is `protobuf_reading.py`. As in the generated Go code: fields stand in the order
of their numbers and maps in that of their keys; what is no pointer in Go is always written, so an
absent field has bytes of its own, made once; absent pointers, lists and maps have none.

An object is a list of slots, one per field, copied from one that has nothing set. An inlined
message (`Property.inline`) is a run of slots that is closed into one when all are filled. Called by
`handlers/forms.py` and whoever makes small answers; `protobuf_value_writing.py` has the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kapi.codec.protobuf_format import BYTES, header, headers, sized
from kapi.schema.protobuf_value_writing import RAW_TYPES, SPECIAL, plain, union_fields
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
# A value becomes its field: tag, length where there is one, content.
Write = Callable[[Any], bytes]
# Slots from, slots up to, the tag: an inlined message, when those within it are closed.
Run = tuple[int, int, bytes]


class Writers:
    """Compiled writers by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._layouts: dict[int, tuple[Schema, _Layout]] = {}

    def write(self, schema: Schema, obj: Json) -> bytes:
        """The message of an object. Unknown fields are left out."""
        return self._layout(schema).write(obj)

    def _layout(self, schema: Schema) -> _Layout:
        found = self._layouts.get(id(schema))
        if found is not None:
            return found[1]
        layout = _Layout()
        self._layouts[id(schema)] = (schema, layout)  # before its fields: a type may contain itself
        self._fill(layout, schema)
        return layout

    def _fill(self, layout: _Layout, schema: Schema) -> None:
        properties = [p for p in schema.properties.values() if p.number]
        properties.sort(key=_place)
        for slot, p in enumerate(properties):
            write = self._field(p.number, p.schema, p, schema)
            absent = b"" if p.pointer else self._zero(p.number, p.schema, p)
            # A pointer to the zero time is null in JSON, too, where it is given.
            null = write(None) if p.schema.format in _TIMES else absent
            layout.fields[p.name] = (slot, write, null)
            layout.absent.append(absent)
        layout.runs = _runs([_place(p)[:-1] for p in properties])

    def _field(self, number: int, schema: Schema, p: Property | None, owner: Schema) -> Write:
        """The writer of a field; `p` where it is a field of an object, not of a list or a map."""
        if schema.format in SPECIAL:
            fields = union_fields(schema, owner)
            if fields is not None:
                return self._union(number, fields)
            return RAW_TYPES.get(schema.go_type, SPECIAL[schema.format])(number)
        if schema.type == "object":
            return self._message(number, schema)
        if schema.type == "map":
            return self._map(number, schema, owner)
        if schema.type == "array":
            return self._list(number, schema, owner, wrapped=not _is_list(schema, p))
        return plain(number, schema)

    def _message(self, number: int, schema: Schema) -> Write:
        heads, tag, layout = headers(number), header(number, BYTES), self._layout(schema)

        def write(value: Json) -> bytes:
            data = layout.write(value)
            size = len(data)
            return heads[size] + data if size < 128 else tag + sized(data)

        return write

    def _union(self, number: int, fields: Callable[[Any], tuple[Schema, Json]]) -> Write:
        """The fields of a JSON schema that are a schema or something else."""
        tag = header(number, BYTES)

        def write(value: Any) -> bytes:
            schema, obj = fields(value)
            return tag + sized(self._layout(schema).write(obj))

        return write

    def _list(self, number: int, schema: Schema, owner: Schema, *, wrapped: bool) -> Write:
        """A field per item; a named list is a message of its own around them."""
        assert schema.items is not None
        item = self._field(1 if wrapped else number, schema.items, None, owner)
        zero = self._zero(1 if wrapped else number, schema.items, None)
        tag = header(number, BYTES)

        def write(value: list[Any]) -> bytes:
            return b"".join([zero if x is None else item(x) for x in value])

        def write_wrapped(value: list[Any]) -> bytes:
            return tag + sized(write(value))

        return write_wrapped if wrapped else write

    def _map(self, number: int, schema: Schema, owner: Schema) -> Write:
        """A small message per entry: 1 the key, 2 the value."""
        assert schema.values is not None
        heads, tag = headers(number), header(number, BYTES)
        key = plain(1, _STRING)
        item = self._field(2, schema.values, None, owner)
        zero = self._zero(2, schema.values, None)

        def write(value: Json) -> bytes:
            out = []
            for name in value if len(value) < 2 else sorted(value):
                x = value[name]
                data = key(name) + (zero if x is None else item(x))
                size = len(data)
                out.append(heads[size] + data if size < 128 else tag + sized(data))
            return b"".join(out)

        return write

    def _zero(self, number: int, schema: Schema, p: Property | None) -> bytes:
        """What a field of a plain (non-pointer) Go type writes when it was never set."""
        if schema.format == "byte" or schema.type == "map":
            return b""
        if schema.type == "array" and schema.format not in SPECIAL:
            return b"" if _is_list(schema, p) or p is not None else header(number, BYTES) + b"\0"
        if schema.type == "object" and schema.format not in SPECIAL:
            return self._message(number, schema)({})
        return self._field(number, schema, p, schema)(_ZEROS.get(schema.format or schema.type))


class _Layout:
    """What an object is made of: the slot and the writer of each field and what null writes, and
    what stands in a slot whose field is absent."""

    __slots__ = ("absent", "fields", "runs")

    def __init__(self) -> None:
        self.fields: dict[str, tuple[int, Write, bytes]] = {}
        self.absent: list[bytes] = []
        self.runs: Sequence[Run] = ()

    def write(self, obj: Json) -> bytes:
        slots = self.absent.copy()
        fields = self.fields
        for name, value in obj.items():
            if name in fields:
                slot, write, null = fields[name]
                slots[slot] = null if value is None else write(value)
        for start, stop, tag in self.runs:
            slots[start:stop] = (tag + sized(b"".join(slots[start:stop])),)
        return b"".join(slots)


def _place(p: Property) -> tuple[int, ...]:
    """The numbers on the way to a field, its own last: what fields are ordered by."""
    return (*(number for _, number in p.inline), p.number)


def _runs(ways: Sequence[tuple[int, ...]]) -> list[Run]:
    """The inlined messages among the slots, given the way to each; later and inner ones first, so
    that closing one moves no other that is yet to be closed, but for the end of those around it."""
    found = {way[:depth] for way in ways for depth in range(1, len(way) + 1)}
    spans = []
    for way in found:
        slots = [i for i, other in enumerate(ways) if other[: len(way)] == way]
        spans.append((slots[0], slots[-1] + 1, way))
    spans.sort(key=lambda span: (-span[0], -len(span[2])))
    out: list[Run] = []
    for start, stop, way in spans:
        # Those within are one slot each by then.
        stop -= sum(last - first - 1 for first, last, inner in spans if inner[:-1] == way)
        out.append((start, stop, header(way[-1], BYTES)))
    return out


def _is_list(schema: Schema, p: Property | None) -> bool:
    """Whether a field is there once per item. A named list is not, but is a message of its own."""
    return schema.go_type.startswith("[]") or (p is not None and p.repeated)


_STRING = Schema("string")
_TIMES = ("date-time", "micro-time")
# By format, else by type: the value that a Go field has when it was never set.
_ZEROS: Json = {
    "string": "",
    "int32": 0,
    "int64": 0,
    "double": 0.0,
    "boolean": False,
    "quantity": "0",
    "int-or-string": 0,
    "duration": "0s",
}
