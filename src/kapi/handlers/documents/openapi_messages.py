"""OpenAPI documents as messages of Protocol Buffers, by tables of their fields.

The messages are those of gnostic (https://github.com/google/gnostic); the tables in
`openapi_proto_v2.py` and `openapi_proto_v3.py` name only the fields that our documents have.
Extensions and other free values travel as JSON text, which is YAML.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from kapi.codec.protobuf_format import BYTES, FIXED64, UINT64, VARINT, encoded, header, sized

Json = dict[str, Any]

# Field of a message: JSON key → (number, form). Forms: s string, b bool, i int64, d double, [s
# strings, any; the name of a message, [ before it for a list; = before it for a wrapper that holds
# a map as (name, value) pairs. The key `x-` stands for all extensions.
Fields = Mapping[str, tuple[int, str]]
# Messages that are not shaped like their JSON.
Wrappers = Mapping[str, Callable[["Messages", Any], bytes]]


def fields(text: str) -> Fields:
    """From `key number form` triples."""
    words = text.split()
    return {
        key: (int(number), form)
        for key, number, form in zip(words[::3], words[1::3], words[2::3], strict=True)
    }


class Messages:
    """The messages of one version of OpenAPI."""

    def __init__(self, tables: Mapping[str, Fields], wrappers: Wrappers) -> None:
        self._tables = tables
        self._wrappers = wrappers

    def message(self, name: str, value: Any) -> bytes:
        wrap = self._wrappers.get(name)
        if wrap is not None:
            return wrap(self, value)
        known = self._tables[name]
        extensions = known.get("x-")
        out = bytearray()
        for key, child in value.items():
            found = known.get(key)
            if found is not None:
                out += self.field(found[0], found[1], child)
            elif extensions is not None and key.startswith("x-"):
                out += pair(extensions[0], key, _any(child))
        return bytes(out)

    def field(self, number: int, form: str, value: Any) -> bytes:
        if form[0] == "[":
            return b"".join(self.field(number, form[1:], item) for item in value)
        if form[0] == "=":
            pairs = (pair(1, key, self.message(form[1:], child)) for key, child in value.items())
            return field_of_bytes(number, b"".join(pairs))
        if form == "s":
            return field_of_bytes(number, value.encode())
        if form == "b":
            return header(number, VARINT) + (b"\1" if value else b"\0")
        if form == "i":
            return header(number, VARINT) + encoded(int(value) & UINT64)
        if form == "d":
            return header(number, FIXED64) + struct.pack("<d", value)
        if form == "any":
            return field_of_bytes(number, _any(value))
        return field_of_bytes(number, self.message(form, value))


def pair(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: name and value."""
    return field_of_bytes(number, field_of_bytes(1, name.encode()) + field_of_bytes(2, value))


def field_of_bytes(number: int, data: bytes) -> bytes:
    return header(number, BYTES) + sized(data)


def _any(value: Any) -> bytes:
    return field_of_bytes(2, orjson.dumps(value) + b"\n")
