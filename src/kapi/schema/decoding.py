"""Typed decoding: a JSON value becomes an object as the Go struct of its kind would hold and print it.

`decoder(schema)` gives a closure for the hot path. It checks types and ranges, drops what encoding/json drops
(unknown fields, empty optional ones), adds what it adds (zero values of plain fields), puts fields into the order
of the struct and map keys into byte order, and re-spells quantities and times. It says *that* something is
wrong by `Mismatch`, and that there were unknown fields by a flag; `decoding_errors.py` then walks the same document
again, slowly, to say *what*, in the words of the real server. Called by `handlers/decode.py` and the patch path.

Decoding again what decoding gave changes nothing (a property test holds this).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kapi.schema import quantity
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class Mismatch(Exception):
    """The value does not fit the schema. No text: `decoding_errors.diagnose` finds the words."""


class Unknown(list[None]):
    """Grows by one for each object that had fields its schema lacks."""


Decode = Callable[[Any, Unknown], Any]


class Decoders:
    """Compiled decoders by schema identity. One instance per server; schemas live as long as it does."""

    def __init__(self) -> None:
        self._compiled: dict[int, tuple[Schema, Decode]] = {}
        self._zeros: dict[int, tuple[Schema, Callable[[], Any]]] = {}

    def decode(self, schema: Schema, value: Any) -> tuple[Any, bool]:
        """The decoded object, and whether unknown fields were left out. Raises Mismatch."""
        unknown = Unknown()
        return self.decoder(schema)(value, unknown), bool(unknown)

    def decoder(self, schema: Schema) -> Decode:
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]
        # A recursive type meets itself while it is being compiled: that inner place looks it up when called.
        self._compiled[id(schema)] = (schema, lambda v, u: self._compiled[id(schema)][1](v, u))
        made = self._compile(schema)
        self._compiled[id(schema)] = (schema, made)
        return made

    def zero(self, schema: Schema) -> Callable[[], Any]:
        """Makes the value that a plain (non-pointer) Go field of this type prints when it was never set."""
        found = self._zeros.get(id(schema))
        if found is None:
            self._zeros[id(schema)] = (schema, lambda: {})
            found = (schema, self._zero(schema))
            self._zeros[id(schema)] = found
        return found[1]

    def _zero(self, schema: Schema) -> Callable[[], Any]:
        if schema.format in _STRUCT_ZERO:
            zero = _STRUCT_ZERO[schema.format]
            return lambda: zero
        if schema.format == "byte" or schema.type in ("array", "map", "any"):
            return lambda: None
        if schema.type == "object":
            parts = [(p.name, self._absent(p)) for p in schema.properties.values() if emitted(p)]
            if not parts:
                return dict
            return lambda: {name: make() for name, make in parts}
        constant = {"string": "", "integer": 0, "number": 0, "boolean": False}[schema.type]
        return lambda: constant

    def _absent(self, p: Property) -> Callable[[], Any]:
        """What a field that was never set prints."""
        return (lambda: None) if p.pointer else self.zero(p.schema)

    def _compile(self, schema: Schema) -> Decode:
        special = _SPECIAL.get(schema.format)
        if special is not None:
            return special
        match schema.type:
            case "object":
                return self._object(schema)
            case "map":
                return self._map(schema)
            case "array":
                return self._array(schema)
            case "string":
                return _string
            case "boolean":
                return _boolean
            case "number":
                return _number
            case "integer":
                return _int32 if schema.format == "int32" else _int64
            case _:
                return _raw

    def _array(self, schema: Schema) -> Decode:
        assert schema.items is not None
        item = self.decoder(schema.items)
        zero = self.zero(schema.items)

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not list:
                raise Mismatch
            return [zero() if x is None else item(x, unknown) for x in value]

        def decode_strings(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not list:
                raise Mismatch
            for x in value:
                if x.__class__ is not str:
                    return decode(value, unknown)
            return value

        return decode_strings if item is _string else decode

    def _map(self, schema: Schema) -> Decode:
        assert schema.values is not None
        item = self.decoder(schema.values)
        zero = self.zero(schema.values)

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not dict:
                raise Mismatch
            keys = value if len(value) < 2 else sorted(value)
            return {k: zero() if (x := value[k]) is None else item(x, unknown) for k in keys}

        return decode

    def _object(self, schema: Schema) -> Decode:
        fields: dict[str, tuple[int, Decode, bool, Any]] = {}
        always: list[tuple[str, Callable[[], Any]]] = []
        for index, p in enumerate(schema.properties.values()):
            fields[p.name] = (index, self.decoder(p.schema), _vanishes(p), self._vanishing(p))
            if emitted(p):
                always.append((p.name, self._absent(p)))
        order = tuple(schema.properties)
        get = fields.get

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not dict:
                raise Mismatch
            out: Json = {}
            last = -1
            ordered = True
            for name, x in value.items():
                entry = get(name)
                if entry is None:
                    unknown.append(None)
                    continue
                if x is None:
                    continue
                index, dec, vanishes, vanishing = entry
                x = dec(x, unknown)
                if not x and vanishes or vanishing is not None and x == vanishing:
                    continue
                if index < last:
                    ordered = False
                last = index
                out[name] = x
            for name, absent in always:
                if name not in out:
                    out[name] = absent()
                    ordered = False
            if ordered:
                return out
            return {name: out[name] for name in order if name in out}

        return decode

    def _vanishing(self, p: Property) -> Any:
        """For omitzero structs: the value that makes the field vanish."""
        if p.omit_zero and not p.pointer and p.schema.type == "object":
            return self.zero(p.schema)()
        return None


# Formats that are Go structs of their own, and what they print when never set: omitempty leaves none of them out.
_STRUCT_ZERO = {
    "quantity": "0",
    "int-or-string": 0,
    "date-time": None,
    "micro-time": None,
    "duration": "0s",
    "raw": None,
}


def emitted(p: Property) -> bool:
    """Whether a field that was never set still appears."""
    if p.omit_zero:
        return False
    if p.pointer:
        return not p.omit_empty
    return not p.omit_empty or p.schema.type == "object" or p.schema.format in _STRUCT_ZERO


def _vanishes(p: Property) -> bool:
    """Whether an empty value makes the field vanish. (What is not optional stays: settling.py.)"""
    if p.pointer or p.schema.type == "object" or p.schema.format in _STRUCT_ZERO:
        return False
    return p.omit_empty or p.omit_zero


def _string(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    return value


def _boolean(value: Any, unknown: Unknown) -> Any:
    if value is not True and value is not False:
        raise Mismatch
    return value


def _int32(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not int or value not in INT32:
        raise Mismatch
    return value


def _int64(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not int or value not in INT64:
        raise Mismatch
    return value


def _number(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is int:
        return value
    if value.__class__ is not float:
        raise Mismatch
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _raw(value: Any, unknown: Unknown) -> Any:
    return value


def _int_or_string(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is str:
        return value
    return _int32(value, unknown)


def _quantity(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        if value.__class__ is not int and value.__class__ is not float:
            raise Mismatch
        value = str(value)
    try:
        return quantity.canonical(value.strip())
    except quantity.QuantityError:
        raise Mismatch from None


def _bytes(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is list:  # Go reads a list of small numbers as bytes, too
        try:
            return base64.b64encode(bytes(value)).decode()
        except (TypeError, ValueError):
            raise Mismatch from None
    if value.__class__ is not str:
        raise Mismatch
    if "\n" in value or "\r" in value:
        value = value.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Mismatch from None
    return value


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))\Z"
)
_MICROS = re.compile(r"[.,]\d{6}(?:Z|[+-])")  # a MicroTime says its six digits
_TIMES_KEPT = 1024  # most times in a request repeat: creation, conditions


@lru_cache(maxsize=_TIMES_KEPT)
def parse_time(text: str) -> tuple[int, int]:
    """Seconds since the epoch and nanoseconds of an RFC 3339 text. Raises ValueError."""
    match = _TIME.match(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(x) for x in match.groups()[:6])
    moment = datetime(max(year, 1), month, day, hour, minute, second, tzinfo=UTC)
    if year == 0:
        raise ValueError(text)
    seconds = int((moment - _EPOCH).total_seconds())
    if match[8]:
        if int(match[9]) > 24 or int(match[10]) > 60:
            raise ValueError(text)
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds += -offset if match[8] == "+" else offset
    nanos = int((match[7] or "0")[:9].ljust(9, "0"))
    return seconds, nanos


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _civil(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
        f"T{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    )


def _time(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        seconds, _ = parse_time(value)
        return _civil(seconds) + "Z"
    except (ValueError, OverflowError):
        raise Mismatch from None


def _micro_time(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        if not _MICROS.search(value):
            raise Mismatch
        seconds, nanos = parse_time(value)
        return f"{_civil(seconds)}.{nanos // 1000:06d}Z"
    except (ValueError, OverflowError):
        raise Mismatch from None


_DURATION = re.compile(r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+\Z")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_NS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration text. Raises ValueError."""
    if text in ("0", "+0", "-0"):
        return 0
    if not _DURATION.match(text):
        raise ValueError(text)
    total = sum(int(float(n) * _UNIT_NS[u]) for n, u in _DURATION_PART.findall(text))
    return -total if text[0] == "-" else total


def spell_duration(ns: int) -> str:
    """A duration as Go prints it: 1h0m0s, 1.5s, 0s."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if ns >= size:
                return f"{sign}{_fraction(ns, size)}{unit}"
    hours, rest = divmod(ns, _UNIT_NS["h"])
    minutes, rest = divmod(rest, _UNIT_NS["m"])
    seconds = f"{_fraction(rest, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _fraction(ns: int, size: int) -> str:
    whole, rest = divmod(ns, size)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(size)) - 1).rstrip('0')}"


def _duration(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        return spell_duration(parse_duration(value))
    except ValueError:
        raise Mismatch from None


_SPECIAL: dict[str, Decode] = {
    "int-or-string": _int_or_string,
    "quantity": _quantity,
    "byte": _bytes,
    "date-time": _time,
    "micro-time": _micro_time,
    "duration": _duration,
    "raw": _raw,
}
