"""How Go prints decoded JSON: `map[a:1 b:[x y]]`. Errors of patches quote maps so.

Called by `strategic_merge.py`, and by whoever quotes a strategic merge patch in a 422.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_TYPES: dict[type, str] = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def go_text(value: Any) -> str:
    """A decoded JSON value as Go's `%v`: maps sorted by key, strings bare, null as `<nil>`."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"map[{' '.join(f'{k}:{go_text(value[k])}' for k in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def go_type(value: Any) -> str:
    """The Go type that decoded JSON has."""
    return "<nil>" if value is None else _TYPES[value.__class__]


def _float(value: float) -> str:
    """Go's `%v` of a float64: shortest digits, an exponent below 1e-4 and from 1e21 on."""
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = format(Decimal(repr(value)).normalize(), "e").partition("e")
    power = int(exponent)
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
