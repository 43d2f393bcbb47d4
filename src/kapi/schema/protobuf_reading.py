"""A message in Protocol Buffers becomes the JSON value that the same object would have come as.

`Readers.read(schema, raw)` walks the bytes by closures compiled per schema, on first use. What it
gives is then decoded as any JSON is (`decoding.py`), which drops empty fields and puts the rest in
order; so nothing is known twice. As in the generated Go code: of a field that comes again the last
counts, messages merge, lists grow, unknown fields are passed over. Called by `handlers/decode.py`.

A message may be inlined: then its fields stand among those of the one around it, in JSON, but in a
message of their own here (`Property.inline` names the way to them).
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from kapi.codec.protobuf_format import (
    BYTES,
    END_GROUP,
    FIXED64,
    VARINT,
    ProtobufError,
    int32,
    int64,
    skip,
    span,
    varint,
    wrong_wire_type,
)
from kapi.schema.decoding import Decoders
from kapi.schema.scalars import Unknown, spell_duration
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
# Reads data[start:stop] and stores what it is into the object.
Store = Callable[[bytes, int, int, Json], None]
# Reads data[start:stop] and returns what it is.
Value = Callable[[bytes, int, int], Any]
# Stores a number, or the eight bytes of a double.
StoreNumber = Callable[[int, Json], None]

# Names of Go fields that are not their JSON names with a capital, as errors show them.
_GO_NAMES = {"metadata": "ObjectMeta", "uid": "UID", "apiVersion": "APIVersion"}


@dataclass(slots=True)
class _Message:
    """What the fields of a message mean, by their tags (number and wire type)."""

    name: str
    stores: dict[int, Store] = field(default_factory=dict)
    numbers: dict[int, StoreNumber] = field(default_factory=dict)
    doubles: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # Go field by number, for errors

    def read(self, data: bytes, at: int, end: int, out: Json) -> None:
        """Walk the fields of one message. Raises ProtobufError."""
        stores = self.stores
        while at < end:
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = varint(data, at - 1, end)
            store = stores.get(tag)
            if store is not None:
                start, at = span(data, at, end)
                store(data, start, at, out)
                continue
            number = self.numbers.get(tag)
            if number is not None:
                value, at = varint(data, at, end)
                number(value, out)
                continue
            at = self._other(data, at, end, tag, out)

    def _other(self, data: bytes, at: int, end: int, tag: int, out: Json) -> int:
        """A double, an unknown field, or a known one in the wrong form."""
        double = self.doubles.get(tag)
        if double is not None:
            if at + 8 > end:
                raise ProtobufError("unexpected EOF")
            (out[double],) = struct.unpack_from("<d", data, at)
            return at + 8
        name = self.names.get(tag >> 3)
        if name is not None and tag & 7 != END_GROUP:
            raise wrong_wire_type(tag, name)
        return skip(data, at, end, tag, self.name)


class Readers:
    """Compiled readers by schema identity. One instance per server."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._made: dict[int, tuple[Schema, _Message]] = {}

    def read(self, schema: Schema, raw: bytes) -> Json:
        """The message as a JSON object. Raises ProtobufError."""
        out: Json = {}
        try:
            self._message(schema).read(raw, 0, len(raw), out)
        except RecursionError:
            raise ProtobufError("exceeded max depth") from None
        return out

    def _message(self, schema: Schema) -> _Message:
        found = self._made.get(id(schema))
        if found is not None:
            return found[1]
        made = _Message(schema.struct)
        self._made[id(schema)] = (schema, made)  # before its fields: a type may contain itself
        for p in schema.properties.values():
            if p.number:
                self._add(_inlined(made, p), p, schema)
        return made

    def _add(self, message: _Message, p: Property, owner: Schema) -> None:
        number, name, schema = p.number, p.name, p.schema
        message.names[number] = _GO_NAMES.get(name, name[:1].upper() + name[1:])
        if schema.format not in _SPECIAL:
            if schema.type in ("integer", "boolean"):
                message.numbers[number << 3 | VARINT] = _scalar(name, schema)
                return
            if schema.type == "number":
                message.doubles[number << 3 | FIXED64] = name
                return
            if schema.type == "array" and (p.repeated or schema.go_type.startswith("[]")):
                self._add_list(message, p, owner)
                return
        message.stores[number << 3 | BYTES] = self._store(name, schema, owner)

    def _add_list(self, message: _Message, p: Property, owner: Schema) -> None:
        """A list is its field, repeated; numbers may also come packed into one."""
        name, items = p.name, p.schema.items
        assert items is not None
        if items.type in ("integer", "boolean") and items.format not in _SPECIAL:
            convert = _CONVERT[items.type, items.format]

            def one(value: int, out: Json) -> None:
                out.setdefault(name, []).append(convert(value))

            def packed(data: bytes, at: int, end: int, out: Json) -> None:
                while at < end:
                    value, at = varint(data, at, end)
                    out.setdefault(name, []).append(convert(value))

            message.numbers[p.number << 3 | VARINT] = one
            message.stores[p.number << 3 | BYTES] = packed
            return
        value = self._value(items, owner)

        def store(data: bytes, start: int, stop: int, out: Json) -> None:
            out.setdefault(name, []).append(value(data, start, stop))

        message.stores[p.number << 3 | BYTES] = store

    def _store(self, name: str, schema: Schema, owner: Schema) -> Store:
        if schema.format not in _SPECIAL:
            if schema.type == "object":
                return self._store_message(name, schema)
            if schema.type == "map":
                return self._store_map(name, schema, owner)
        value = self._value(schema, owner)

        def store(data: bytes, start: int, stop: int, out: Json) -> None:
            out[name] = value(data, start, stop)

        return store

    def _store_message(self, name: str, schema: Schema) -> Store:
        message = self._message(schema)

        def store(data: bytes, start: int, stop: int, out: Json) -> None:
            message.read(data, start, stop, out.setdefault(name, {}))

        return store

    def _store_map(self, name: str, schema: Schema, owner: Schema) -> Store:
        """A map is a list of small messages: 1 the key, 2 the value, both as bytes."""
        assert schema.values is not None
        value = self._value(schema.values, owner)
        empty = value(b"", 0, 0)

        def store(data: bytes, at: int, end: int, out: Json) -> None:
            key, item = "", empty
            while at < end:
                tag, at = varint(data, at, end)
                if tag >> 3 == 1:
                    start, at = span(data, at, end)
                    key = data[start:at].decode("utf-8", "replace")
                elif tag >> 3 == 2:
                    start, at = span(data, at, end)
                    item = value(data, start, at)
                else:
                    at = skip(data, at, end, tag, "")
            out.setdefault(name, {})[key] = item

        return store

    def _value(self, schema: Schema, owner: Schema) -> Value:
        """The reader of a value that stands alone: of a list, of a map, of a plain field."""
        special = _SPECIAL.get(schema.format)
        if special is not None:
            return self._union(schema, owner) or special
        if schema.type == "array":  # a named list: a message around its items
            return self._wrapped(schema, owner)
        if schema.type == "object":
            message = self._message(schema)

            def read(data: bytes, start: int, stop: int) -> Json:
                out: Json = {}
                message.read(data, start, stop, out)
                return out

            return read
        assert schema.type == "string", schema.type
        return _text

    def _wrapped(self, schema: Schema, owner: Schema) -> Value:
        wrapper = _Message(schema.struct)
        self._add_list(wrapper, Property("items", schema, number=1), owner)
        wrapper.names[1] = "Items"

        def read(data: bytes, start: int, stop: int) -> list[Any]:
            out: Json = {"items": []}
            wrapper.read(data, start, stop, out)
            items: list[Any] = out["items"]
            return items

        return read

    def _union(self, schema: Schema, owner: Schema) -> Value | None:
        """The fields of a JSON schema that are a schema or something else."""
        _, _, name = schema.go_type.partition("JSONSchemaPropsOr")
        if not name:
            return None
        # What stands in such a field is not decoded any more: empty fields are dropped here.
        decode = self._decoders.decoder(owner)
        message = _Message(f"JSONSchemaPropsOr{name}")
        number = 2 if name == "Bool" else 1
        message.stores[number << 3 | BYTES] = self._store_message("schema", owner)
        if name != "Bool":
            items = owner if name == "Array" else _STRING
            self._add_list(
                message, Property("other", Schema("array", items=items), number=2), owner
            )
        else:
            message.numbers[1 << 3 | VARINT] = _scalar("other", Schema("boolean"))

        def read(data: bytes, start: int, stop: int) -> Any:
            out: Json = {}
            message.read(data, start, stop, out)
            if "schema" in out:
                return decode(out["schema"], Unknown())
            other = out.get("other")
            return [decode(x, Unknown()) for x in other] if name == "Array" and other else other

        return read


def _inlined(message: _Message, p: Property) -> _Message:
    """The message that holds a property, reached through those that are inlined."""
    for name, number in p.inline:
        tag = number << 3 | BYTES
        store = message.stores.get(tag)
        if store is None:
            inner = _Message(name.rpartition(".")[2])
            message.stores[tag] = store = inner.read
            message.names[number] = inner.name
        holder = getattr(store, "__self__", None)
        assert isinstance(holder, _Message), (p.name, name)
        message = holder
    return message


# -- values -------------------------------------------------------------------------------------

_CONVERT: dict[tuple[str, str], Callable[[int], Any]] = {
    ("integer", "int32"): int32,
    ("integer", "int64"): int64,
    ("boolean", ""): bool,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _scalar(name: str, schema: Schema) -> StoreNumber:
    convert = _CONVERT[schema.type, schema.format]

    def store(value: int, out: Json) -> None:
        out[name] = convert(value)

    return store


def _text(data: bytes, start: int, stop: int) -> str:
    return data[start:stop].decode("utf-8", "replace")


def _base64(data: bytes, start: int, stop: int) -> str:
    return b64encode(data[start:stop]).decode()


def _small(name: str, *fields: Property) -> Callable[[bytes, int, int], Json]:
    """A reader of one of the messages that have a JSON form of their own."""
    schema = Schema("object", go_type=name, properties={p.name: p for p in fields})
    message = Readers(Decoders())._message(schema)

    def read(data: bytes, start: int, stop: int) -> Json:
        out: Json = {}
        message.read(data, start, stop, out)
        return out

    return read


_INT64 = Schema("integer", format="int64")
_INT32 = Schema("integer", format="int32")
_STRING = Schema("string")


def _timestamp(data: bytes, start: int, stop: int, *, micro: bool) -> str | None:
    if start == stop:
        return None
    parts = _TIME(data, start, stop)
    nanos = parts.get("nanos", 0) if micro else 0
    try:
        moment = _EPOCH + timedelta(seconds=parts.get("seconds", 0), microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError("Time.MarshalJSON: year outside of range [0,9999]") from None
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds" if micro else "seconds")
    return text + "Z"


def _int_or_string(data: bytes, start: int, stop: int) -> int | str:
    parts = _INT_OR_STRING(data, start, stop)
    if parts.get("type", 0) == 1:
        text: str = parts.get("strVal", "")
        return text
    number: int = parts.get("intVal", 0)
    return number


def _quantity(data: bytes, start: int, stop: int) -> str:
    text: str = _QUANTITY(data, start, stop).get("string", "")
    return text or "0"


def _duration(data: bytes, start: int, stop: int) -> str:
    return spell_duration(_DURATION(data, start, stop).get("duration", 0))


def _raw(data: bytes, start: int, stop: int) -> Any:
    """JSON within a message: of any value, of an owned set of fields."""
    at, end = start, stop
    text = b""
    while at < end:
        tag, at = varint(data, at, end)
        if tag == 1 << 3 | BYTES:
            first, at = span(data, at, end)
            text = data[first:at]
        elif tag >> 3 == 1:
            raise wrong_wire_type(tag, "Raw")
        else:
            at = skip(data, at, end, tag, "RawExtension")
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"invalid JSON in a raw field: {error.msg}") from None


_SPECIAL: dict[str, Value] = {
    "byte": _base64,
    "date-time": lambda data, start, stop: _timestamp(data, start, stop, micro=False),
    "micro-time": lambda data, start, stop: _timestamp(data, start, stop, micro=True),
    "duration": _duration,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "raw": _raw,
}

_TIME = _small(
    "v1.Timestamp", Property("seconds", _INT64, number=1), Property("nanos", _INT32, number=2)
)
_INT_OR_STRING = _small(
    "intstr.IntOrString",
    Property("type", _INT64, number=1),
    Property("intVal", _INT32, number=2),
    Property("strVal", _STRING, number=3),
)
_QUANTITY = _small("resource.Quantity", Property("string", _STRING, number=1))
_DURATION = _small("v1.Duration", Property("duration", _INT64, number=1))
