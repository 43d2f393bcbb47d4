"""A message in Protocol Buffers becomes the object that typed decoding makes of the same in JSON.

`Readers.read(schema, raw)` walks the bytes by tables made per schema, on first use; for kinds that
come often by functions written for them (`protobuf_straight.py`). What it gives is decoded already:
fields in the order of the Go struct, empty ones left out, zero values where they are printed, maps
sorted. As in the generated Go code: of a field that comes again the last counts, messages merge,
lists grow, unknown fields are passed over. Called by `handlers/decode.py`.

A message may be inlined: then its fields stand among those of the one around it, in JSON, but in a
message of their own here (`Property.inline` names the way to them).
"""

from __future__ import annotations

from typing import Any

from kapi.codec.protobuf_format import (
    BYTES,
    FIXED64,
    VARINT,
    ProtobufError,
    varint,
)
from kapi.schema.decoding import Decoders, emitted, vanishes
from kapi.schema.made import Made
from kapi.schema.protobuf_messages import (
    BOOLEAN,
    DOUBLE,
    ENTRY,
    INLINED,
    INTEGER,
    ITEM,
    MESSAGE,
    MESSAGES,
    NUMBERS,
    PACKED,
    SMALL,
    TEXT,
    VALUE,
    Entry,
    Message,
)
from kapi.schema.protobuf_names import go_field
from kapi.schema.protobuf_straight import Unexpected, read_straight
from kapi.schema.protobuf_value_reading import (
    CONVERT,
    SMALL_MESSAGES,
    SPECIAL,
    Value,
    read_raw_extension,
    read_text,
)
from kapi.schema.spellings import RAW
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]

# Behind the bytes: what is looked at before it is known to be there, and a length from there on.
_PADDING = bytes(260)
# Bodies of a kind before the fast readers are written for it, which takes some 20 ms for pods.
STRAIGHT_AFTER = 16


class Readers:
    """Compiled readers by schema identity. One instance per server."""

    def __init__(self, decoders: Decoders, straight_after: int = STRAIGHT_AFTER) -> None:
        self._decoders = decoders
        self._straight_after = straight_after
        self._made: Made[int, tuple[Schema, Message]] = Made()

    def read(self, schema: Schema, raw: bytes) -> Json:
        """The object. Raises ProtobufError."""
        message, data = self._message(schema), raw + _PADDING
        if message.bodies < self._straight_after:
            message.bodies += 1
        else:
            try:
                return read_straight(message, data, len(raw))
            except Unexpected:
                pass
        try:
            return message.read(data, 0, len(raw), None)
        except RecursionError:
            raise ProtobufError("exceeded max depth") from None

    def compile(self, schema: Schema) -> None:
        """Make what reading a schema needs; then it can be read in any thread."""
        if schema.typed:
            self._message(schema)

    def _message(self, schema: Schema) -> Message:
        found = self._made.known.get(id(schema))
        if found is not None:
            return found[1]
        with self._made as under_way:
            found = under_way.find(id(schema))
            if found is not None:
                return found[1]
            made = Message(schema.struct, [p.name for p in schema.properties.values()])
            under_way.put(id(schema), (schema, made))  # before its fields: it may contain itself
            self._fill(made, schema)
            return made

    def _fill(self, made: Message, schema: Schema) -> None:
        for p in schema.properties.values():
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

    def _add(self, message: Message, p: Property, owner: Schema) -> None:
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
                kind, read = ENTRY, self._entry(schema, owner).read
            elif p.repeated or schema.go_type.startswith("[]"):
                self._add_list(message, p, owner)
                return
        message.add(number << 3 | wire, (kind, name, read, drops))

    def _add_list(self, message: Message, p: Property, owner: Schema) -> None:
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

    def _entry(self, schema: Schema, owner: Schema) -> Entry:
        assert schema.values is not None
        return Entry(self._value(schema.values, owner))

    def _value(self, schema: Schema, owner: Schema) -> Value:
        """The reader of a value that stands alone: of a list, of a map, of a plain field."""
        if schema.go_type == RAW:
            return read_raw_extension
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
        wrapper = Message(schema.struct, ["items"])
        self._add_list(wrapper, Property("items", schema, number=1), owner)
        wrapper.names[1] = "Items"
        return lambda data, at, end: wrapper.read(data, at, end, None).get("items", [])

    def _union(self, schema: Schema, owner: Schema) -> Value | None:
        """The fields of a JSON schema that are a schema or something else."""
        _, _, name = schema.go_type.partition("JSONSchemaPropsOr")
        if not name:
            return None
        message = Message(f"JSONSchemaPropsOr{name}", ["schema", "other"])
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


_STRING, _BOOLEAN = Schema("string"), Schema("boolean")


def _holder(message: Message, p: Property) -> Message:
    """The message that holds a property, reached through those that are inlined."""
    for name, number in p.inline:
        tag = number << 3 | BYTES
        field = message.fields.get(tag)
        if field is None:
            inner = Message(name.rpartition(".")[2], inlined=True)
            field = (INLINED, "", inner.read, False)
            message.add(tag, field)
            message.names[number] = inner.name
        holder = getattr(field[2], "__self__", None)
        assert isinstance(holder, Message), (p.name, name)
        message = holder
    return message
