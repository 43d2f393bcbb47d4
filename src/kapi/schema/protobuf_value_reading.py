"""How single values are read from Protocol Buffers: numbers, text, and the types of Kubernetes that
have a message of their own behind a JSON form of their own.

Each reader takes data[start:stop], the content of a field, and gives what typed decoding would make
of the same value in JSON. Messages that come again and again (times, quantities, ports) are read
once. Raises ProtobufError. Used by `protobuf_reading.py`; the other way is
`protobuf_value_writing.py`.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from kapi.codec.protobuf_format import (
    BYTES,
    VARINT,
    ProtobufError,
    int32,
    int64,
    skip,
    span,
    text,
    varint,
    wrong_wire_type,
)
from kapi.codec.spelled import port_name, port_number, spelled
from kapi.schema import far_times, quantity
from kapi.schema.scalars import Unknown, read_number, spell_duration

Json = dict[str, Any]
Value = Callable[[bytes, int, int], Any]
MESSAGES_KEPT = 4096  # distinct small messages; some 200 bytes each

CONVERT: Mapping[tuple[str, str], Callable[[int], Any]] = {
    ("integer", "int32"): int32,
    ("integer", "int64"): int64,
    ("boolean", ""): bool,
}


def read_text(data: bytes, start: int, stop: int) -> str:
    return text(data[start:stop])


_NOT_FINITE = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}  # as Go prints them


def read_double(data: bytes, at: int) -> float:
    """A number with a point, or without where it needs none."""
    (number,) = struct.unpack_from("<d", data, at)
    if not math.isfinite(number):
        raise ProtobufError(f"json: unsupported value: {_NOT_FINITE[str(number)]}")
    out: float = read_number(number, Unknown())
    return out


def _base64(data: bytes, start: int, stop: int) -> str:
    return b64encode(data[start:stop]).decode()


# Fields of a small message by number: the Go field, its wire type, how its value is read.
_Fields = Mapping[int, tuple[str, int, Callable[[Any], Any]]]


def _small(name: str, fields: _Fields, data: bytes) -> Json:
    """The fields of a small message that are there, by their Go names. The last of each counts."""
    out: Json = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at, end)
        known = fields.get(tag >> 3)
        if known is None:
            at = skip(data, at, end, tag, name)
            continue
        field, wire, convert = known
        if tag & 7 != wire:
            raise wrong_wire_type(tag, field)
        if wire == VARINT:
            value, at = varint(data, at, end)
            out[field] = convert(value)
        else:
            start, at = span(data, at, end)
            out[field] = convert(data[start:at])
    return out


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what it prints has no zone
_ZERO_TIME = -62_135_596_800  # of Go: the first moment of year 1
_SECOND = 1_000_000  # in microseconds
_TIME: _Fields = {1: ("Seconds", VARINT, int64), 2: ("Nanos", VARINT, int32)}


def _moment(data: bytes, *, micro: bool) -> str | None:
    if not data:
        return None
    parts = _small("Timestamp", _TIME, data)
    nanos = parts.get("Nanos", 0) if micro else 0
    micros = nanos // 1000 if nanos >= 0 else -(-nanos // 1000)  # cut, not rounded down
    more, micros = divmod(micros, _SECOND)
    seconds = parts.get("Seconds", 0) + more
    if seconds == _ZERO_TIME and not micros:
        return None
    try:
        out = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        out = far_times.spell(seconds)
    return f"{out}.{micros:06d}Z" if micro else f"{out}Z"


_INT_OR_STRING: _Fields = {
    1: ("Type", VARINT, int64),
    2: ("IntVal", VARINT, int32),
    3: ("StrVal", BYTES, text),
}


def _int_or_string(data: bytes) -> int | str:
    parts = _small("IntOrString", _INT_OR_STRING, data)
    name, number = parts.get("StrVal", ""), parts.get("IntVal", 0)
    return port_name(name, number) if parts.get("Type", 0) == 1 else port_number(number, name)


_QUANTITY: _Fields = {1: ("String_", BYTES, text)}


def _quantity(data: bytes) -> str:
    spelling = _small("Quantity", _QUANTITY, data).get("String_")
    if spelling is None:
        return "0"
    try:
        return quantity.canonical(spelling)
    except quantity.QuantityError as error:
        raise ProtobufError(str(error)) from None


_DURATION: _Fields = {1: ("Duration", VARINT, int64)}


def _duration(data: bytes) -> str:
    return spell_duration(_small("Duration", _DURATION, data).get("Duration", 0))


_RAW: _Fields = {1: ("Raw", BYTES, bytes)}


def _raw(data: bytes, start: int, stop: int) -> Any:
    """JSON within a message: of any value, of an owned set of fields. What is no JSON is text."""
    return _json(_small("RawExtension", _RAW, data[start:stop]).get("Raw", b""))


def _json(content: bytes) -> Any:
    if not content:
        return None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return text(content)


def read_raw_extension(data: bytes, start: int, stop: int) -> Any:
    """The same with its text."""
    content = _small("RawExtension", _RAW, data[start:stop]).get("Raw", b"")
    return spelled(_json(content), content)


_keep = lru_cache(MESSAGES_KEPT)
# Readers of small messages, which remember what they have read.
SMALL_MESSAGES: Mapping[str, Callable[[bytes], Any]] = {
    "date-time": _keep(lambda data: _moment(data, micro=False)),
    "micro-time": _keep(lambda data: _moment(data, micro=True)),
    "duration": _keep(_duration),
    "quantity": _keep(_quantity),
    "int-or-string": _keep(_int_or_string),
}


def _within(read: Callable[[bytes], Any]) -> Value:
    return lambda data, start, stop: read(data[start:stop])


SPECIAL: Mapping[str, Value] = {
    "byte": _base64,
    "raw": _raw,
    **{form: _within(read) for form, read in SMALL_MESSAGES.items()},
}
