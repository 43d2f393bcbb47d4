"""Sums, differences and their like, of values of any types; overflow is an error."""

from __future__ import annotations

import math
from typing import Any

from kapi.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    EvalError,
    MapList,
    SetList,
    Timestamp,
    Uint,
    contains,
    no_such_overload,
)

ITEMS_MAX = 1_000_000  # of a sum of lists, which costs one unit whatever its length


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvalError("integer overflow")


def _uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvalError("unsigned integer overflow")


def _wrong(a: Any, function: str, known: frozenset[type]) -> EvalError:
    """A first operand that has the operator, but not with the second, is told without a name."""
    return no_such_overload() if a.__class__ in known else no_such_overload(function)


_ADDS = frozenset((int, Uint, float, str, bytes, Timestamp, Duration, list, SetList, MapList))
_SUBTRACTS = frozenset((int, Uint, float, Timestamp, Duration))
_NUMBERS = frozenset((int, Uint, float))
_WHOLE = frozenset((int, Uint))


def add(a: Any, b: Any) -> Any:
    one, other = a.__class__, b.__class__
    if one is other:
        if one is int:
            return _int(a + b)
        if one is str or one is float or one is bytes:
            return a + b
        if one is Uint:
            return _uint(int(a) + int(b))
        if one is Duration:
            return Duration(a.ns + b.ns)
    if isinstance(a, list) and isinstance(b, list):
        return _joined(a, b)
    if (one, other) in ((Timestamp, Duration), (Duration, Timestamp)):
        return Timestamp(a.ns + b.ns)
    raise _wrong(a, "_+_", _ADDS)


def _joined(a: list[Any], b: list[Any]) -> list[Any]:
    if len(a) + len(b) > ITEMS_MAX:
        raise EvalError(f"a list has at most {ITEMS_MAX} items")
    if isinstance(a, SetList):
        union = SetList(a)
        union += [item for item in b if not contains(a, item)]
        return union
    if isinstance(a, MapList):
        merged = {a.key(item): item for item in a}
        merged.update((a.key(item), item) for item in b)
        out = MapList(merged.values())
        out.keys = a.keys
        return out
    return [*a, *b]


def subtract(a: Any, b: Any) -> Any:
    one, other = a.__class__, b.__class__
    if one is other:
        if one is int:
            return _int(a - b)
        if one is float:
            return a - b
        if one is Uint:
            return _uint(int(a) - int(b))
        if one is Duration or one is Timestamp:
            return Duration(a.ns - b.ns)
    if one is Timestamp and other is Duration:
        return Timestamp(a.ns - b.ns)
    raise _wrong(a, "_-_", _SUBTRACTS)


def multiply(a: Any, b: Any) -> Any:
    one = a.__class__
    if one is b.__class__:
        if one is int:
            return _int(a * b)
        if one is float:
            return a * b
        if one is Uint:
            return _uint(int(a) * int(b))
    raise _wrong(a, "_*_", _NUMBERS)


def divide(a: Any, b: Any) -> Any:
    one = a.__class__
    if one is b.__class__:
        if one is float:
            return _float_quotient(a, b)
        if one is int or one is Uint:
            if b == 0:
                raise EvalError("division by zero")
            quotient = abs(a) // abs(b)
            if one is Uint:
                return Uint(quotient)
            return _int(quotient if (a < 0) == (b < 0) else -quotient)
    raise _wrong(a, "_/_", _NUMBERS)


def _float_quotient(a: float, b: float) -> float:
    if b:
        return a / b
    if not a or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def modulo(a: Any, b: Any) -> Any:
    one = a.__class__
    if one is b.__class__ and one in _WHOLE:
        if b == 0:
            raise EvalError("modulus by zero")
        rest = abs(a) % abs(b)
        if one is Uint:
            return Uint(rest)
        if a == INT_MIN and b == -1:
            raise EvalError("integer overflow")
        return rest if a >= 0 else -rest
    raise _wrong(a, "_%_", _WHOLE)


def negate(a: Any) -> Any:
    if a.__class__ is int:
        return _int(-a)
    if a.__class__ is float:
        return -a
    raise no_such_overload("-_")
