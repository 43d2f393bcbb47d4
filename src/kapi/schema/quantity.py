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
_CACHE_ENTRIES = 4096  # distinct spellings in a cluster are few
_WIDE = Context(prec=1000)


class QuantityError(ValueError):
    """Not a quantity; the text is the real server's."""


@lru_cache(maxsize=_CACHE_ENTRIES)
def parse(text: str) -> tuple[Decimal, Family]:
    """The value, rounded up to nanos and capped to what 63 bits hold, and the family of its suffix.

    Raises QuantityError.
    """
    if not text:
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
        if abs(number) > limit:
            number = limit.copy_sign(number)
        else:
            number = number.quantize(Decimal("1e-9"), rounding=ROUND_UP)
    return number, family


@lru_cache(maxsize=_CACHE_ENTRIES)
def canonical(text: str) -> str:
    """The spelling that the server answers with. Raises QuantityError."""
    number, family = parse(text)
    return spell(number, family)


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
        while nanos % 1000 == 0 and power < 18:
            nanos //= 1000
            power += 3
        if family == "exponent":
            return f"{nanos}e{power}" if power else str(nanos)
        suffix = next(s for s, p in _DECIMAL_UP if p == power)
        return f"{nanos}{suffix}"


def value(text: str) -> Decimal:
    """The number a canonical quantity stands for."""
    return parse(text)[0]
