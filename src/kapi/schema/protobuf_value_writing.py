"""How single values are written in Protocol Buffers: strings and numbers, and the types of
Kubernetes that have a message of their own behind a JSON form of their own.

Each function gives, for the number of a field, a writer: from the JSON value to tag, length and
content. Texts that come again and again (times, quantities) are written once. Used by
`protobuf_writing.py`; the other way is `protobuf_value_reading.py`.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from kapi.codec import json_format
from kapi.codec.protobuf_format import (
    BYTES,
    FIXED64,
    UINT64,
    VARINT,
    encoded,
    header,
    headers,
    sized,
    text_bytes,
)
from kapi.codec.spelled import PortName, PortNumber, text_of
from kapi.schema.scalars import parse_duration, parse_time
from kapi.schema.spellings import RAW
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
Write = Callable[[Any], bytes]
TEXTS_KEPT = 4096  # distinct times and quantities; some 200 bytes each


def plain(number: int, schema: Schema) -> Write:
    """The writer of a string, a number or a boolean."""
    match schema.type:
        case "string":
            return _string(number)
        case "boolean":
            return _boolean(number)
        case "number":
            return _double(number)
    assert schema.type == "integer", schema.type
    return _integer(number)


def _string(number: int) -> Write:
    heads, tag = headers(number), header(number, BYTES)

    def write(value: str) -> bytes:
        data = value.encode()
        size = len(data)
        if size != len(value):
            data = text_bytes(value, data)
            size = len(data)
        return heads[size] + data if size < 128 else tag + sized(data)

    return write


def _integer(number: int) -> Write:
    tag = header(number, VARINT)
    small = tuple(tag + bytes((n,)) for n in range(128))

    def write(value: int) -> bytes:
        return small[value] if 0 <= value < 128 else tag + encoded(value & UINT64)

    return write


def _boolean(number: int) -> Write:
    tag = header(number, VARINT)
    true, false = tag + b"\1", tag + b"\0"
    return lambda value: true if value else false


def _double(number: int) -> Write:
    tag = header(number, FIXED64)
    return lambda value: tag + struct.pack("<d", value)


# -- messages behind a value ----------------------------------------------------------------------


def _behind(content: Callable[[Any], bytes]) -> Callable[[int], Write]:
    """A field whose content, length included, is what the function gives."""

    def at(number: int) -> Write:
        tag = header(number, BYTES)
        return lambda value: tag + content(value)

    return at


_SECONDS, _NANOS = header(1, VARINT), header(2, VARINT)


def _kept(content: Callable[[Any], bytes]) -> Callable[[Any], str]:
    """The same as a text of bytes (Latin-1), which is kept."""
    return lru_cache(maxsize=TEXTS_KEPT)(lambda value: content(value).decode("latin-1"))


def _kept_bytes(kept: Callable[[Any], str]) -> Callable[[Any], bytes]:
    return lambda value: kept(value).encode("latin-1")


@_kept
def _time(text: str | None) -> bytes:
    if not text:
        return b"\0"  # the zero time
    seconds, nanos = parse_time(text)
    return sized(_SECONDS + encoded(seconds & UINT64) + _NANOS + encoded(nanos))


_ONE, _TWO, _THREE = (header(n, BYTES) for n in (1, 2, 3))


@_kept
def _quantity(text: str) -> bytes:
    return sized(_ONE + sized(text.encode()))


@_kept
def _duration(text: str) -> bytes:
    return sized(header(1, VARINT) + encoded(parse_duration(text) & UINT64))


_NAME = _string(3)


def _int_or_string_text(value: int | str) -> str:
    plain = value.__class__ is int or value.__class__ is str
    return _plain_port(value) if plain else _int_or_string(value).decode("latin-1")


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        number = value.number if isinstance(value, PortName) else 0
        return sized(b"\x08\x01\x10" + encoded(number & UINT64) + _NAME(value))
    name = value.text if isinstance(value, PortNumber) else ""
    return sized(b"\x08\x00\x10" + encoded(value & UINT64) + _NAME(name))


_plain_port = _kept(_int_or_string)


def _raw(value: Any) -> bytes:
    if value is None:
        return b"\0"
    return sized(_ONE + sized(orjson.dumps(value)))


def _json(value: Any) -> bytes:
    return b"\0" if value is None else sized(_ONE + sized(json_format.dumps_sorted(value)))


def _raw_extension(value: Any) -> bytes:
    return b"\0" if value is None else sized(_ONE + sized(text_of(value)))


def _base64(value: str) -> bytes:
    return sized(binascii.a2b_base64(value))


SPECIAL: Mapping[str, Callable[[int], Write]] = {
    "byte": _behind(_base64),
    "date-time": _behind(_kept_bytes(_time)),
    "micro-time": _behind(_kept_bytes(_time)),
    "duration": _behind(_kept_bytes(_duration)),
    "quantity": _behind(_kept_bytes(_quantity)),
    "int-or-string": _behind(_int_or_string),
    "raw": _behind(_raw),
}
# What stands behind the tag of the same, as a text of bytes.
SPECIAL_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "date-time": _time,
    "micro-time": _time,
    "duration": _duration,
    "quantity": _quantity,
    "int-or-string": _int_or_string_text,
}
# By Go type, where the text of raw JSON is not that of a set of fields.
RAW_TYPES: Mapping[str, Callable[[int], Write]] = {
    RAW: _behind(_raw_extension),
    "v1.JSON": _behind(_json),
}


# -- a JSON schema or something else --------------------------------------------------------------


def union_fields(schema: Schema, owner: Schema) -> Callable[[Any], tuple[Schema, Json]] | None:
    """For a field of a JSON schema that is a schema or something else: from its value to the
    message behind it. `owner` is the schema of JSON schemas. None for any other field."""
    _, _, name = schema.go_type.partition("JSONSchemaPropsOr")
    if not name:
        return None
    strings = Schema("array", go_type="[]string", items=Schema("string"))
    schemas = Schema("array", go_type="[]v1.JSONSchemaProps", items=owner)
    if name == "Bool":
        allows = Property("allows", Schema("boolean"), number=1)
        message = _of(allows, Property("schema", owner, pointer=True, number=2))
        return lambda value: (
            message,
            {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value},
        )
    many = Property("many", strings if name == "StringArray" else schemas, number=2)
    message = _of(Property("schema", owner, pointer=True, number=1), many)
    return lambda value: (
        message,
        {"many": value} if isinstance(value, list) else {"schema": value},
    )


def _of(*fields: Property) -> Schema:
    return Schema("object", properties={p.name: p for p in fields})
