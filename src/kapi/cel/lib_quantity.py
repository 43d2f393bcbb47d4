"""Quantities and semantic versions as values.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library
"""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from typing import Any, ClassVar

from kapi.cel.declarations import Library
from kapi.cel.values import INT_MAX, INT_MIN, EvalError
from kapi.schema import quantity as quantities
from kapi.schema.quantity import QuantityError

TABLE = """
quantity string_to_quantity string -> kubernetes.Quantity
isQuantity is_quantity_string string -> bool
sign quantity_sign kubernetes.Quantity.() -> int
isInteger quantity_is_integer kubernetes.Quantity.() -> bool
asInteger quantity_get_int kubernetes.Quantity.() -> int
asApproximateFloat quantity_get_float kubernetes.Quantity.() -> double
add quantity_add kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity
add quantity_add_int kubernetes.Quantity.(int) -> kubernetes.Quantity
sub quantity_sub kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity
sub quantity_sub_int kubernetes.Quantity.(int) -> kubernetes.Quantity
isGreaterThan quantity_is_greater_than kubernetes.Quantity.(kubernetes.Quantity) -> bool
isLessThan quantity_is_less_than kubernetes.Quantity.(kubernetes.Quantity) -> bool
compareTo quantity_compare_to kubernetes.Quantity.(kubernetes.Quantity) -> int
semver string_to_semver string -> kubernetes.Semver
semver string_bool_to_semver string, bool -> kubernetes.Semver
isSemver is_semver_string string -> bool
isSemver is_semver_string_bool string, bool -> bool
isGreaterThan semver_is_greater_than kubernetes.Semver.(kubernetes.Semver) -> bool
isLessThan semver_is_less_than kubernetes.Semver.(kubernetes.Semver) -> bool
compareTo semver_compare_to kubernetes.Semver.(kubernetes.Semver) -> int
major semver_major kubernetes.Semver.() -> int
minor semver_minor kubernetes.Semver.() -> int
patch semver_patch kubernetes.Semver.() -> int
"""


class Quantity:
    __slots__ = ("value",)
    cel_type: ClassVar[str] = "kubernetes.Quantity"

    def __init__(self, value: Decimal) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantities.parse(text)[0])
    except QuantityError as e:
        raise EvalError(str(e)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantities.parse(text)
    except QuantityError:
        return False
    return True


def _whole(quantity: Quantity) -> bool:
    value = quantity.value
    return value == value.to_integral_value() and INT_MIN <= value <= INT_MAX


def _as_integer(quantity: Quantity) -> int:
    if not _whole(quantity):
        raise EvalError("cannot convert value to integer")
    return int(quantity.value)


def _sum(a: Quantity, b: Any, sign: int = 1) -> Quantity:
    with localcontext(prec=quantities.TEXT_MAX + 600):
        return Quantity(a.value + sign * (b.value if isinstance(b, Quantity) else b))


def _compare(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


# -- versions -------------------------------------------------------------------------------------

_NUMBER = r"(0|[1-9]\d*)"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?\Z", re.ASCII
)
SEMVER_MAX = 256  # characters


class Semver:
    __slots__ = ("key", "numbers")
    cel_type: ClassVar[str] = "kubernetes.Semver"

    def __init__(self, numbers: tuple[int, int, int], pre: str) -> None:
        self.numbers = numbers
        # A release comes after its candidates; numbers come before words.
        parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split("."))
        self.key = (numbers, 0 if pre else 1, parts if pre else ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _parsed(text: str, *, loose: bool) -> Semver | str:
    """A version, or why there is none."""
    if loose:
        text = _normal(text.strip())
    found = _SEMVER.match(text) if len(text) <= SEMVER_MAX else None
    if found is None:
        return _semver_trouble(text)
    major, minor, patch = (int(found[i]) for i in (1, 2, 3))
    pre = found[4] or ""
    for part in pre.split("."):
        if len(part) > 1 and part.isdigit() and part[0] == "0":
            return f'Numeric PreRelease version must not contain leading zeroes "{part}"'
    return Semver((major, minor, patch), pre)


def _normal(text: str) -> str:
    """`v1.2` as 1.2.0, without leading zeros."""
    text = text.removeprefix("v")
    core = re.match(r"[^-+]*", text)
    assert core is not None
    parts = core.group().split(".")
    parts = [p.lstrip("0") or "0" if p.isdigit() else p for p in parts]
    while len(parts) < 3:
        parts.append("0")
    return ".".join(parts) + text[core.end() :]


def _semver_trouble(text: str) -> str:
    if not text:
        return "Version string empty"
    parts = text.split(".", 2)
    if len(parts) != 3:
        return "No Major.Minor.Patch elements found"
    for name, part in zip(("major", "minor"), parts[:2], strict=False):
        if not part.isdigit() or not part.isascii():
            return f'Invalid character(s) found in {name} number "{part}"'
        if len(part) > 1 and part[0] == "0":
            return f'{name.capitalize()} number must not contain leading zeroes "{part}"'
    patch = re.split(r"[-+]", parts[2])[0]
    if not patch.isdigit():
        return f'Invalid character(s) found in patch number "{patch}"'
    return f'Patch number must not contain leading zeroes "{patch}"'


def _semver(text: str, loose: bool = False) -> Semver:
    found = _parsed(text, loose=loose)
    if isinstance(found, str):
        raise EvalError(found)
    return found


def _is_semver(text: str, loose: bool = False) -> bool:
    return isinstance(_parsed(text, loose=loose), Semver)


def library() -> Library:
    return Library(
        TABLE,
        {
            "string_to_quantity": _quantity,
            "is_quantity_string": _is_quantity,
            "quantity_sign": lambda q: _compare(q.value, 0),
            "quantity_is_integer": _whole,
            "quantity_get_int": _as_integer,
            "quantity_get_float": lambda q: float(q.value),
            "quantity_add": _sum,
            "quantity_add_int": _sum,
            "quantity_sub": lambda a, b: _sum(a, b, -1),
            "quantity_sub_int": lambda a, b: _sum(a, b, -1),
            "quantity_is_greater_than": lambda a, b: a.value > b.value,
            "quantity_is_less_than": lambda a, b: a.value < b.value,
            "quantity_compare_to": lambda a, b: _compare(a.value, b.value),
            "string_to_semver": _semver,
            "string_bool_to_semver": _semver,
            "is_semver_string": _is_semver,
            "is_semver_string_bool": _is_semver,
            "semver_is_greater_than": lambda a, b: a.key > b.key,
            "semver_is_less_than": lambda a, b: a.key < b.key,
            "semver_compare_to": lambda a, b: _compare(a.key, b.key),
            "semver_major": lambda v: v.numbers[0],
            "semver_minor": lambda v: v.numbers[1],
            "semver_patch": lambda v: v.numbers[2],
        },
    )
