"""resource.Quantity: parse the text form, give its canonical spelling, compare and add.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ A quantity is a
number with at most nanos of precision and a suffix of one of three families: binary (Ki), decimal
(m, k, M) or an exponent (e3). The canonical form keeps the family, has no fraction and the
largest suffix."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal, localcontext
from functools import lru_cache
from typing import Literal

Family = Literal["binary", "decimal", "exponent"]

SYNTAX_MESSAGE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_SYNTAX = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?([A-Za-z]*)([+-]?)([0-9]*)\Z")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_UP = tuple(sorted(_BINARY.items(), key=lambda x: -x[1]))
_DECIMAL_UP = tuple(sorted(_DECIMAL.items(), key=lambda x: -x[1]))
MAX_INT64 = 2**63 - 1
# What is looked at only in a glance: digits that 63 bits hold for sure; of a binary one with
# fewer digits the larger its suffix.
_GLANCE_DIGITS = 18
_GLANCE_BINARY = 14
_CACHE_ENTRIES = 4096  # distinct spellings in a cluster are few
TEXT_MAX = 2000  # characters of a quantity; the real server has no limit
_WIDE = Context(prec=TEXT_MAX + 500 + 10)


class QuantityError(ValueError):
    """Not a quantity; the text is the real server's."""


@lru_cache(maxsize=_CACHE_ENTRIES)
def parse(text: str) -> tuple[Decimal, Family]:
    """The value, rounded up to nanos, and the family of its suffix; a binary one is capped to what
    63 bits hold.

    Raises QuantityError.
    """
    if not 0 < len(text) <= TEXT_MAX:
        raise QuantityError(SYNTAX_MESSAGE)
    match = _SYNTAX.match(text)
    if match is None or not (match[2] or match[4]):
        raise QuantityError(SYNTAX_MESSAGE)
    sign, whole, _, fraction, letters, exponent_sign, exponent_digits = match.groups()
    number = Decimal(f"{sign}{whole or '0'}.{fraction or '0'}")
    family: Family = "decimal"
    with localcontext(_WIDE):
        if letters in ("e", "E") and (exponent_sign or exponent_digits):
            if not exponent_digits or len(exponent_digits) > 8:
                raise QuantityError("unable to parse quantity's suffix")
            family = "exponent"
            power = int(exponent_sign + exponent_digits)
            if abs(power) > 500:
                power = 500 if power > 0 else -500
            number = number.scaleb(power)
        elif exponent_sign or exponent_digits:
            raise QuantityError(
                SYNTAX_MESSAGE if letters == "" else "unable to parse quantity's suffix"
            )
        elif letters in _BINARY:
            family = "binary"
            number = number * (1 << _BINARY[letters])
        elif letters in _DECIMAL:
            number = number.scaleb(_DECIMAL[letters])
        else:
            raise QuantityError("unable to parse quantity's suffix")
        limit = Decimal(MAX_INT64)
        if family == "binary" and abs(number) > limit:
            number = limit.copy_sign(number)
        else:
            number = number.quantize(Decimal("1e-9"), rounding=ROUND_UP)
    return number, family


@lru_cache(maxsize=_CACHE_ENTRIES)
def canonical(text: str) -> str:
    """The spelling that the server answers with: of what looks canonical at a glance, that which
    was given. Raises QuantityError."""
    number, family = parse(text)
    return text if text == "0" or _looks_canonical(text, family) else spell(number, family)


def _looks_canonical(text: str, family: Family) -> bool:
    """The real server's glance, which takes `01`, `+1` and `5.` for canonical, too."""
    match = _SYNTAX.match(text)
    assert match is not None, "it was parsed"
    _, whole, _, fraction, letters, sign, power = match.groups()
    whole, fraction = whole.lstrip("0") or "0", fraction or ""
    digits = whole + fraction
    if family == "binary":
        bits = _BINARY[letters]
        if fraction or _GLANCE_BINARY - len(whole) - bits * 3 // 10 < 0:
            return False
        return int(whole) & 7 != 0 and int(whole) << bits <= MAX_INT64
    scale = (int(sign + power) if power else _DECIMAL[letters]) - len(fraction)
    if len(digits) > _GLANCE_DIGITS or scale < _DECIMAL["n"]:
        return False
    return scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


@lru_cache(maxsize=_CACHE_ENTRIES)
def in_milli(text: str) -> str:
    """The same with at most three digits after its point, rounded up; else as it is spelled."""
    number, family = parse(text)
    with localcontext(_WIDE):
        rounded = number.quantize(Decimal("0.001"), rounding=ROUND_UP)
    return text if rounded == number else spell(rounded, family)


def spell(number: Decimal, family: Family) -> str:
    """The canonical text of a value in a family."""
    with localcontext(_WIDE):
        if number == 0:
            return "0"
        if family == "binary" and (abs(number) < 1024 or number != number.to_integral_value()):
            family = "decimal"
        if family == "binary":
            whole = int(number)
            for suffix, bits in _BINARY_UP:
                if whole % (1 << bits) == 0:
                    return f"{whole >> bits}{suffix}" if whole > 0 else f"-{-whole >> bits}{suffix}"
            return str(whole)
        nanos = int(number.scaleb(9))
        power = -9
        while nanos % 1000 == 0:
            nanos //= 1000
            power += 3
        if family == "exponent" or power > _DECIMAL["E"]:
            return f"{nanos}e{power}" if power else str(nanos)
        suffix = next(s for s, p in _DECIMAL_UP if p == power)
        return f"{nanos}{suffix}"


def value(text: str) -> Decimal:
    """The number a canonical quantity stands for."""
    return parse(text)[0]
