"""Parts of timestamps and durations: getHours and its like, in a time zone if one is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

from kapi.cel.values import SECOND, Duration, EvalError, Timestamp

_OFFSET = re.compile(r"([+-]?)(\d\d?):(\d\d)\Z")
ZONES_KEPT = 64


@lru_cache(maxsize=ZONES_KEPT)
def _zone(name: str) -> tzinfo:
    import zoneinfo

    found = _OFFSET.match(name)
    if found is not None:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        try:
            return timezone(-offset if found[1] == "-" else offset)
        except ValueError:
            raise EvalError(f"unknown time zone {name}") from None
    if name in ("", "UTC"):
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise EvalError(f"unknown time zone {name}") from None


def _moment(value: Timestamp, zone: str = "") -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value.ns // SECOND)
    return moment.astimezone(_zone(zone)) if zone else moment


_PARTS: Mapping[str, Callable[[datetime], int]] = {
    "year": lambda t: t.year,
    "month": lambda t: t.month - 1,
    "day_of_year": lambda t: t.timetuple().tm_yday - 1,
    "day_of_month": lambda t: t.day - 1,
    "day_of_month_1_based": lambda t: t.day,
    "day_of_week": lambda t: t.isoweekday() % 7,
    "hours": lambda t: t.hour,
    "minutes": lambda t: t.minute,
    "seconds": lambda t: t.second,
}


def _accessor(part: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda value, zone="": part(_moment(value, zone))


def _whole(unit: int) -> Callable[[Duration], int]:
    return lambda value: value.ns // unit if value.ns >= 0 else -(-value.ns // unit)


def _milliseconds(value: Timestamp, zone: str = "") -> int:
    if zone:
        _zone(zone)
    return value.ns % SECOND // 10**6


ACCESSORS: dict[str, Any] = {
    **{f"timestamp_to_{name}": _accessor(part) for name, part in _PARTS.items()},
    **{f"timestamp_to_{name}_with_tz": _accessor(part) for name, part in _PARTS.items()},
    "timestamp_to_seconds_tz": _accessor(_PARTS["seconds"]),
    "timestamp_to_milliseconds": _milliseconds,
    "timestamp_to_milliseconds_with_tz": _milliseconds,
    "duration_to_hours": _whole(3600 * SECOND),
    "duration_to_minutes": _whole(60 * SECOND),
    "duration_to_seconds": _whole(SECOND),
    "duration_to_milliseconds": _whole(10**6),
}
