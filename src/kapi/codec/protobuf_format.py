"""Protocol Buffers on the wire: varints, lengths, unknown fields, and the envelope of Kubernetes.

A body is four bytes of magic and a runtime.Unknown: the kind, and the message of that kind as
bytes. What is in those bytes the schema says: `schema/protobuf_reading.py` walks them with the
functions here, `schema/protobuf_writing.py` makes them. Errors have the words of the real server's
generated code; positions are offsets into the whole, never copies.
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

MAGIC = b"k8s\x00"
VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
_FIXED = {FIXED64: 8, FIXED32: 4}
_VARINT_BITS = 64
UINT64 = (1 << 64) - 1
_INT64_MAX = (1 << 63) - 1
_UINT32 = (1 << 32) - 1


class ProtobufError(ValueError):
    """The bytes are no such message; the text is Go's."""


class BadEnvelope(ProtobufError):
    """Not even the kind can be read."""


def cut() -> ProtobufError:
    """The bytes end within a field."""
    return ProtobufError("unexpected EOF")


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The unsigned number at a position, and where it ends. Raises ProtobufError."""
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    while True:
        if shift >= _VARINT_BITS:
            raise ProtobufError("proto: integer overflow")
        if at >= end:
            raise cut()
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & UINT64, at
        shift += 7


def int64(value: int) -> int:
    """An unsigned number read as Go's int64."""
    return value if value <= _INT64_MAX else value - (1 << 64)


def int32(value: int) -> int:
    """An unsigned number cut to Go's int32."""
    value &= _UINT32
    return value if value < 1 << 31 else value - (1 << 32)


def span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the bytes after a length start and stop. Raises ProtobufError."""
    size, at = varint(data, at, end)
    if size > _INT64_MAX:
        raise ProtobufError("proto: negative length found during unmarshaling")
    if at + size > end:
        raise cut()
    return at, at + size


def skip(data: bytes, at: int, end: int, tag: int, message: str) -> int:
    """Behind the value of a field that the message lacks. Raises ProtobufError."""
    wire, number = tag & 7, int32(tag >> 3)
    if wire == END_GROUP:
        raise ProtobufError(f"proto: {message}: wiretype end group for non-group")
    if number <= 0:
        raise ProtobufError(f"proto: {message}: illegal tag {number} (wire type {wire})")
    depth = 0
    while True:
        if wire == VARINT:
            _, at = varint(data, at, end)
        elif wire == BYTES:
            _, at = span(data, at, end)
        elif wire in _FIXED:
            at += _FIXED[wire]
        elif wire == GROUP:
            depth += 1
        elif wire == END_GROUP:
            depth -= 1
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        if at > end:
            raise cut()
        if depth == 0:
            return at
        tag, at = varint(data, at, end)
        wire = tag & 7


def wrong_wire_type(tag: int, go_field: str) -> ProtobufError:
    return ProtobufError(f"proto: wrong wireType = {tag & 7} for field {go_field}")


# -- text -----------------------------------------------------------------------------------------

# Text may hold bytes that are no UTF-8: they are kept and sent back. Here each is a character at
# the end of a private plane, from which `text_bytes` makes the byte again.
_ESCAPES = 0x10FF00
_FIRST_ESCAPE = chr(_ESCAPES + 0x80)


def text(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return escaped(data)


def escaped(data: bytes) -> str:
    """The same for bytes that are not all UTF-8."""
    return "".join(
        chr(_ESCAPES + ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c
        for c in data.decode("utf-8", "surrogateescape")
    )


def text_bytes(value: str, data: bytes) -> bytes:
    """The bytes of a text that is not all ASCII, given what it encodes to."""
    if max(value) < _FIRST_ESCAPE:
        return data
    return b"".join(
        bytes((ord(c) - _ESCAPES,)) if c >= _FIRST_ESCAPE else c.encode() for c in value
    )


# -- writing --------------------------------------------------------------------------------------


def encoded(value: int) -> bytes:
    """An unsigned number as a varint."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@cache  # of the numbers of fields, which are few
def header(number: int, wire: int) -> bytes:
    """The tag of a field."""
    return encoded(number << 3 | wire)


@cache
def headers(number: int) -> tuple[bytes, ...]:
    """Tag and length of a field that holds bytes, for all lengths of one byte."""
    tag = header(number, BYTES)
    return tuple(tag + bytes((size,)) for size in range(0x80))


def sized(data: bytes) -> bytes:
    """Bytes behind their length."""
    return encoded(len(data)) + data


# -- the envelope ---------------------------------------------------------------------------------

ENVELOPE_END = b"\x1a\0\x22\0"  # contentEncoding and contentType, both empty


@lru_cache(maxsize=1024)
def envelope_start(api_version: str, kind: str) -> bytes:
    """An envelope up to the length of its message."""
    api, name = sized(api_version.encode()), sized(kind.encode())
    meta = header(1, BYTES) + api + header(2, BYTES) + name
    return MAGIC + header(1, BYTES) + sized(meta) + header(2, BYTES)


def sealed(api_version: str, kind: str, message: bytes) -> bytes:
    """A message in its envelope."""
    return b"".join((envelope_start(api_version, kind), sized(message), ENVELOPE_END))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body taken out of its envelope; empty where it did not say."""

    api_version: str
    kind: str
    raw: bytes


def open_envelope(data: bytes) -> Envelope:
    """What a body says it is, and its message. The last of repeated parts counts, types merge.

    Raises BadEnvelope.
    """
    if not data.startswith(MAGIC):
        raise BadEnvelope(
            "provided data does not appear to be a protobuf message, "
            f"expected prefix [{' '.join(str(byte) for byte in MAGIC)}]"
        )
    texts = {"APIVersion": "", "Kind": ""}
    raw = b""
    try:
        for name, start, stop in _parts(data, len(MAGIC), len(data), "Unknown", _UNKNOWN):
            if name == "Raw":
                raw = data[start:stop]
            elif name == "TypeMeta":
                for field, first, last in _parts(data, start, stop, "TypeMeta", _TYPE_META):
                    texts[field] = text(data[first:last])
    except ProtobufError as error:
        raise BadEnvelope(str(error)) from None
    return Envelope(texts["APIVersion"], texts["Kind"], raw)


_UNKNOWN = {1: "TypeMeta", 2: "Raw", 3: "ContentEncoding", 4: "ContentType"}
_TYPE_META = {1: "APIVersion", 2: "Kind"}


def _parts(
    data: bytes, at: int, end: int, message: str, fields: dict[int, str]
) -> list[tuple[str, int, int]]:
    """The known fields of a small message, all of which are lengths and bytes."""
    out = []
    while at < end:
        tag, at = varint(data, at, end)
        name = fields.get(tag >> 3)
        if name is None or tag & 7 == END_GROUP:
            at = skip(data, at, end, tag, message)
            continue
        if tag & 7 != BYTES:
            raise wrong_wire_type(tag, name)
        start, at = span(data, at, end)
        out.append((name, start, at))
    return out
