"""`"…".format([…])` and strings.quote: text made of values, as cel-go makes it.

Clauses: %s any value, %d whole numbers, %f and %e with a precision, %b binary, %x %X hexadecimal,
%o octal. https://pkg.go.dev/github.com/google/cel-go/ext#Strings
"""

from __future__ import annotations

import math
from typing import Any

from kapi.cel.lib_standard import double_text, to_text
from kapi.cel.values import Duration, EvalError, Timestamp, TypeValue, type_name

PRECISION = 6
PRECISION_MAX = 1000  # digits; more are refused
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c, c) for c in text) + '"'


def format_text(pattern: str, args: list[Any]) -> str:
    out: list[str] = []
    at, used = 0, 0
    while at < len(pattern):
        percent = pattern.find("%", at)
        if percent < 0:
            out.append(pattern[at:])
            break
        out.append(pattern[at:percent])
        at = percent + 1
        if at >= len(pattern):
            raise EvalError("unexpected end of string")
        if pattern[at] == "%":
            out.append("%")
            at += 1
            continue
        precision, at = _precision(pattern, at)
        if at >= len(pattern):
            raise EvalError("could not parse formatting clause: unexpected end of string")
        if used >= len(args):
            raise EvalError(f"index {used} out of range")
        out.append(_clause(pattern[at], args[used], precision))
        used, at = used + 1, at + 1
    return "".join(out)


def _precision(pattern: str, at: int) -> tuple[int | None, int]:
    if pattern[at] != ".":
        return None, at
    end = at + 1
    while end < len(pattern) and pattern[end].isdigit():
        end += 1
    digits = pattern[at + 1 : end]
    precision = int(digits[:6] or "0")
    if precision > PRECISION_MAX:
        raise EvalError(f"error during formatting: precision {precision} exceeds maximum")
    return precision, end


def _clause(verb: str, value: Any, precision: int | None) -> str:
    if verb == "s":
        return _text(value)
    if verb == "d":
        return _whole(value)
    if verb in "fe":
        return _fraction(verb, value, PRECISION if precision is None else precision)
    if verb == "b":
        return _binary(value)
    if verb in "xX":
        return _hexadecimal(value, upper=verb == "X")
    if verb == "o":
        if _is_int(value):
            return f"{int(value):o}"
        raise _wrong("octal clause can only be used on integers", value)
    text = f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
    raise EvalError(text)


def _wrong(text: str, value: Any) -> EvalError:
    return EvalError(f"error during formatting: {text}, was given {type_name(value)}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: Any) -> str:
    if _is_int(value):
        return str(int(value))
    if isinstance(value, float) and (math.isinf(value) or math.isnan(value)):
        return _special(value)
    raise _wrong("decimal clause can only be used on integers", value)


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _fraction(verb: str, value: Any, precision: int) -> str:
    name = "fixed-point" if verb == "f" else "scientific notation"
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return {"NaN": "NaN", "Infinity": "∞", "-Infinity": "-∞"}[value]
        raise _wrong(f"{name} clause can only be used on doubles", value)
    if not isinstance(value, float):
        raise _wrong(f"{name} clause can only be used on doubles", value)
    if math.isinf(value) or math.isnan(value):
        return _special(value)
    return f"{value:.{precision}{verb}}"


def _binary(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if _is_int(value):
        return f"{int(value):b}"
    raise _wrong("only integers and bools can be formatted as binary", value)


def _hexadecimal(value: Any, *, upper: bool) -> str:
    if _is_int(value):
        text = f"{int(value):x}"
    elif isinstance(value, str):
        text = value.encode().hex()
    elif isinstance(value, bytes):
        text = value.hex()
    else:
        text = "only integers, byte buffers, and strings can be formatted as hex"
        raise _wrong(text, value)
    return text.upper() if upper else text


def _text(value: Any) -> str:
    """%s at the top."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Timestamp | Duration):
        return to_text(value)
    if isinstance(value, float) and math.isfinite(value):
        return double_text(value)
    return _inner(value)


def _inner(value: Any) -> str:
    """A value inside of a list or a map."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bytes):
        return "b" + quote(value.decode(errors="replace"))
    if isinstance(value, float):
        return _special(value) if not math.isfinite(value) else f"{value:.{PRECISION}f}"
    if isinstance(value, int):
        return int.__str__(value)
    if isinstance(value, Timestamp):
        return f'timestamp("{to_text(value)}")'
    if isinstance(value, Duration):
        return f'duration("{to_text(value)}")'
    if isinstance(value, list):
        return f"[{', '.join(map(_inner, value))}]"
    if isinstance(value, dict):
        pairs = sorted((_inner(k), _inner(v)) for k, v in value.items())
        return "{" + ", ".join(f"{k}:{v}" for k, v in pairs) + "}"
    if isinstance(value, TypeValue):
        return value.name
    text = (
        "error during formatting: string clause can only be used on strings, bools, bytes, ints, "
        f"doubles, maps, lists, types, durations, and timestamps, was given {type_name(value)}"
    )
    raise EvalError(text)
