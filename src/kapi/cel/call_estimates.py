"""What each function may cost: the part of an estimate that Kubernetes' and cel-go's libraries say.

A change here changes which definitions are accepted. The twin of `run_costs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kapi.cel.types import Type

MOST = (1 << 64) - 1
Range = tuple[int, int]
FREE, ONE, UNKNOWN = (0, 0), (1, 1), (0, MOST)
TEXT, REGEX = 0.1, 0.25
NAME_REGEX = 128  # characters that the regular expression of a named format is taken to have
AUTHORIZATION_CHECK = 350_000


class Estimate(NamedTuple):
    cost: Range
    size: Range | None = None


def plus(a: Range, b: Range) -> Range:
    return min(a[0] + b[0], MOST), min(a[1] + b[1], MOST)


def times(a: Range, b: Range) -> Range:
    return min(a[0] * b[0], MOST), min(a[1] * b[1], MOST)


def join(a: Range, b: Range) -> Range:
    return min(a[0], b[0]), max(a[1], b[1])


def scaled(a: Range, factor: float) -> Range:
    return _scaled(a[0], factor), _scaled(a[1], factor)


def _scaled(value: int, factor: float) -> int:
    exact = float(value)
    if exact > 0 and factor > 0 and exact > MOST / factor:
        return MOST
    up = math.ceil(exact * factor)
    return MOST if up >= 1 << 64 else up


@dataclass(frozen=True, slots=True)
class Argument:
    """What is known of an argument. `literal`: its value, if the expression says it."""

    type: Type
    path: tuple[str, ...]
    size: Range | None
    literal: Any
    of_path: Callable[[tuple[str, ...]], Range | None]

    @property
    def size_or_unknown(self) -> Range:
        return self.size if self.size is not None else UNKNOWN

    @property
    def item(self) -> Argument | None:
        """What a list has."""
        if not self.type.params:
            return None
        path = (*self.path, "@items") if self.path else ()
        return Argument(self.type.params[0], path, None, None, self.of_path)

    @property
    def bound(self) -> Range:
        """Its size as Kubernetes' libraries look at it."""
        if self.size is not None:
            return self.size
        return self.of_path(self.path) or UNKNOWN


Target = Argument | None
Args = Sequence[Argument]
Work = Callable[[Target, Args], "Estimate | None"]


def of(function: str, overload: str, target: Target, args: Args) -> Estimate:
    """Without the costs of the arguments themselves."""
    work = _LIBRARY.get(function)
    if work is not None:
        found = work(target, args)
        if found is not None:
            return found
    by_overload = _OVERLOADS.get(overload)
    if by_overload is not None:
        found = by_overload(target, args)
        if found is not None:
            return found
    return Estimate(ONE)


# -- Kubernetes -----------------------------------------------------------------------------------


def _traversal(target: Target, args: Args) -> Estimate | None:
    """sum, min, indexOf and so on: each item once, a text by its length."""
    if target is None:
        return None
    item = target.item
    if item is None:
        return Estimate(scaled(target.bound, TEXT))
    each = ONE
    if item.type.kind in ("string", "bytes"):
        each = plus(each, scaled(item.bound, TEXT))
    return Estimate(times(target.bound, each))


def _of_target(factor: float) -> Work:
    def work(target: Target, args: Args) -> Estimate | None:
        if target is None:
            return None
        return Estimate(scaled(target.bound, factor * TEXT), target.bound)

    return work


def _url(target: Target, args: Args) -> Estimate | None:
    return Estimate(scaled(args[0].bound, TEXT)) if len(args) == 1 else None


def _replace(target: Target, args: Args) -> Estimate | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.bound, args[0].bound, args[1].bound
    least, most, kept_least, kept_most = 0, 0, 0, 0
    if old[0] == 0:
        most, kept_most = min(size[1] + 1, MOST), size[1]
    elif new[1] <= old[0]:
        kept_most = size[1]
    else:
        most = math.ceil(float(size[1]) / float(old[0]))
    if old[1] == 0:
        least, kept_least = min(size[0] + 1, MOST), size[0]
    elif old[1] <= new[0]:
        kept_least = size[0]
    else:
        least = math.ceil(float(size[0]) / float(old[1]))
    result = plus(times((least, min(most, MOST)), new), (kept_least, kept_most))
    return Estimate(scaled(size, 2 * TEXT), result)


def _split(target: Target, args: Args) -> Estimate | None:
    if target is None:
        return None
    most = target.bound[1]
    if len(args) > 1 and isinstance(args[1].literal, int):
        most = args[1].literal % (1 << 64)
    return Estimate(scaled(target.bound, 2 * TEXT), (0, most))


def _join(target: Target, args: Args) -> Estimate | None:
    if target is None:
        return None
    count, size = target.bound, FREE
    if target.item is not None:
        size = times(count, target.item.bound)
    if args:
        separators = (max(count[0] - 1, 0), max(count[1] - 1, 0))
        size = plus(size, times(args[0].bound, separators))
    return Estimate(scaled(size, TEXT), size)


def _find(target: Target, args: Args) -> Estimate | None:
    if target is None or not args:
        return None
    text = scaled(plus(target.bound, ONE), TEXT)
    cost = times(text, scaled(args[0].bound, REGEX))
    return Estimate(cost, (0, target.bound[1]))


def _parse_address(target: Target, args: Args) -> Estimate | None:
    """cidr, isIP, ip: of members only, for so the real server looks at them."""
    if target is None:
        return None
    return Estimate(scaled(args[0].bound, TEXT)) if args else Estimate(ONE)


def _canonical(target: Target, args: Args) -> Estimate | None:
    if target is None or not args:
        return None
    return Estimate(scaled(args[0].bound, 2 * TEXT))


def _contains(*, cidr: bool) -> Work:
    def work(target: Target, args: Args) -> Estimate | None:
        if target is None or not args:
            return None
        size = (4, 16)
        cost = scaled(plus(size, size), TEXT)
        if cidr:
            cost = plus(plus(cost, scaled(size, TEXT)), ONE)
        if args[0].type.kind == "string":
            cost = plus(cost, scaled(args[0].bound, TEXT))
        return Estimate(cost)

    return work


def _validate(target: Target, args: Args) -> Estimate | None:
    if target is None or not args:
        return None
    return Estimate(scaled(scaled(args[0].bound, TEXT), NAME_REGEX * REGEX))


def _fixed(cost: int) -> Work:
    return lambda target, args: Estimate((cost, cost))


def _sets(factor: int) -> Work:
    def work(target: Target, args: Args) -> Estimate | None:
        if len(args) != 2:
            return None
        pairs = times(args[0].size_or_unknown, args[1].size_or_unknown)
        return Estimate(plus(scaled(pairs, factor), ONE))

    return work


def _quadratic(target: Target, args: Args) -> Estimate | None:
    if target is None:
        return None
    size = target.size_or_unknown
    return Estimate(plus(times(size, size), ONE), size)


_NOMINAL = (
    "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed",
    "reason", "error", "errored", "fieldSelector", "labelSelector", "masked", "prefixLength",
    "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast",
    "isGlobalUnicast", "sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan",
    "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "format.named",
)  # fmt: skip
_LIBRARY: dict[str, Work] = {
    "check": _fixed(AUTHORIZATION_CHECK),
    **dict.fromkeys(_NOMINAL, _fixed(1)),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversal),
    "url": _url,
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _of_target(1)),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity"), _parse_address),
    **dict.fromkeys(("semver", "isSemver"), _parse_address),
    "ip.isCanonical": _canonical,
    "containsIP": _contains(cidr=False),
    "containsCIDR": _contains(cidr=True),
    "validate": _validate,
    **dict.fromkeys(("sets.contains", "sets.intersects"), _sets(1)),
    "sets.equivalent": _sets(2),
    **dict.fromkeys(("distinct", "sort", "@sortByAssociatedKeys"), _quadratic),
}


# -- the standard library -------------------------------------------------------------------------


def _format(target: Target, args: Args) -> Estimate | None:
    return Estimate(scaled(target.size_or_unknown, TEXT)) if target is not None else None


def _to_bytes(target: Target, args: Args) -> Estimate | None:
    size = args[0].size_or_unknown
    return Estimate(scaled(size, TEXT), (size[0], size[1] * 4 & MOST))


def _from_bytes(target: Target, args: Args) -> Estimate | None:
    size = args[0].size_or_unknown
    return Estimate(scaled(size, TEXT), (size[0] // 4, size[1]))


def _quote(target: Target, args: Args) -> Estimate | None:
    size = args[0].size_or_unknown
    return Estimate(scaled(size, TEXT), (size[0] + 2, size[1] * 2 + 2 & MOST))


def _prefix(target: Target, args: Args) -> Estimate | None:
    return Estimate(scaled(args[0].size_or_unknown, TEXT)) if len(args) == 1 else None


def _in_list(target: Target, args: Args) -> Estimate | None:
    return Estimate(args[1].size_or_unknown)


def _matches(target: Target, args: Args) -> Estimate | None:
    if target is None or len(args) != 1:
        return None
    text = scaled(plus(target.size_or_unknown, ONE), TEXT)
    return Estimate(times(text, scaled(args[0].size_or_unknown, REGEX)))


def _contains_text(target: Target, args: Args) -> Estimate | None:
    if target is None or len(args) != 1:
        return None
    text = scaled(target.size_or_unknown, TEXT)
    return Estimate(times(text, scaled(args[0].size_or_unknown, TEXT)))


def _sum(target: Target, args: Args) -> Estimate | None:
    size = plus(args[0].size_or_unknown, args[1].size_or_unknown)
    return Estimate(scaled(size, TEXT), size)


def _sum_of_lists(target: Target, args: Args) -> Estimate | None:
    return Estimate(ONE, plus(args[0].size_or_unknown, args[1].size_or_unknown))


def _compared(target: Target, args: Args) -> Estimate | None:
    most = min(args[0].size_or_unknown[1], args[1].size_or_unknown[1])
    return Estimate(scaled((1 if most else 0, most), TEXT))


_OVERLOADS: dict[str, Work] = {
    "string_format": _format,
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _from_bytes,
    "strings_quote": _quote,
    "starts_with_string": _prefix,
    "ends_with_string": _prefix,
    "in_list": _in_list,
    "matches_string": _matches,
    "contains_string": _contains_text,
    "add_string": _sum,
    "add_bytes": _sum,
    "add_list": _sum_of_lists,
    "equals": _compared,
    "not_equals": _compared,
    **{
        f"{word}_{t}": _compared
        for word in ("less", "less_equals", "greater", "greater_equals")
        for t in ("string", "bytes")
    },
}
