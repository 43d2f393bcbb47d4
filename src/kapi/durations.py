"""Durations as Go writes them (`1h30m`, `500ms`, `0`), with Go's words for what is wrong with one.

Used by the flags and by query parameters; https://pkg.go.dev/time#ParseDuration.
"""

from __future__ import annotations

import re

from kapi.errors import quote

_UNITS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
NANOSECONDS_MAX = (1 << 63) - 1  # of Go's int64


def parse(text: str) -> float:
    """Seconds. Raises ValueError with Go's message."""
    return nanoseconds(text) / 10**9


def nanoseconds(text: str) -> int:
    """Raises ValueError with Go's message."""
    invalid = f"time: invalid duration {quote(text)}"
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(invalid)
    total = 0
    while rest:
        match = _PART.match(rest)
        if match is None or not (match[1] or match[2]):
            raise ValueError(invalid)
        if not match[3]:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if match[3] not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(match[3])} in duration {quote(text)}")
        unit = _UNITS[match[3]]
        total += int(match[1] or 0) * unit
        if match[2]:
            total += int(match[2]) * unit // 10 ** len(match[2])
        if total > NANOSECONDS_MAX:
            raise ValueError(invalid)
        rest = rest[match.end() :]
    return -total if text.startswith("-") else total


def spell(seconds: float) -> str:
    """As flags print their defaults: `1h`, `1m30s`, `500ms`, `0s`."""
    left = round(seconds * 10**9)
    if left == 0:
        return "0s"
    parts = []
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def spell_whole(seconds: float) -> str:
    """As Go's Duration.String: `1h0m0s`, `1m30s`, `500ms`, `1.5s`, `0s`."""
    left = abs(round(seconds * 10**9))
    sign = "-" if seconds < 0 else ""
    if left == 0:
        return "0s"
    if left < 10**9:
        unit = next(u for u in ("ms", "us", "ns") if left >= _UNITS[u])
        return f"{sign}{_decimal(left, _UNITS[unit])}{'µs' if unit == 'us' else unit}"
    minutes, left = divmod(left, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(left, 10**9)}s"


def _decimal(count: int, unit: int) -> str:
    whole, rest = divmod(count, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if rest else str(whole)
