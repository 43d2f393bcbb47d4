"""Numbers of custom objects against their type, format, bounds and factor, as kube-openapi checks
them: integers as integers, everything else as floats. Yes or no, and the words for no.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Number = int | float
_RANGES = {
    "int32": range(-(2**31), 2**31),
    "uint32": range(2**32),
    "uint64": range(2**64),
    "int64": range(-(2**63), 2**63),
}
EXPONENT_FROM = 6  # Go prints floats from a million on with an exponent
_FLOAT32_MAX = 3.4028234663852886e38
_INT64 = _RANGES["int64"]


@dataclass(frozen=True, slots=True)
class Limits:
    type: str  # "" for a schema without one
    format: str
    minimum: Number | None
    maximum: Number | None
    multiple_of: Number | None
    exclusive_minimum: bool
    exclusive_maximum: bool

    @property
    def accepts_all(self) -> bool:
        """Whether no number at all can be refused."""
        bounded = (self.minimum, self.maximum, self.multiple_of) != (None, None, None)
        return not bounded and self.type != "integer" and self.format not in ("float", "float32")

    def valid(self, value: Number) -> bool:
        return next(self.complaints(value), None) is None

    def complaints(self, value: Number) -> Iterator[tuple[str, Number | None]]:
        """What is wrong, as texts in which `{}` stands for the place; the value where it counts as
        a finding about the place itself."""
        if not self._fits(value):
            yield f"Checked value {self._unfit()}", None
        if self.multiple_of is not None:
            yield from self._boundary("MultipleOf", self.multiple_of)
            yield from self._factor(value, self.multiple_of)
        if self.minimum is not None:
            yield from self._boundary("Minimum boundary", self.minimum)
            yield from self._least(value, self.minimum)
        if self.maximum is not None:
            yield from self._boundary("Maximum boundary", self.maximum)
            yield from self._most(value, self.maximum)

    def _fits(self, value: Number) -> bool:
        if self.type == "integer":
            if isinstance(value, float) and not value.is_integer():
                return False
            return int(value) in _RANGES.get(self.format, _INT64)
        return self.format not in ("float", "float32") or abs(value) <= _FLOAT32_MAX

    def _unfit(self) -> str:
        form = f"with format {self.format}" if self.format else "(default format)"
        return f"must be of type {self.type} {form} in {{}}"

    def _boundary(self, what: str, limit: Number) -> Iterator[tuple[str, Number | None]]:
        if not self._fits(limit):
            yield f"{what} value {self._unfit()}", None

    def _as_value(self, value: Number, limit: Number) -> Number:
        """A limit as it is compared with the value: cut to an integer for an integer."""
        return int(limit) if isinstance(value, int) and self._fits(limit) else limit

    def _factor(self, value: Number, factor: Number) -> Iterator[tuple[str, Number | None]]:
        if factor < 0:
            yield f"factor MultipleOf declared for {{}} must be positive: {shown(factor)}", factor
        elif isinstance(value, int) and self._fits(factor):
            if int(factor) == 0 or value % int(factor):
                yield f"{{}} in body should be a multiple of {int(factor)}", value
        elif factor == 0 or not float(value / factor).is_integer():
            yield f"{{}} in body should be a multiple of {shown(float(factor))}", value

    def _least(self, value: Number, minimum: Number) -> Iterator[tuple[str, Number | None]]:
        limit = self._as_value(value, minimum)
        if value < limit or (self.exclusive_minimum and value <= limit):
            what = "greater than" if self.exclusive_minimum else "greater than or equal to"
            yield f"{{}} in body should be {what} {shown(limit)}", value

    def _most(self, value: Number, maximum: Number) -> Iterator[tuple[str, Number | None]]:
        limit = self._as_value(value, maximum)
        if value > limit or (self.exclusive_maximum and value >= limit):
            what = "less than" if self.exclusive_maximum else "less than or equal to"
            yield f"{{}} in body should be {what} {shown(limit)}", value


def shown(number: Number) -> str:
    """How Go's `%v` prints a number."""
    if isinstance(number, int):
        return str(number)
    text = repr(number)
    power = int(f"{number:.17e}".partition("e")[2]) if number else 0
    if -4 <= power < EXPONENT_FROM:
        return text.removesuffix(".0")
    mantissa = text.partition("e")[0].removesuffix(".0")
    if "e" not in text:
        sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text)
        digits = digits.replace(".", "").lstrip("0").rstrip("0")
        mantissa = sign + digits[0] + ("." + digits[1:] if digits[1:] else "")
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
