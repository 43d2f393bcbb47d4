"""The v2 document as Protocol Buffers, the only form in which older client-go asks for it.

The messages are those of gnostic's OpenAPIv2.proto (https://github.com/google/gnostic); the tables
here name only the fields that our documents have. Extensions and other free values travel as JSON
text, which is YAML.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import orjson

Json = dict[str, Any]

# Field of a message: JSON key → (number, form). Forms: s string, b bool, i int64, d double, [s
# strings, any; the name of a message, [ before it for a list; = before it for a wrapper that holds
# a map as (name, value) pairs.
_Fields = dict[str, tuple[int, str]]


def _fields(text: str) -> _Fields:
    """From `key number form` triples."""
    words = text.split()
    return {
        key: (int(number), form)
        for key, number, form in zip(words[::3], words[1::3], words[2::3], strict=True)
    }


_MESSAGES: Mapping[str, _Fields] = {
    "Document": _fields(
        "swagger 1 s  info 2 Info  paths 8 Paths  definitions 9 =Schema "
        "security 12 [SecurityRequirement  securityDefinitions 13 =SecurityDefinition"
    ),
    "Info": _fields("title 1 s  version 2 s"),
    "PathItem": _fields(
        "get 2 Operation  put 3 Operation  post 4 Operation  delete 5 Operation "
        "options 6 Operation  head 7 Operation  patch 8 Operation  parameters 9 [Parameter"
    ),
    "Operation": _fields(
        "tags 1 [s  description 3 s  operationId 5 s  produces 6 [s  consumes 7 [s "
        "parameters 8 [Parameter  responses 9 Responses  schemes 10 [s  x- 13 any"
    ),
    "Body": _fields("description 1 s  name 2 s  in 3 s  required 4 b  schema 5 Schema"),
    "Query": _fields(
        "required 1 b  in 2 s  description 3 s  name 4 s  type 6 s  format 7 s  uniqueItems 20 b"
    ),
    "Path": _fields(
        "required 1 b  in 2 s  description 3 s  name 4 s  type 5 s  format 6 s  uniqueItems 19 b"
    ),
    "Response": _fields("description 1 s  schema 2 SchemaItem"),
    "Schema": _fields(
        "$ref 1 s  format 2 s  title 3 s  description 4 s  default 5 any  multipleOf 6 d "
        "maximum 7 d  exclusiveMaximum 8 b  minimum 9 d  exclusiveMinimum 10 b  maxLength 11 i "
        "minLength 12 i  pattern 13 s  maxItems 14 i  minItems 15 i  uniqueItems 16 b "
        "maxProperties 17 i  minProperties 18 i  required 19 [s  enum 20 [any "
        "additionalProperties 21 Additional  type 22 Type  items 23 Items  allOf 24 [Schema "
        "properties 25 =Schema  x- 31 any"
    ),
    "ApiKey": _fields("type 1 s  name 2 s  in 3 s  description 4 s"),
}


def encode_v2(document: Json) -> bytes:
    """A whole v2 document."""
    return _message("Document", document)


def _message(name: str, value: Any) -> bytes:
    wrap = _WRAPPERS.get(name)
    if wrap is not None:
        return wrap(value)
    fields = _MESSAGES[name]
    extensions = fields.get("x-")
    out = bytearray()
    for key, child in value.items():
        field = fields.get(key)
        if field is not None:
            out += _field(field[0], field[1], child)
        elif extensions is not None and key.startswith("x-"):
            out += _pair(extensions[0], key, _any(child))
    return bytes(out)


def _field(number: int, form: str, value: Any) -> bytes:
    if form[0] == "[":
        return b"".join(_field(number, form[1:], item) for item in value)
    if form[0] == "=":
        pairs = (_pair(1, key, _message(form[1:], child)) for key, child in value.items())
        return _bytes(number, b"".join(pairs))
    if form == "s":
        return _bytes(number, value.encode())
    if form == "b":
        return _varint(number << 3) + (b"\1" if value else b"\0")
    if form == "i":
        return _varint(number << 3) + _varint(int(value) % 2**64)
    if form == "d":
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if form == "any":
        return _bytes(number, _any(value))
    return _bytes(number, _message(form, value))


def _pair(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: name and value."""
    return _bytes(number, _bytes(1, name.encode()) + _bytes(2, value))


def _any(value: Any) -> bytes:
    return _bytes(2, orjson.dumps(value) + b"\n")


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# -- messages that are not shaped like their JSON -------------------------------------------------


def _paths(value: Json) -> bytes:
    return b"".join(_pair(2, path, _message("PathItem", item)) for path, item in value.items())


def _parameter(value: Json) -> bytes:
    if value["in"] == "body":
        parameter = _bytes(1, _message("Body", value))
    else:
        place = _bytes(4, _message("Path", value)) if value["in"] == "path" else None
        parameter = _bytes(2, place or _bytes(3, _message("Query", value)))
    return _bytes(1, parameter)


def _responses(value: Json) -> bytes:
    return b"".join(
        _pair(1, code, _bytes(1, _message("Response", child))) for code, child in value.items()
    )


def _additional(value: Any) -> bytes:
    return _field(2, "b", value) if isinstance(value, bool) else _field(1, "Schema", value)


def _type(value: Any) -> bytes:
    return _field(1, "[s", [value] if isinstance(value, str) else value)


def _requirement(value: Json) -> bytes:
    return b"".join(_pair(1, key, _field(1, "[s", scopes)) for key, scopes in value.items())


_WRAPPERS: Mapping[str, Callable[[Any], bytes]] = {
    "Paths": _paths,
    "Parameter": _parameter,
    "Responses": _responses,
    "SchemaItem": lambda value: _field(1, "Schema", value),
    "Items": lambda value: _field(1, "Schema", value),
    "Additional": _additional,
    "Type": _type,
    "SecurityRequirement": _requirement,
    "SecurityDefinition": lambda value: _field(2, "ApiKey", value),
}
