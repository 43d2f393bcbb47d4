"""An object becomes a message of Protocol Buffers, byte for byte as the real server writes it.

`Writers.write(schema, obj)` puts together what closures give that are compiled per schema, on first
use; the other way is `protobuf_reading.py`. As in the generated Go code: fields stand in the order
of their numbers and maps in that of their keys; what is no pointer in Go is always written, so an
absent field has bytes of its own, made once; absent pointers, lists and maps have none.

An object is a list of slots, one per field, copied from one that has nothing set. An inlined
message (`Property.inline`) is a run of slots that is closed into one when all are filled. For
objects that come often functions are written that do the same faster (`protobuf_shapes.py`). Called
by `handlers/forms.py` and whoever makes small answers; `protobuf_value_writing.py` has the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kapi.codec.protobuf_format import BYTES, header, headers, sized
from kapi.schema import protobuf_shapes as shapes
from kapi.schema.made import Made
from kapi.schema.protobuf_shapes import Field, Run
from kapi.schema.protobuf_value_writing import (
    RAW_TYPES,
    SPECIAL,
    SPECIAL_TEXTS,
    plain,
    union_fields,
)
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
# A value becomes its field: tag, length where there is one, content.
Write = Callable[[Any], bytes]

# Objects of a shape before a function is written for it; shapes that are remembered of a schema;
# and all that functions are written for, some 4 KB each. Past a bound everything is written as is.
SHAPE_AFTER = 16
SHAPES_MAX = 64
FUNCTIONS_MAX = 4096


class Writers:
    """Compiled writers by schema identity. One instance per server."""

    def __init__(self, shape_after: int = SHAPE_AFTER) -> None:
        self._made: Made[int, tuple[Schema, _Layout]] = Made()
        self._layouts = self._made.known
        self._shapes = _Shapes(shape_after)

    @property
    def functions(self) -> int:
        """How many were written."""
        return self._shapes.functions

    def write(self, schema: Schema, obj: Json) -> bytes:
        """The message of an object. Unknown fields are left out."""
        return self._layout(schema).write(obj)

    def _layout(self, schema: Schema) -> _Layout:
        found = self._layouts.get(id(schema))
        if found is not None:
            return found[1]
        with self._made as made:
            found = made.find(id(schema))
            if found is not None:
                return found[1]
            layout = _Layout(self._shapes)
            made.put(id(schema), (schema, layout))  # before its fields: a type may contain itself
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
            layout.fields[p.name] = Field(slot, write, null, *self._fast(p))
            layout.absent.append(absent)
        layout.runs = _runs([_place(p)[:-1] for p in properties])
        layout.whole = True

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

    def _fast(self, p: Property) -> tuple[int, int, shapes.Text | None]:
        """What a function for a shape makes of a field: kind, number and text of `Field`."""
        schema, number = p.schema, p.number
        other: shapes.Text | None = None
        if schema.format in SPECIAL:
            other = self._fast_special(number, schema)
        elif schema.type in _KINDS:
            return _KINDS[schema.type], number, None
        elif schema.type == "object":
            return shapes.MESSAGE, number, self._layout(schema).text
        elif schema.values is not None and schema.type == "map":
            item: shapes.Text | None = shapes.item_text if _is_text(schema.values) else None
            if schema.values.format in SPECIAL:
                item = self._fast_special(2, schema.values)
            if item is not None:
                other = shapes.entries(number, item, self._zero(2, schema.values, None))
        elif schema.items is not None and _is_list(schema, p):
            items = schema.items
            item = shapes.plain_text if _is_text(items) else None
            if items.type == "object" and items.format not in SPECIAL:
                item = self._layout(items).text
            if item is not None:
                other = shapes.each(number, item, self._zero(number, items, None))
        return shapes.OTHER, number, other

    def _fast_special(self, number: int, schema: Schema) -> shapes.Text | None:
        content = SPECIAL_TEXTS.get(schema.format)
        return None if content is None else shapes.tagged(number, content)

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


class _Shapes:
    """How many functions there are, and when to write one. One for all layouts of a server."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.functions = 0


class _Layout:
    """What an object is made of: its fields, and what stands in a slot whose field is absent."""

    __slots__ = ("_seen", "_shapes", "_written", "absent", "fields", "runs", "text", "whole")

    def __init__(self, shapes_: _Shapes) -> None:
        self.fields: dict[str, Field] = {}
        self.absent: list[bytes] = []
        self.runs: Sequence[Run] = ()
        self.whole = False  # until all fields are there: a type that contains itself is used before
        self._shapes = shapes_
        self._seen: dict[tuple[str, ...], int] = {}  # how often, until there is a function
        self._written: dict[tuple[str, ...], shapes.Text] = {}
        self.text = self._text()

    def write(self, obj: Json) -> bytes:
        return self.text(obj).encode("latin-1")

    def _text(self) -> shapes.Text:
        """The writer of a message as a text of bytes."""
        written = self._written.get

        def text(obj: Json) -> str:
            function = written(tuple(obj)) or self._learnt(tuple(obj))
            return function(obj) if function is not None else shapes.latin(self._by_slots(obj))

        return text

    def _learnt(self, names: tuple[str, ...]) -> shapes.Text | None:
        """Count an object; the function for its shape once it came often."""
        count = self._seen.get(names, 0)
        if count < self._shapes.after or not self.whole:
            if count or len(self._seen) + len(self._written) < SHAPES_MAX:
                self._seen[names] = count + 1
            return None
        if self._shapes.functions >= FUNCTIONS_MAX:
            return None
        self._shapes.functions += 1
        function = shapes.function_for(names, self.fields, self.absent, self.runs)
        self._seen.pop(names, None)
        self._written[names] = function
        return function

    def _by_slots(self, obj: Json) -> bytes:
        slots = self.absent.copy()
        fields = self.fields
        for name, value in obj.items():
            if name in fields:
                slot, write, null, *_ = fields[name]
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


def _is_text(schema: Schema | None) -> bool:
    return schema is not None and schema.type == "string" and schema.format not in SPECIAL


def _is_list(schema: Schema, p: Property | None) -> bool:
    """Whether a field is there once per item. A named list is not, but is a message of its own."""
    return schema.go_type.startswith("[]") or (p is not None and p.repeated)


_STRING = Schema("string")
_KINDS = {"string": shapes.TEXT, "integer": shapes.INTEGER, "boolean": shapes.BOOLEAN}
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
