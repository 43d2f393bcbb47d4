"""The values of CEL: plain Python where there is one, small classes for the rest.

null, bool, int, double, string, bytes, list and map are None, bool, int, float, str, bytes, list
and dict, as objects of the API have them. `Uint` is an int that is never equal in type to one;
times are counted in nanoseconds. `equal` is CEL's equality: numbers by value, true is not 1, lists
of type set or map in any order. An error of evaluation is an exception.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#values
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
SECOND = 10**9  # nanoseconds
# 0001-01-01T00:00:00Z and the end of 9999, in seconds from 1970.
TIME_MIN_S, TIME_MAX_S = -62135596800, 253402300799


class EvalError(Exception):
    """An evaluation that has no value; the text is cel-go's."""


class CostLimitError(EvalError):
    """An evaluation that took more than it may."""


def no_such_key(key: Any) -> EvalError:
    return EvalError(f"no such key: {shown_key(key)}")


def no_such_overload(name: str = "", *args: Any) -> EvalError:
    if not name:
        return EvalError("no such overload")
    if not args:
        return EvalError(f"no such overload: {name}")
    return EvalError(f"no such overload: {name}({', '.join(map(type_name, args))})")


def shown_key(key: Any) -> str:
    if key is True or key is False:
        return "true" if key else "false"
    return str(key)


class Uint(int):
    __slots__ = ()


class Timestamp:
    """A moment, in nanoseconds from 1970."""

    __slots__ = ("ns",)
    cel_type: ClassVar[str] = "google.protobuf.Timestamp"

    def __init__(self, ns: int) -> None:
        if not TIME_MIN_S * SECOND <= ns < (TIME_MAX_S + 1) * SECOND:
            raise EvalError("timestamp overflow")
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return other.__class__ is Timestamp and self.ns == other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __lt__(self, other: Timestamp) -> bool:
        return self.ns < other.ns

    def __le__(self, other: Timestamp) -> bool:
        return self.ns <= other.ns


class Duration:
    __slots__ = ("ns",)
    cel_type: ClassVar[str] = "google.protobuf.Duration"

    def __init__(self, ns: int) -> None:
        if not INT_MIN <= ns <= INT_MAX:
            raise EvalError("duration overflow")
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return other.__class__ is Duration and self.ns == other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns

    def __le__(self, other: Duration) -> bool:
        return self.ns <= other.ns


class Optional:
    __slots__ = ("has", "value")
    cel_type: ClassVar[str] = "optional_type"

    def __init__(self, has: bool, value: Any = None) -> None:
        self.has = has
        self.value = value

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not Optional:
            return False
        assert isinstance(other, Optional)
        if self.has != other.has:
            return False
        return not self.has or equal(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.has)


NONE = Optional(False)


class TypeValue:
    """A type as a value: what type(x) gives."""

    __slots__ = ("name",)
    cel_type: ClassVar[str] = "type"

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class SetList(list[Any]):
    """A list of type set: equal in any order; a sum is a union."""

    __slots__ = ()


class MapList(list[Any]):
    """A list of type map: equal in any order; a sum merges by key."""

    __slots__ = ("keys",)
    keys: tuple[str, ...]

    def key(self, item: Any) -> Any:
        return tuple(item.get(k) if isinstance(item, dict) else None for k in self.keys)


_NAMES: dict[type, str] = {
    type(None): "null_type", bool: "bool", int: "int", Uint: "uint", float: "double",
    str: "string", bytes: "bytes", list: "list", dict: "map", tuple: "list", SetList: "list",
    MapList: "list",
}  # fmt: skip


def type_name(value: Any) -> str:
    name = _NAMES.get(value.__class__)
    return name if name is not None else str(value.cel_type)


_PLAIN = frozenset((str, int, bool, float, bytes, type(None), Uint))
_NUMBERS = frozenset((int, float, Uint))


def equal(a: Any, b: Any) -> bool:
    one, other = a.__class__, b.__class__
    if one in _PLAIN:
        if one is other:
            return bool(a == b)
        return one in _NUMBERS and other in _NUMBERS and bool(a == b)
    if isinstance(a, list):
        if not isinstance(b, list) or len(a) != len(b):
            return False
        if one is list:
            return all(map(equal, a, b))
        return _equal_in_any_order(a, b)
    if one is dict:
        if other is not dict or len(a) != len(b):
            return False
        return all(key in b and equal(value, b[key]) for key, value in a.items())
    return bool(a == b)


def _equal_in_any_order(a: list[Any], b: list[Any]) -> bool:
    if isinstance(a, MapList):
        by_key = {a.key(item): item for item in a}
        for item in b:
            key = a.key(item)
            if key not in by_key or not equal(by_key[key], item):
                return False
        return True
    return all(contains(a, item) for item in b)


def contains(items: Any, value: Any) -> bool:
    """Whether a list has a value; faster where Python decides alike."""
    kind = value.__class__
    if kind is str or kind is bytes:
        return value in items
    return any(equal(item, value) for item in items)


# -- order ----------------------------------------------------------------------------------------

_COMPARABLE = frozenset((str, bytes, bool, Timestamp, Duration))


def check_order(a: Any, b: Any, function: str) -> None:
    """Whether `<` means something. Raises EvalError."""
    one, other = a.__class__, b.__class__
    if one in _NUMBERS:
        if other not in _NUMBERS:
            raise no_such_overload()
        if a != a or b != b:
            raise EvalError("NaN values cannot be ordered")
        return
    if one is other and one in _COMPARABLE:
        return
    if one in _COMPARABLE:
        raise no_such_overload()
    raise no_such_overload(function)


def less(a: Any, b: Any) -> bool:
    check_order(a, b, "_<_")
    return bool(a < b)


def at_most(a: Any, b: Any) -> bool:
    check_order(a, b, "_<=_")
    return bool(a <= b)


def greater(a: Any, b: Any) -> bool:
    check_order(a, b, "_>_")
    return bool(b < a)


def at_least(a: Any, b: Any) -> bool:
    check_order(a, b, "_>=_")
    return bool(b <= a)


# -- size and membership --------------------------------------------------------------------------


def size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise no_such_overload("size", value)


def cost_size(value: Any) -> int:
    """The size that costs are counted by: of what has none 1."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    return 1


def is_in(value: Any, container: Any) -> bool:
    if isinstance(container, list):
        return contains(container, value)
    if container.__class__ is dict:
        return value.__class__ in _KEYS and value in container
    raise no_such_overload("@in", value, container)


_KEYS = frozenset((str, int, bool, float, Uint))


def select(value: Any, key: str) -> Any:
    """A field of a value of any type."""
    if value.__class__ is dict:
        if key in value:
            return value[key]
    elif value.__class__ is Optional:
        return optional_select(value, key)
    elif hasattr(value, "cel_fields"):
        return value.cel_fields(key)
    raise no_such_key(key)


def optional_select(value: Any, key: Any) -> Optional:
    if value.__class__ is Optional:
        if not value.has:
            return NONE
        value = value.value
    if value.__class__ is dict:
        return Optional(True, value[key]) if is_in(key, value) else NONE
    if isinstance(value, list):
        where = list_index(value, key)
        return Optional(True, value[where]) if 0 <= where < len(value) else NONE
    if hasattr(value, "cel_fields"):
        try:
            return Optional(True, value.cel_fields(key))
        except EvalError:
            return NONE
    return NONE


def has(value: Any, key: str) -> bool:
    if value.__class__ is dict:
        return key in value
    return optional_select(value, key).has if value.__class__ is not list else False


def list_index(items: Any, key: Any) -> int:
    kind = key.__class__
    if kind is int or kind is Uint:
        return int(key)
    if kind is float and key.is_integer():
        return int(key)
    raise EvalError(f"unsupported index type '{type_name(key)}' in list")


def index(value: Any, key: Any) -> Any:
    if isinstance(value, list):
        where = list_index(value, key)
        if 0 <= where < len(value):
            return value[where]
        raise EvalError(f"index out of bounds: {shown_key(key)}")
    if value.__class__ is dict:
        if is_in(key, value):
            return value[key]
        raise no_such_key(key)
    if value.__class__ is Optional:
        return optional_select(value, key)
    if hasattr(value, "cel_fields"):
        return value.cel_fields(key)
    raise no_such_key(key)


Function = Callable[..., Any]
