"""JSON text to values and back, with the words and quirks of the real server's reader and writer.

`loads` and `dumps` are the hot pair: orjson, and a look at what orjson sees otherwise than Go
does (characters that Go escapes, deep nesting, broken UTF-8). `loads_exact` is for diagnosis
only: it keeps the order, repeated names and the spelling of numbers. Text that is no JSON raises
`JsonSyntaxError`, worded as Go's `encoding/json` words it:
https://pkg.go.dev/encoding/json#SyntaxError

Invariants: `loads` never raises anything else for any bytes, and never recurses; what `dumps`
writes holds neither `<`, `>`, `&` nor the line separators U+2028 and U+2029 raw. Looking for
floats in every answer would cost more than writing it: who decodes makes whole floats ints
(`go_number`), as Go prints them.
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.codec import json_scanner, spelled
from kapi.codec.json_scanner import DEPTH_MAX, JsonNumber, JsonObject, JsonSyntaxError

_SUBCLASSES, _SORTED = orjson.OPT_PASSTHROUGH_SUBCLASS, orjson.OPT_SORT_KEYS
WRITER_DEPTH = 254  # levels that orjson writes
# Levels of nesting that an object may have. The real server takes DEPTH_MAX, the fast writer fewer;
# what surrounds an object in an answer (a list, a table, field sets) needs some of them.
DEPTH_KEPT_MAX = WRITER_DEPTH - 16

__all__ = [
    "DEPTH_KEPT_MAX",
    "DEPTH_MAX",
    "JsonNumber",
    "JsonObject",
    "JsonSyntaxError",
    "as_go",
    "check_depth",
    "dumps",
    "dumps_kept",
    "dumps_pretty",
    "dumps_sorted",
    "go_float",
    "go_number",
    "has_duplicates",
    "loads",
    "loads_exact",
    "loads_kept",
]


def loads(data: bytes) -> Any:
    """The value of a JSON text; of repeated names the last wins.

    Integers beyond 64 bits become floats; broken UTF-8 and lone surrogates U+FFFD.
    Raises JsonSyntaxError.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    repaired = json_scanner.repair(data)
    if repaired is not None:
        try:
            return orjson.loads(repaired)
        except orjson.JSONDecodeError:
            pass
    return json_scanner.parse(data, exact=False)


def loads_kept(data: bytes) -> Any:
    """The value of what `dumps_kept` gave. Raises JsonSyntaxError."""
    text, rest = spelled.split(data)
    return spelled.restore(loads(text), rest)


def check_depth(text: bytes, value: Any) -> None:
    """Raise JsonSyntaxError for a value that is too deep to be kept; `text` is its JSON."""
    if text.count(b"{") + text.count(b"[") <= DEPTH_KEPT_MAX:
        return
    probe: Any = value
    for _ in range(WRITER_DEPTH - DEPTH_KEPT_MAX):
        probe = [probe]
    try:
        orjson.dumps(probe)
    except orjson.JSONEncodeError:
        raise JsonSyntaxError("exceeded max depth") from None


def loads_exact(data: bytes) -> Any:
    """As `loads`, but with JsonObject and JsonNumber; slow. Raises JsonSyntaxError."""
    return json_scanner.parse(data, exact=True)


def has_duplicates(data: bytes, parsed: Any) -> bool:
    """Whether an object in `data` repeats a name; `parsed` is what `loads` made of it.

    Dropping a repeated member drops its colon, and only an escaped colon (`\\u003a`) could make
    up for it.
    """
    if b"\\u003" not in data:
        try:
            return data.count(b":") != orjson.dumps(parsed).count(b":")
        except orjson.JSONEncodeError:  # too deep for orjson
            pass
    return _any_duplicates(loads_exact(data))


def _any_duplicates(value: Any) -> bool:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, JsonObject):
            if value.duplicates:
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False


def dumps(value: Any) -> bytes:
    """Compact JSON in the order of the dicts. Raises TypeError for keys that are no strings."""
    try:
        return as_go(orjson.dumps(value, default=spelled.plain, option=_SUBCLASSES))
    except orjson.JSONEncodeError as error:
        return as_go(_dump_odd(value, error, indent=0))


def dumps_kept(value: Any) -> bytes:
    """As `dumps`, and behind it what JSON cannot say, for `spelled.split` and `restore`."""
    odd: list[Any] = []

    def see(x: Any) -> Any:
        odd.append(x)
        return spelled.plain(x)

    try:
        out = as_go(orjson.dumps(value, default=see, option=_SUBCLASSES))
    except orjson.JSONEncodeError as error:
        return as_go(_dump_odd(value, error, indent=0))
    return out + spelled.rest(value) if odd else out


def dumps_sorted(value: Any) -> bytes:
    """As `dumps`, with the keys of all objects in byte order."""
    try:
        return as_go(orjson.dumps(value, default=spelled.plain, option=_SUBCLASSES | _SORTED))
    except orjson.JSONEncodeError as error:
        return as_go(_dump_odd(_sorted(value), error, indent=0))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(x) for x in value] if isinstance(value, list) else value


def dumps_pretty(value: Any) -> bytes:
    """Indented by two spaces, without a newline at the end."""
    try:
        option = _SUBCLASSES | orjson.OPT_INDENT_2
        return as_go(orjson.dumps(value, default=spelled.plain, option=option))
    except orjson.JSONEncodeError as error:
        return as_go(_dump_odd(value, error, indent=2))


def _dump_odd(value: Any, error: orjson.JSONEncodeError, *, indent: int) -> bytes:
    """What orjson cannot write but JSON can: deep nesting and big integers."""
    if "Recursion" in str(error) or "Integer exceeds" in str(error):
        return json_scanner.dump_deep(value, indent=indent)
    raise error


def as_go(out: bytes) -> bytes:
    """JSON text with the characters escaped that Go escapes."""
    if b"<" in out:
        out = out.replace(b"<", b"\\u003c")
    if b">" in out:
        out = out.replace(b">", b"\\u003e")
    if b"&" in out:
        out = out.replace(b"&", b"\\u0026")
    if not out.isascii():
        out = out.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return out


INT64_MAX = 2**63 - 1


def go_number(value: float) -> int | float:
    """A whole float that fits 64 bits as the int it prints as."""
    if value.is_integer() and -INT64_MAX - 1 <= value <= INT64_MAX:
        return int(value)
    return value


go_float = json_scanner.go_float
