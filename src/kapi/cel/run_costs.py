"""What calls cost when they run: by the sizes of what they are given and give.

The same numbers as those of cel-go and of Kubernetes' libraries, so that the same expressions reach
their limits. Text counts a tenth of a unit per character, a regular expression a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from kapi.cel.values import cost_size as size

TEXT, REGEX = 0.1, 0.25
CHEAP_TEXT = 10  # characters of a literal up to which a comparison costs one unit at most
Cost = Callable[[Sequence[Any], Any], int]


def up(value: float) -> int:
    return math.ceil(value)


def pairwise(a: Any, b: Any) -> int:
    """Of comparing two values."""
    return up(min(size(a), size(b)) * TEXT)


def sum_of(a: Any, b: Any) -> int:
    if isinstance(a, str | bytes) and isinstance(b, str | bytes):
        return up((len(a) + len(b)) * TEXT)
    return 1


def traversal(value: Any) -> int:
    """Of looking at all of a value."""
    if isinstance(value, str | bytes):
        return int(len(value) * TEXT)
    if isinstance(value, list):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(k) + traversal(v) for k, v in value.items())
    return 1


def _first(factor: float = 1.0) -> Cost:
    return lambda args, result: up(size(args[0]) * factor * TEXT)


def _regex(args: Sequence[Any], result: Any) -> int:
    return up((1.0 + size(args[0])) * TEXT) * up(size(args[1]) * REGEX)


def _contains(args: Sequence[Any], result: Any) -> int:
    return up(size(args[0]) * TEXT) * up(size(args[1]) * TEXT)


def _inside(own: int, *, parsed: bool) -> Cost:
    """containsIP, containsCIDR: comparing the bytes of addresses; `parsed`: of a text."""

    def cost(args: Sequence[Any], result: Any) -> int:
        base = up(2 * size(args[0]) * TEXT)
        more = up(size(args[0]) * TEXT) + 1 if own else 0
        return base + more + (up(size(args[1]) * TEXT) if parsed else 0)

    return cost


def _traversed(args: Sequence[Any], result: Any) -> int:
    return traversal(args[0])


def _joined(args: Sequence[Any], result: Any) -> int:
    return up(size(result) * 2 * TEXT)


def _pairs(factor: float) -> Cost:
    return lambda args, result: 1 + up(size(args[0]) * size(args[1]) * factor)


def _sort(args: Sequence[Any], result: Any) -> int:
    count = size(args[0])
    return 1 + count * count


AUTHORIZATION_CHECK = 350_000
_FUNCTIONS: dict[str, int | Cost] = {
    "check": AUTHORIZATION_CHECK,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversed),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _first()),
    **dict.fromkeys(("replace", "split"), _first(2.0)),
    "join": _joined,
    **dict.fromkeys(("find", "findAll"), _regex),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity"), _first()),
    "ip.isCanonical": _first(2.0),
    "validate": _first(),
    **dict.fromkeys(("semver", "isSemver"), _first()),
    **dict.fromkeys(("sets.contains", "sets.intersects"), _pairs(1.0)),
    "sets.equivalent": _pairs(2.0),
    "lists.range": lambda args, result: 1 + size(result),
    **dict.fromkeys(("sort", "distinct", "@sortByAssociatedKeys"), _sort),
}  # fmt: skip
_OVERLOADS: dict[str, int | Cost] = {
    "cidr_ip": 1,
    "starts_with_string": _first(),
    "ends_with_string": _first(),
    "string_to_bytes": _first(),
    "bytes_to_string": _first(),
    "contains_string": _contains,
    "matches": _regex,
    "matches_string": _regex,
    "cidr_contains_ip_string": _inside(0, parsed=True),
    "cidr_contains_ip_ip": _inside(0, parsed=False),
    "cidr_contains_cidr_string": _inside(1, parsed=True),
    "cidr_contains_cidr": _inside(1, parsed=False),
}


def of(function: str, overload: str) -> int | Cost:
    found = _OVERLOADS.get(overload)
    return found if found is not None else _FUNCTIONS.get(function, 1)
