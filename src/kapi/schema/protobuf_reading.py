"""A message in Protocol Buffers becomes the object that typed decoding makes of the same in JSON.

`Readers.read(schema, raw)` walks the bytes by tables made per schema, on first use. What it gives
is decoded already: fields in the order of the Go struct, empty ones left out, zero values where
they are printed, maps sorted. As in the generated Go code: of a field that comes again the last
counts, messages merge, lists grow, unknown fields are passed over. Called by `handlers/decode.py`.

A message may be inlined: then its fields stand among those of the one around it, in JSON, but in a
message of their own here (`Property.inline` names the way to them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kapi.codec.protobuf_format import (
    BYTES,
    END_GROUP,
    FIXED64,
    VARINT,
    ProtobufError,
    cut,
    escaped,
    skip,
    span,
    varint,
    wrong_wire_type,
)
from kapi.schema.decoding import Decoders, emitted, vanishes
from kapi.schema.protobuf_names import go_field
from kapi.schema.protobuf_value_reading import (
    CONVERT,
    SMALL_MESSAGES,
    SPECIAL,
    Value,
    read_double,
    read_text,
)
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]

# What a field is: behind a length a text, a small message, a message, an inlined one, an item of a
# list or one that is a message, an entry of a map, another value, many numbers; or an integer, a
# boolean, a number of a list, a double.
TEXT, SMALL, MESSAGE, INLINED, ITEM, MESSAGES, ENTRY, VALUE, PACKED = range(9)
INTEGER, BOOLEAN, NUMBERS, DOUBLE = range(9, 13)
# Kind, name, reader, whether an empty value makes the field vanish.
Field = tuple[int, str, Any, bool]
# Behind the bytes: what is looked at before it is known to be there, and a length from there on.
_PADDING = bytes(260)
# Combinations of fields remembered for one struct; past it, no more.
COMBINATIONS_MAX = 64


class Readers:
    """Compiled readers by schema identity. One instance per server."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._made: dict[int, tuple[Schema, _Message]] = {}

    def read(self, schema: Schema, raw: bytes) -> Json:
        """The object. Raises ProtobufError."""
        try:
            return self._message(schema).read(raw + _PADDING, 0, len(raw), None)
        except RecursionError:
            raise ProtobufError("exceeded max depth") from None

    def compile(self, schema: Schema) -> None:
        """Make what reading a schema needs; then it can be read in any thread."""
        if schema.typed:
            self._message(schema)

    def _message(self, schema: Schema) -> _Message:
        found = self._made.get(id(schema))
        if found is not None:
            return found[1]
        properties = schema.properties.values()
        made = _Message(schema.struct, [p.name for p in properties])
        self._made[id(schema)] = (schema, made)  # before its fields: a type may contain itself
        for p in properties:
            if p.number:
                holder = _holder(made, p)
                holder.names[p.number] = go_field(p)
                self._add(holder, p, schema)
                if p.schema.type == "map" and p.schema.format not in SPECIAL:
                    made.maps.append(p.name)
            if emitted(p):
                absent = (lambda: None) if p.pointer else self._decoders.zero(p.schema)
                made.always.append((p.name, absent))
            if p.omit_zero and not p.pointer and p.schema.type == "object":
                made.omitted.append((p.name, self._decoders.zero(p.schema)()))
        return made

    def _add(self, message: _Message, p: Property, owner: Schema) -> None:
        number, name, schema = p.number, p.name, p.schema
        drops, key = vanishes(p), (schema.type, schema.format)
        kind, wire = VALUE, BYTES
        read: Any = self._value(schema, owner)
        if schema.format in SMALL_MESSAGES:
            kind, read, drops = SMALL, SMALL_MESSAGES[schema.format], not p.pointer
        elif schema.format not in SPECIAL:
            if key in CONVERT:
                kind = BOOLEAN if schema.type == "boolean" else INTEGER
                wire, read = VARINT, CONVERT[key]
            elif schema.type == "number":
                kind, wire = DOUBLE, FIXED64
            elif schema.type == "string":
                kind = TEXT
            elif schema.type == "object":
                kind, read = MESSAGE, self._message(schema).read
            elif schema.type == "map":
                kind, read = ENTRY, self._entry(schema, owner)
            elif p.repeated or schema.go_type.startswith("[]"):
                self._add_list(message, p, owner)
                return
        message.add(number << 3 | wire, (kind, name, read, drops))

    def _add_list(self, message: _Message, p: Property, owner: Schema) -> None:
        """A list is its field, repeated; numbers may also come packed into one."""
        items = p.schema.items
        assert items is not None
        convert = CONVERT.get((items.type, items.format))
        if convert is None:
            kind: int = ITEM
            item: Any = self._value(items, owner)
            if items.type == "object" and items.format not in SPECIAL:
                kind, item = MESSAGES, self._message(items).read
            message.add(p.number << 3 | BYTES, (kind, p.name, item, False))
            return

        def packed(data: bytes, at: int, end: int) -> list[Any]:
            out = []
            while at < end:
                value, at = varint(data, at, end)
                out.append(convert(value))
            return out

        message.add(p.number << 3 | VARINT, (NUMBERS, p.name, convert, False))
        message.add(p.number << 3 | BYTES, (PACKED, p.name, packed, False))

    def _entry(self, schema: Schema, owner: Schema) -> Callable[[bytes, int, int], tuple[str, Any]]:
        """A map is a list of small messages: 1 the key, 2 the value, both as bytes."""
        assert schema.values is not None
        value = self._value(schema.values, owner)
        empty = value(b"", 0, 0)
        texts = value is read_text

        def read(data: bytes, at: int, end: int) -> tuple[str, Any]:
            size = data[at + 1]
            middle = at + 2 + size
            # Nearly always: a key and a text, each of less than 128 bytes.
            if texts and size < 0x80 and data[middle + 1] == end - middle - 2 < 0x80:
                first, second = data[at + 2 : middle], data[middle + 2 : end]
                if data[at] == _KEY and data[middle] == _ITEM and (first + second).isascii():
                    return first.decode(), second.decode()
            key, item = "", empty
            while at < end:
                tag, at = varint(data, at, end)
                if tag >> 3 == 1:
                    start, at = span(data, at, end)
                    key = read_text(data, start, at)
                elif tag >> 3 == 2:
                    start, at = span(data, at, end)
                    item = value(data, start, at)
                else:
                    at = skip(data, at, end, tag, "")
            return key, item

        return read

    def _value(self, schema: Schema, owner: Schema) -> Value:
        """The reader of a value that stands alone: of a list, of a map, of a plain field."""
        special = SPECIAL.get(schema.format)
        if special is not None:
            return self._union(schema, owner) or special
        if schema.type == "array":  # a named list: a message around its items
            return self._wrapped(schema, owner)
        if schema.type == "object":
            message = self._message(schema)
            return lambda data, start, stop: message.read(data, start, stop, None)
        return read_text

    def _wrapped(self, schema: Schema, owner: Schema) -> Value:
        wrapper = _Message(schema.struct, ["items"])
        self._add_list(wrapper, Property("items", schema, number=1), owner)
        wrapper.names[1] = "Items"
        return lambda data, at, end: wrapper.read(data, at, end, None).get("items", [])

    def _union(self, schema: Schema, owner: Schema) -> Value | None:
        """The fields of a JSON schema that are a schema or something else."""
        _, _, name = schema.go_type.partition("JSONSchemaPropsOr")
        if not name:
            return None
        message = _Message(f"JSONSchemaPropsOr{name}", ["schema", "other"])
        number = 2 if name == "Bool" else 1
        self._add(message, Property("schema", owner, number=number), owner)
        if name == "Bool":
            self._add(message, Property("other", _BOOLEAN, omit_empty=False, number=1), owner)
        else:
            many = owner if name == "Array" else _STRING
            items = Schema("array", go_type="[]", items=many)
            self._add(message, Property("other", items, number=2), owner)

        nothing = False if name == "Bool" else None

        def read(data: bytes, start: int, stop: int) -> Any:
            out = message.read(data, start, stop, None)
            return out["schema"] if "schema" in out else out.get("other", nothing)

        return read


_KEY, _ITEM = 1 << 3 | BYTES, 2 << 3 | BYTES
_STRING, _BOOLEAN = Schema("string"), Schema("boolean")


class _Message:
    """What the fields of a message mean, by their tags (number and wire type)."""

    __slots__ = (
        "always",
        "fields",
        "inlined",
        "maps",
        "name",
        "names",
        "omitted",
        "order",
        "settled",
        "short",
    )

    def __init__(self, name: str, order: Sequence[str] = (), *, inlined: bool = False) -> None:
        self.name = name
        self.order = order
        self.inlined = inlined  # its fields stand in another one, which puts them in order
        # Combinations of fields, in their order, to which nothing needs to be done.
        self.settled: set[tuple[str, ...]] = set()
        self.fields: dict[int, Field] = {}
        self.short: list[Field | None] = [None] * 0x80  # the same for tags of one byte
        self.names: dict[int, str] = {}  # Go fields by number, for errors
        self.always: list[tuple[str, Callable[[], Any]]] = []
        self.omitted: list[tuple[str, Any]] = []
        self.maps: list[str] = []

    def add(self, tag: int, field: Field) -> None:
        self.fields[tag] = field
        if tag < 0x80:
            self.short[tag] = field

    def read(self, data: bytes, at: int, end: int, into: Json | None) -> Json:
        """The object in data[at:end], merged into another one. Raises ProtobufError."""
        short, fields = self.short, self.fields
        out: Json = {} if into is None else into
        disorder = False
        while at < end:
            tag = data[at]
            if tag < 0x80:
                field = short[tag]
            else:
                tag, at = varint(data, at, end)
                at -= 1
                field = fields.get(tag)
            if field is None:
                at = self._unknown(data, at + 1, end, tag)
                continue
            kind, name, read, drops = field
            size = data[at + 1]  # or a number; both are rarely of more than one byte
            at += 2
            if kind >= INTEGER:
                if kind > BOOLEAN or size >= 0x80 or at > end:
                    at = _number(data, at - 1, end, out, field)
                elif size or not drops:
                    out[name] = size if kind == INTEGER else size != 0
                else:
                    out.pop(name, None)  # given before, not any more
                continue
            stop = at + size
            if size >= 0x80:
                at, stop = span(data, at - 1, end)
            elif stop > end:
                raise cut()
            if kind == TEXT:
                if stop > at or not drops:
                    try:
                        out[name] = data[at:stop].decode()
                    except UnicodeDecodeError:
                        out[name] = escaped(data[at:stop])
                else:
                    out.pop(name, None)
            elif kind == MESSAGE:
                out[name] = read(data, at, stop, out.get(name))
            elif kind == MESSAGES:
                if name in out:
                    out[name].append(read(data, at, stop, None))
                else:
                    out[name] = [read(data, at, stop, None)]
            elif kind == SMALL:
                value = read(data[at:stop])
                if value is not None or not drops:
                    out[name] = value
                else:  # no pointer: the zero time is none
                    out.pop(name, None)
            elif kind == ENTRY:
                key, value = read(data, at, stop)
                if name in out:
                    entries = out[name]
                    disorder = disorder or next(reversed(entries)) >= key
                    entries[key] = value
                else:
                    out[name] = {key: value}
            else:
                _value(data, at, stop, out, field)
            at = stop
        if self.inlined or (into is None and not disorder and tuple(out) in self.settled):
            return out
        return self._finished(out)

    def _finished(self, out: Json) -> Json:
        """The object with what is always there, its maps and its fields in order."""
        for name in self.maps:
            entries = out.get(name)
            if entries is not None:
                out[name] = {key: entries[key] for key in sorted(entries)}
        for name, zero in self.omitted:
            if out.get(name) == zero:
                del out[name]
        names = tuple(out)
        for name, absent in self.always:
            if name not in out:
                out[name] = absent()
        out = {name: out[name] for name in self.order if name in out}
        if names == tuple(out) and not self.omitted and len(self.settled) < COMBINATIONS_MAX:
            self.settled.add(names)
        return out

    def _unknown(self, data: bytes, at: int, end: int, tag: int) -> int:
        """Behind a field that is not known, or is in another form than it should be."""
        name = self.names.get(tag >> 3)
        if name is not None and tag & 7 != END_GROUP:
            raise wrong_wire_type(tag, name)
        return skip(data, at, end, tag, self.name)


def _value(data: bytes, at: int, stop: int, out: Json, field: Field) -> None:
    """Read what stands behind a length, of the rarer kinds, into an object."""
    kind, name, read, _ = field
    if kind == ITEM:
        out.setdefault(name, []).append(read(data, at, stop))
    elif kind == VALUE:
        out[name] = read(data, at, stop)
    elif kind == INLINED:
        read(data, at, stop, out)
    else:
        out.setdefault(name, []).extend(read(data, at, stop))


def _number(data: bytes, at: int, end: int, out: Json, field: Field) -> int:
    """Read a number into an object; where it ends."""
    kind, name, convert, drops = field
    if kind == DOUBLE:
        if at + 8 > end:
            raise cut()
        out[name] = read_double(data, at)
        return at + 8
    number, at = varint(data, at, end)
    value = convert(number)
    if kind == NUMBERS:
        out.setdefault(name, []).append(value)
    elif value or not drops:
        out[name] = value
    else:
        out.pop(name, None)
    return at


def _holder(message: _Message, p: Property) -> _Message:
    """The message that holds a property, reached through those that are inlined."""
    for name, number in p.inline:
        tag = number << 3 | BYTES
        field = message.fields.get(tag)
        if field is None:
            inner = _Message(name.rpartition(".")[2], inlined=True)
            field = (INLINED, "", inner.read, False)
            message.add(tag, field)
            message.names[number] = inner.name
        holder = getattr(field[2], "__self__", None)
        assert isinstance(holder, _Message), (p.name, name)
        message = holder
    return message
