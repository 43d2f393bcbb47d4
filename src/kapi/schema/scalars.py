"""Scalars of typed decoding: numbers, text with a form of its own (times, durations, quantities,
base64).

Each reader takes a JSON value and gives what a Go struct would print, or raises Mismatch. Parsers
and spellers of times and durations are public: other modules compute with them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kapi.schema import far_times, quantity

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class Mismatch(Exception):
    """The value does not fit the schema. No text: `decoding_errors.type_error` finds the words."""


class Unknown(list[None]):
    """Grows by one for each object that had fields its schema lacks."""


Decode = Callable[[Any, Unknown], Any]


def read_string(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    return value


def read_boolean(value: Any, unknown: Unknown) -> Any:
    if value is not True and value is not False:
        raise Mismatch
    return value


def read_int32(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not int or value not in INT32:
        raise Mismatch
    return value


def read_int64(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not int or value not in INT64:
        raise Mismatch
    return value


def read_number(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is int:
        return value
    if value.__class__ is not float:
        raise Mismatch
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def read_raw(value: Any, unknown: Unknown) -> Any:
    return value


def read_int_or_string(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is str:
        return value
    return read_int32(value, unknown)


def read_quantity(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        if value.__class__ is not int and value.__class__ is not float:
            raise Mismatch
        value = str(value)
    try:
        return quantity.canonical(value.strip())
    except quantity.QuantityError:
        raise Mismatch from None


def read_bytes(value: Any, unknown: Unknown) -> Any:
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


def parse_time(text: str) -> tuple[int, int]:
    """Seconds since the epoch and nanoseconds of a time in an object: RFC 3339, or in a year that
    only messages can bring. Raises ValueError.
    """
    try:
        return parse_rfc3339(text)
    except ValueError:
        return far_times.parse(text)


@lru_cache(maxsize=_TIMES_KEPT)
def parse_rfc3339(text: str) -> tuple[int, int]:
    """The same of a time that a client wrote in JSON. Raises ValueError."""
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


def read_time(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        seconds, _ = parse_rfc3339(value)
        return _civil(seconds) + "Z"
    except (ValueError, OverflowError):
        raise Mismatch from None


def read_micro_time(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        if not _MICROS.search(value):
            raise Mismatch
        seconds, nanos = parse_rfc3339(value)
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


def read_duration(value: Any, unknown: Unknown) -> Any:
    if value.__class__ is not str:
        raise Mismatch
    try:
        return spell_duration(parse_duration(value))
    except ValueError:
        raise Mismatch from None


BY_FORMAT: dict[str, Decode] = {
    "int-or-string": read_int_or_string,
    "quantity": read_quantity,
    "byte": read_bytes,
    "date-time": read_time,
    "micro-time": read_micro_time,
    "duration": read_duration,
    "raw": read_raw,
}
