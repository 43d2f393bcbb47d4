"""Lists, sets, optional values and what loops with two variables call.

Two libraries of lists: that of Kubernetes (sum, min, isSorted, indexOf …) and cel-go's extension
(slice, flatten, sort, distinct …). https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from kapi.cel import arithmetic
from kapi.cel.declarations import Library
from kapi.cel.values import (
    NONE,
    Duration,
    EvalError,
    Optional,
    Uint,
    contains,
    equal,
    less,
    type_name,
)

_ORDERED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
RANGE_MAX = 1_000_000  # items of lists.range


def _ordered_table() -> str:
    lines = []
    for t in _ORDERED:
        lines.append(f"isSorted list_{t}_is_sorted_bool list({t}).() -> bool")
        lines.append(f"min list_{t}_min_{t} list({t}).() -> {t}")
        lines.append(f"max list_{t}_max_{t} list({t}).() -> {t}")
        lines.append(f"sort list_{t}_sort list({t}).() -> list({t})")
        lines.append(
            f"@sortByAssociatedKeys list_{t}_sortByAssociatedKeys list(T).(list({t})) -> list(T)"
        )
    for t in ("int", "uint", "double", "duration"):
        lines.append(f"sum list_{t}_sum_{t} list({t}).() -> {t}")
    return "\n".join(lines)


TABLE = (
    _ordered_table()
    + """
indexOf list_a_index_of_int list(A).(A) -> int
lastIndexOf list_a_last_index_of_int list(A).(A) -> int
slice list_slice list(T).(int, int) -> list(T)
flatten list_flatten list(list(T)).() -> list(T)
flatten list_flatten_int list(dyn).(int) -> list(dyn)
lists.range lists_range int -> list(int)
distinct list_distinct list(T).() -> list(T)
reverse list_reverse list(T).() -> list(T)
first list_first list(T).() -> optional(T)
last list_last list(T).() -> optional(T)
unwrapOpt list_unwrapOpt list(optional(T)).() -> list(T)
optional.unwrap optional_unwrap list(optional(T)) -> list(T)
sets.contains list_sets_contains_list list(T), list(T) -> bool
sets.equivalent list_sets_equivalent_list list(T), list(T) -> bool
sets.intersects list_sets_intersects_list list(T), list(T) -> bool
cel.@mapInsert @mapInsert_map_map map(A, B), map(A, B) -> map(A, B)
cel.@mapInsert @mapInsert_map_key_value map(A, B), A, B -> map(A, B)
optional.none optional_none  -> optional(V)
optional.of optional_of V -> optional(V)
optional.ofNonZeroValue optional_ofNonZeroValue V -> optional(V)
hasValue optional_hasValue optional(V).() -> bool
value optional_value optional(V).() -> V
or optional_or_optional optional(V).(optional(V)) -> optional(V)
orValue optional_orValue_value optional(V).(V) -> V
_?._ select_optional_field dyn, string -> optional(V)
_[?_] list_optindex_optional_int list(V), int -> optional(V)
_[?_] optional_list_optindex_optional_int optional(list(V)), int -> optional(V)
_[?_] map_optindex_optional_value map(K, V), K -> optional(V)
_[?_] optional_map_optindex_optional_value optional(map(K, V)), K -> optional(V)
_[_] optional_list_index_int optional(list(V)), int -> optional(V)
_[_] optional_map_index_value optional(map(K, V)), K -> optional(V)
"""
)


def _is_sorted(items: list[Any]) -> bool:
    return not any(less(b, a) for a, b in pairwise(items))


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        if not items:
            raise EvalError(f"{name} called on empty list")
        return functools.reduce(lambda a, b: b if better(b, a) else a, items)

    return run


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    return lambda items: functools.reduce(arithmetic.add, items, zero)


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    last = len(items) - 1
    return next((last - i for i, item in enumerate(reversed(items)) if equal(item, wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        text = f"cannot slice({start}, {end}), negative indexes not supported"
        raise EvalError(text)
    if start > end:
        text = f"cannot slice({start}, {end}), start index must be less than or equal to end index"
        raise EvalError(text)
    if len(items) < end:
        raise EvalError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvalError("level must be non-negative")
    out: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth > 0:
            out += _flatten(item, depth - 1)
        else:
            out.append(item)
    return out


def _range(count: int) -> list[int]:
    if count > RANGE_MAX:
        raise EvalError(f"lists.range() takes at most {RANGE_MAX}")
    return list(range(count))


def _distinct(items: list[Any]) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if not contains(out, item):
            out.append(item)
    return out


def _compare(a: Any, b: Any) -> int:
    if type_name(a) != type_name(b):
        raise EvalError("list elements must have the same type")
    return -1 if less(a, b) else 1 if less(b, a) else 0


_BY_ORDER = functools.cmp_to_key(_compare)


def _sort(items: list[Any]) -> list[Any]:
    return sorted(items, key=_BY_ORDER)


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    if len(items) != len(keys):
        text = (
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
            f"but got {len(items)} and {len(keys)} elements respectively"
        )
        raise EvalError(text)
    order = sorted(range(len(items)), key=lambda i: _BY_ORDER(keys[i]))
    return [items[i] for i in order]


def _unwrap(items: list[Any]) -> list[Any]:
    return [item.value for item in items if item.has]


def _set_contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(contains(items, item) for item in wanted)


def _equivalent(a: list[Any], b: list[Any]) -> bool:
    return _set_contains(a, b) and _set_contains(b, a)


def _intersects(a: list[Any], b: list[Any]) -> bool:
    return any(contains(b, item) for item in a)


def _insert(target: dict[Any, Any], *more: Any) -> dict[Any, Any]:
    pairs = more[0] if len(more) == 1 else {more[0]: more[1]}
    for key in pairs:
        if key in target:
            raise EvalError(f"insert failed: key {key} already exists")
    return {**target, **pairs}


def _value(optional: Optional) -> Any:
    if not optional.has:
        raise EvalError("optional.none() dereference")
    return optional.value


def _of_non_zero(value: Any) -> Optional:
    zero = value is None or (
        (isinstance(value, int | float | str | bytes | list | dict) and not value)
        or (isinstance(value, Duration) and not value.ns)
        or (isinstance(value, Optional) and not value.has)
    )
    return NONE if zero else Optional(True, value)


def library() -> Library:
    runs: dict[str, Any] = {
        "list_a_index_of_int": _index_of,
        "list_a_last_index_of_int": _last_index_of,
        "list_slice": _slice,
        "list_flatten": _flatten,
        "list_flatten_int": _flatten,
        "lists_range": _range,
        "list_distinct": _distinct,
        "list_reverse": lambda items: items[::-1],
        "list_first": lambda items: Optional(True, items[0]) if items else NONE,
        "list_last": lambda items: Optional(True, items[-1]) if items else NONE,
        "list_unwrapOpt": _unwrap,
        "optional_unwrap": _unwrap,
        "list_sets_contains_list": _set_contains,
        "list_sets_equivalent_list": _equivalent,
        "list_sets_intersects_list": _intersects,
        "@mapInsert_map_map": _insert,
        "@mapInsert_map_key_value": _insert,
        "optional_none": lambda: NONE,
        "optional_of": lambda value: Optional(True, value),
        "optional_ofNonZeroValue": _of_non_zero,
        "optional_hasValue": lambda optional: optional.has,
        "optional_value": _value,
    }
    zeros = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}
    for t in _ORDERED:
        runs[f"list_{t}_is_sorted_bool"] = _is_sorted
        runs[f"list_{t}_min_{t}"] = _extreme("min", less)
        runs[f"list_{t}_max_{t}"] = _extreme("max", lambda a, b: less(b, a))
        runs[f"list_{t}_sort"] = _sort
        runs[f"list_{t}_sortByAssociatedKeys"] = _sort_by
    for t, zero in zeros.items():
        runs[f"list_{t}_sum_{t}"] = _sum(zero)
    return Library(TABLE, runs)
