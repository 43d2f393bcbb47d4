"""CBOR to values and back, as Kubernetes writes and reads it: RFC 8949 with some choices made.

The real encoder writes every text as a *byte* string, names of fields included, floats in the
shortest form that keeps them, and the self-described tag before a whole object. The decoder takes
either kind of string, refuses repeated names, numbers that JSON lacks, and text that is no UTF-8.

`loads` is the fast reader. It knows the plain documents that clients write; whatever else it meets,
right or wrong, it leaves to the careful one by `Unusual`: `schema/cbor_reading.py` takes what is
right all the same and says what is wrong. `dumps` writes values; fields that are bytes or floats in
Go need the schema: `schema/cbor_writing.py`.

Nothing here is imported unless the gate CBORServingAndStorage is on, or a stored object is CBOR.
https://kubernetes.io/docs/reference/using-api/api-concepts/#cbor-encoding and KEP-4222
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any

from kapi.codec.json_format import DEPTH_KEPT_MAX, INT64_MAX
from kapi.codec.protobuf_format import text_bytes
from kapi.codec.spelled import ordinary

SELF_DESCRIBED = b"\xd9\xd9\xf7"  # tag 55799
POSITIVE, NEGATIVE, BYTE_STRING, TEXT_STRING, ARRAY, MAP, TAG, SIMPLE = range(8)
FALSE, TRUE, NULL = b"\xf4", b"\xf5", b"\xf6"
BASE64_LATER = 22  # tag: a byte string that is base64 wherever it must be text
NAMES_KEPT = 4096  # encoded names of fields; some 150 bytes each
NAME_KEPT_BYTES = 64

Put = Callable[[bytes], None]
_FIRST = itemgetter(0)


class CborError(ValueError):
    """The bytes are not what they should be; the text is the real decoder's."""


class Unusual(Exception):
    """Not for the fast reader."""


# -- writing --------------------------------------------------------------------------------------


class Raw:
    """A value that is CBOR already."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def _long_head(major: int, value: int) -> bytes:
    start = major << 5
    if value < 24:
        return bytes((start | value,))
    if value < 1 << 8:
        return bytes((start | 24, value))
    if value < 1 << 16:
        return bytes((start | 25,)) + value.to_bytes(2, "big")
    if value < 1 << 32:
        return bytes((start | 26,)) + value.to_bytes(4, "big")
    return bytes((start | 27,)) + value.to_bytes(8, "big")


_HEADS = tuple(tuple(_long_head(major, value) for value in range(256)) for major in range(7))
_INTS, _STRINGS, _ARRAYS, _MAPS = (_HEADS[m] for m in (POSITIVE, BYTE_STRING, ARRAY, MAP))


def head(major: int, value: int) -> bytes:
    """The first bytes of an item: its type, and its number, length or count."""
    return _HEADS[major][value] if value < 256 else _long_head(major, value)


def string(value: str) -> bytes:
    """A text."""
    data = value.encode()
    if len(data) != len(value):
        data = text_bytes(value, data)
    return head(BYTE_STRING, len(data)) + data


_kept_name = lru_cache(NAMES_KEPT)(string)


def name(value: str) -> bytes:
    """A text that comes again and again."""
    return _kept_name(value) if len(value) <= NAME_KEPT_BYTES else string(value)


def number(value: float) -> bytes:
    """A float, in as few bytes as keep it."""
    for form, start in ((">e", b"\xf9"), (">f", b"\xfa")):
        try:
            data = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, data)[0] == value:
            return start + data
    return b"\xfb" + struct.pack(">d", value)


def integer(value: int) -> bytes:
    """An integer; beyond 64 bits it is the float that Go makes of it."""
    if 0 <= value < 256:
        return _INTS[value]
    if -INT64_MAX - 1 <= value <= INT64_MAX:
        return _long_head(POSITIVE, value) if value >= 0 else _long_head(NEGATIVE, -1 - value)
    return number(float(value))


def dumps(value: Any) -> bytes:
    """A value, its objects in their own order. Raises TypeError for what is no JSON."""
    out: list[bytes] = []
    write(value, out.append)
    return b"".join(out)


def dumps_sorted(value: Any) -> bytes:
    """As `dumps`, names in the order of their bytes, which puts shorter ones first."""
    out: list[bytes] = []
    _write_sorted(value, out.append)
    return b"".join(out)


def tagged(*pieces: bytes) -> bytes:
    """A whole object as it goes out."""
    return b"".join((SELF_DESCRIBED, *pieces))


def write(value: Any, put: Put) -> None:
    """The pieces of a value, one after the other."""
    kind = value.__class__
    if kind is dict:
        size = len(value)
        put(_MAPS[size] if size < 256 else _long_head(MAP, size))
        for key, x in value.items():
            put(_kept_name(key) if len(key) <= NAME_KEPT_BYTES else string(key))
            if x.__class__ is str:
                data = x.encode()
                size = len(data)
                if size != len(x):
                    data = text_bytes(x, data)
                    size = len(data)
                put(_STRINGS[size] if size < 256 else _long_head(BYTE_STRING, size))
                put(data)
            else:
                write(x, put)
    elif kind is list:
        size = len(value)
        put(_ARRAYS[size] if size < 256 else _long_head(ARRAY, size))
        for x in value:
            write(x, put)
    else:
        put(_scalar(value, kind) if kind in _SCALARS else _other(value))


def _write_sorted(value: Any, put: Put) -> None:
    if value.__class__ is dict:
        put(head(MAP, len(value)))
        for key, x in sorted([(name(k), x) for k, x in value.items()], key=_FIRST):
            put(key)
            _write_sorted(x, put)
    elif value.__class__ is list:
        put(head(ARRAY, len(value)))
        for x in value:
            _write_sorted(x, put)
    else:
        put(_scalar(value, value.__class__) if value.__class__ in _SCALARS else _other(value))


def _scalar(value: Any, kind: type) -> bytes:
    if kind is str:
        return string(value)
    if kind is int:
        return integer(value)
    if value is None:
        return NULL
    if kind is bool:
        return TRUE if value else FALSE
    return number(value)


_SCALARS = frozenset((str, int, bool, type(None), float))


def _other(value: Any) -> bytes:
    """CBOR itself, and values that know more than they show. Raises TypeError."""
    if value.__class__ is Raw:
        data: bytes = value.data
        return data
    return dumps(ordinary(value))


_EVENT_START = (SELF_DESCRIBED, head(MAP, 2), name("type"))


def event(type_: str, obj: bytes) -> bytes:
    """One event of a watch; it and the object are in tags of their own."""
    return b"".join((*_EVENT_START, string(type_), name("object"), SELF_DESCRIBED, obj))


def opened(fields: dict[str, Any], last: str, count: int) -> bytes:
    """An object whose last field is an array, up to the elements of it."""
    out = [head(MAP, len(fields) + 1)]
    for key, value in fields.items():
        out.append(name(key))
        write(value, out.append)
    out += (name(last), head(ARRAY, count))
    return b"".join(out)


def extended(obj: bytes, fields: dict[str, Any]) -> bytes:
    """An object of few fields with some more before its own."""
    size = (obj[0] & 31) + len(fields)
    assert obj[0] >> 5 == MAP, "an object"
    assert size < 24, "of few fields"
    out = [head(MAP, size)]
    for key, value in fields.items():
        out.append(name(key))
        write(value, out.append)
    return b"".join((*out, obj[1:]))


# -- reading --------------------------------------------------------------------------------------


def loads(data: bytes, *, texts: bool = True) -> Any:
    """The value of a plain document: integers, either kind of string, arrays and maps of known
    length, base64 for bytes that are to be it. `texts`: whether text strings are plain; where a
    schema has bytes, they are not. Raises Unusual.
    """
    at = 0
    while data.startswith(SELF_DESCRIBED, at):
        at += len(SELF_DESCRIBED)
    try:
        value, at = _read(data, at, DEPTH_KEPT_MAX, texts)
    except (IndexError, UnicodeDecodeError):
        raise Unusual from None
    if at != len(data):
        raise Unusual
    return value


_SIMPLE: dict[int, Any] = {0xF4: False, 0xF5: True, 0xF6: None}
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {0xF9: (">e", 2), 0xFA: (">f", 4), 0xFB: (">d", 8)}


def _read(data: bytes, at: int, depth: int, texts: bool) -> tuple[Any, int]:
    """The item at a position, and where it ends."""
    first = data[at]
    at += 1
    major, value = first >> 5, first & 31
    if value > 23:
        if major == SIMPLE:
            return _float(data, at, first)
        value, at = _argument(data, at, value)
    if major in (BYTE_STRING, TEXT_STRING):
        end = at + value
        if end > len(data) or (major == TEXT_STRING and not texts):
            raise Unusual
        return data[at:end].decode(), end
    if major == MAP:
        return _map(data, at, value, depth, texts)
    if major == ARRAY:
        if not depth:
            raise Unusual
        out = []
        for _ in range(value):
            x, at = _read(data, at, depth - 1, texts)
            out.append(x)
        return out, at
    if major in (POSITIVE, NEGATIVE):
        if value > INT64_MAX:
            raise Unusual
        return (value if major == POSITIVE else -1 - value), at
    if major == SIMPLE:
        if first not in _SIMPLE:
            raise Unusual
        return _SIMPLE[first], at
    return _base64(data, at, value)


def _argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    size = _SIZES.get(info)
    if size is None:
        raise Unusual
    end = at + size
    if end > len(data):
        raise Unusual
    return int.from_bytes(data[at:end], "big"), end


def _map(data: bytes, at: int, count: int, depth: int, texts: bool) -> tuple[dict[str, Any], int]:
    if not depth:
        raise Unusual
    depth -= 1
    out: dict[str, Any] = {}
    for _ in range(count):
        first = data[at]
        if 0x40 <= first < 0x58:  # a short byte string, as most names and values are
            start = at + 1
            at = start + first - 0x40
            key = data[start:at].decode()
        elif 0x40 <= first < 0x80:
            key, at = _read(data, at, 0, texts)
        else:
            raise Unusual
        first = data[at]  # nothing follows where the name was cut
        if 0x40 <= first < 0x58:
            start = at + 1
            at = start + first - 0x40
            out[key] = data[start:at].decode()
        elif 0xA0 <= first < 0xB8:
            out[key], at = _map(data, at + 1, first - 0xA0, depth, texts)
        elif first == 0x58:  # a string of one more byte of length
            start = at + 2
            at = start + data[at + 1]
            out[key] = data[start:at].decode()
        elif first < 0x18:
            out[key] = first
            at += 1
        else:
            out[key], at = _read(data, at, depth, texts)
    if len(out) != count or at > len(data):
        raise Unusual
    return out, at


def _float(data: bytes, at: int, first: int) -> tuple[float, int]:
    found = _FLOATS.get(first)
    if found is None or at + found[1] > len(data):
        raise Unusual
    (value,) = struct.unpack_from(found[0], data, at)
    if not math.isfinite(value):
        raise Unusual
    return value, at + found[1]


def _base64(data: bytes, at: int, tag: int) -> tuple[str, int]:
    first = data[at]
    if tag != BASE64_LATER or first >> 5 != BYTE_STRING:
        raise Unusual
    size, at = first & 31, at + 1
    if size > 23:
        size, at = _argument(data, at, size)
    end = at + size
    if end > len(data):
        raise Unusual
    return b64encode(data[at:end]).decode(), end
