"""The standard functions of CEL but for operators with a way of their own in `compiler.py`.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from kapi import durations
from kapi.cel.declarations import Library
from kapi.cel.regex import compiled
from kapi.cel.values import (
    INT_MAX,
    INT_MIN,
    SECOND,
    TIME_MAX_S,
    TIME_MIN_S,
    UINT_MAX,
    Duration,
    EvalError,
    Timestamp,
    TypeValue,
    Uint,
    size,
    type_name,
)

_COMPARED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_SHORT = {"int": "int64", "uint": "uint64"}


def _operators() -> str:
    lines = ["_==_ equals A, A -> bool", "_!=_ not_equals A, A -> bool"]
    numbers = ("int", "uint", "double")
    for sign, word in (("<", "less"), ("<=", "less_equals"), (">", "greater"),
                       (">=", "greater_equals")):  # fmt: skip
        for t in _COMPARED:
            lines.append(f"_{sign}_ {word}_{_SHORT.get(t, t)} {t}, {t} -> bool")
        for a in numbers:
            for b in numbers:
                if a != b:
                    id_ = f"{word}_{_SHORT.get(a, a)}_{_SHORT.get(b, b)}"
                    lines.append(f"_{sign}_ {id_} {a}, {b} -> bool")
    sums = (
        ("+", "add", (*numbers, "string", "bytes")),
        ("-", "subtract", numbers),
        ("*", "multiply", numbers),
        ("/", "divide", numbers),
        ("%", "modulo", ("int", "uint")),
    )
    for sign, word, types in sums:
        for t in types:
            lines.append(f"_{sign}_ {word}_{_SHORT.get(t, t)} {t}, {t} -> {t}")
    return "\n".join(lines)


TABLE = (
    _operators()
    + """
_&&_ logical_and bool, bool -> bool
_||_ logical_or bool, bool -> bool
_?_:_ conditional bool, A, A -> A
!_ logical_not bool -> bool
-_ negate_int64 int -> int
-_ negate_double double -> double
@not_strictly_false not_strictly_false bool -> bool
_+_ add_list list(A), list(A) -> list(A)
_+_ add_timestamp_duration timestamp, duration -> timestamp
_+_ add_duration_timestamp duration, timestamp -> timestamp
_+_ add_duration_duration duration, duration -> duration
_-_ subtract_timestamp_timestamp timestamp, timestamp -> duration
_-_ subtract_timestamp_duration timestamp, duration -> timestamp
_-_ subtract_duration_duration duration, duration -> duration
_[_] index_list list(A), int -> A
_[_] index_map map(A, B), A -> B
@in in_list A, list(A) -> bool
@in in_map A, map(A, B) -> bool
size size_bytes bytes -> int
size size_list list(A) -> int
size size_map map(A, B) -> int
size size_string string -> int
size bytes_size bytes.() -> int
size list_size list(A).() -> int
size map_size map(A,B).() -> int
size string_size string.() -> int
type type A -> type(A)
bool bool_to_bool bool -> bool
bool string_to_bool string -> bool
bytes bytes_to_bytes bytes -> bytes
bytes string_to_bytes string -> bytes
double double_to_double double -> double
double int64_to_double int -> double
double string_to_double string -> double
double uint64_to_double uint -> double
duration duration_to_duration duration -> duration
duration string_to_duration string -> duration
duration int64_to_duration int -> duration
dyn to_dyn A -> dyn
int int64_to_int64 int -> int
int double_to_int64 double -> int
int duration_to_int64 duration -> int
int string_to_int64 string -> int
int timestamp_to_int64 timestamp -> int
int uint64_to_int64 uint -> int
string string_to_string string -> string
string bool_to_string bool -> string
string bytes_to_string bytes -> string
string double_to_string double -> string
string duration_to_string duration -> string
string int64_to_string int -> string
string timestamp_to_string timestamp -> string
string uint64_to_string uint -> string
timestamp timestamp_to_timestamp timestamp -> timestamp
timestamp int64_to_timestamp int -> timestamp
timestamp string_to_timestamp string -> timestamp
uint uint64_to_uint64 uint -> uint
uint double_to_uint64 double -> uint
uint int64_to_uint64 int -> uint
uint string_to_uint64 string -> uint
contains contains_string string.(string) -> bool
endsWith ends_with_string string.(string) -> bool
startsWith starts_with_string string.(string) -> bool
matches matches string, string -> bool
matches matches_string string.(string) -> bool
getFullYear timestamp_to_year timestamp.() -> int
getFullYear timestamp_to_year_with_tz timestamp.(string) -> int
getMonth timestamp_to_month timestamp.() -> int
getMonth timestamp_to_month_with_tz timestamp.(string) -> int
getDayOfYear timestamp_to_day_of_year timestamp.() -> int
getDayOfYear timestamp_to_day_of_year_with_tz timestamp.(string) -> int
getDayOfMonth timestamp_to_day_of_month timestamp.() -> int
getDayOfMonth timestamp_to_day_of_month_with_tz timestamp.(string) -> int
getDate timestamp_to_day_of_month_1_based timestamp.() -> int
getDate timestamp_to_day_of_month_1_based_with_tz timestamp.(string) -> int
getDayOfWeek timestamp_to_day_of_week timestamp.() -> int
getDayOfWeek timestamp_to_day_of_week_with_tz timestamp.(string) -> int
getHours timestamp_to_hours timestamp.() -> int
getHours timestamp_to_hours_with_tz timestamp.(string) -> int
getHours duration_to_hours duration.() -> int
getMinutes timestamp_to_minutes timestamp.() -> int
getMinutes timestamp_to_minutes_with_tz timestamp.(string) -> int
getMinutes duration_to_minutes duration.() -> int
getSeconds timestamp_to_seconds timestamp.() -> int
getSeconds timestamp_to_seconds_tz timestamp.(string) -> int
getSeconds duration_to_seconds duration.() -> int
getMilliseconds timestamp_to_milliseconds timestamp.() -> int
getMilliseconds timestamp_to_milliseconds_with_tz timestamp.(string) -> int
getMilliseconds duration_to_milliseconds duration.() -> int
"""
)


# -- conversions ----------------------------------------------------------------------------------


def conversion_error(value: Any, wanted: str) -> EvalError:
    return EvalError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:_?[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)\Z",
    re.IGNORECASE,
)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
DIGITS_MAX = 400  # of a number in a text; Python refuses longer ones than some thousands


def to_int(value: Any) -> int:
    kind = value.__class__
    if kind is int:
        return int(value)
    if kind is Uint:
        if value > INT_MAX:
            raise EvalError("integer overflow")
        return int(value)
    if kind is float:
        if value != value or not -(2.0**63) < value < 2.0**63:
            raise EvalError("integer overflow")
        return int(value)
    if kind is str:
        if len(value) <= DIGITS_MAX and _INTEGER.match(value):
            found = int(value)
            if INT_MIN <= found <= INT_MAX:
                return found
        raise conversion_error(value, "int")
    return int(value.ns) if kind is Duration else int(value.ns // SECOND)


def to_uint(value: Any) -> Uint:
    kind = value.__class__
    if kind is str:
        if len(value) <= DIGITS_MAX and value.isdigit() and value.isascii():
            found = int(value)
            if found <= UINT_MAX:
                return Uint(found)
        raise conversion_error(value, "uint")
    if kind is float and (value != value or not 0 <= value < 2.0**64):
        raise EvalError("unsigned integer overflow")
    if value < 0:
        raise EvalError("unsigned integer overflow")
    return Uint(value)


def to_double(value: Any) -> float:
    if value.__class__ is str:
        if _FLOAT.match(value) and len(value) <= DIGITS_MAX:
            found = float(value)
            if not math.isinf(found) or "inf" in value.lower():
                return found
        raise conversion_error(value, "double")
    return float(value)


def double_text(value: float) -> str:
    """As Go's %g with as many digits as are needed."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    minus = "-" if sign else ""
    if not text:
        return f"{minus}0"
    power = len(digits) + exponent - 1
    if power < -4 or power >= GO_EXPONENT_FROM:
        mantissa = f"{text[0]}.{text[1:]}".removesuffix(".")
        return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    whole, fraction = text[: power + 1].ljust(power + 1, "0"), text[power + 1 :]
    return f"{minus}{whole}.{fraction}".removesuffix(".")


GO_EXPONENT_FROM = 6  # the power of ten from which Go writes an exponent, when digits are shortest


def to_text(value: Any) -> str:
    kind = value.__class__
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return double_text(value)
    if kind is bytes:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise EvalError("invalid UTF-8 in bytes, cannot convert to string") from None
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    return int.__str__(value)


def timestamp_text(value: Timestamp) -> str:
    seconds, ns = divmod(value.ns, SECOND)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    fraction = f".{ns:09d}".rstrip("0") if ns else ""
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


def duration_text(value: Duration) -> str:
    whole, ns = divmod(abs(value.ns), SECOND)
    fraction = f".{ns:09d}".rstrip("0") if ns else ""
    return f"{'-' if value.ns < 0 else ''}{whole}{fraction}s"


def to_bool(value: Any) -> bool:
    if value.__class__ is bool:
        return bool(value)
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise conversion_error(value, "bool")


def to_bytes(value: Any) -> bytes:
    return value.encode() if value.__class__ is str else bytes(value)


def to_duration(value: Any) -> Duration:
    if value.__class__ is str:
        try:
            return Duration(durations.nanoseconds(value))
        except ValueError:
            raise conversion_error(value, Duration.cel_type) from None
    return value if isinstance(value, Duration) else Duration(value)


_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:(Z)|([+-])(\d\d):(\d\d))\Z", re.ASCII
)


def parse_timestamp(text: str) -> Timestamp | None:
    """RFC 3339, to the nanosecond; None if it is none."""
    found = _RFC3339.match(text)
    if found is None:
        return None
    day, hour, minute, second, fraction, utc, sign, zone_hour, zone_minute = found.groups()
    try:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError:
        return None
    if int(hour) > 23 or int(minute) > 59 or int(second) > 59:
        return None
    seconds = int(start.timestamp()) + int(hour) * 3600 + int(minute) * 60 + int(second)
    if not utc:
        if int(zone_hour) > 23 or int(zone_minute) > 59:
            return None
        offset = int(zone_hour) * 3600 + int(zone_minute) * 60
        seconds += offset if sign == "-" else -offset
    if not TIME_MIN_S <= seconds <= TIME_MAX_S:
        raise EvalError("timestamp overflow")
    return Timestamp(seconds * SECOND + int((fraction or "")[:9].ljust(9, "0")))


def to_timestamp(value: Any) -> Timestamp:
    if value.__class__ is str:
        found = parse_timestamp(value)
        if found is None:
            raise conversion_error(value, Timestamp.cel_type)
        return found
    return value if isinstance(value, Timestamp) else Timestamp(value * SECOND)


def type_value(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


# -- texts ----------------------------------------------------------------------------------------


def matches(text: str, pattern: str) -> bool:
    return compiled(pattern).matches(text)


def _runs() -> dict[str, Any]:
    runs: dict[str, Any] = {
        "type": type_value,
        "to_dyn": lambda x: x,
        "contains_string": lambda a, b: b in a,
        "starts_with_string": str.startswith,
        "ends_with_string": str.endswith,
        "matches": matches,
        "matches_string": matches,
    }
    converters = {
        "int64": to_int, "uint64": to_uint, "double": to_double, "string": to_text,
        "bool": to_bool, "bytes": to_bytes, "duration": to_duration, "timestamp": to_timestamp,
    }  # fmt: skip
    for line in TABLE.strip().splitlines():
        id_ = line.split()[1]
        wanted = id_.rpartition("_to_")[2]
        if "_to_" in id_ and wanted in converters:
            runs[id_] = converters[wanted]
        elif "size" in id_:
            runs[id_] = size
    return runs


def library() -> Library:
    from kapi.cel.times import ACCESSORS

    return Library(TABLE, {**_runs(), **ACCESSORS})
