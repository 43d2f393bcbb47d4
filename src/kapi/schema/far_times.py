"""Times in years that RFC 3339 has not: beyond 9999, and before 1.

JSON cannot bring them in, but messages of Protocol Buffers can, as seconds; the real server keeps
them and prints the year with as many digits as it has (`10000-01-01T00:00:00Z`). `scalars.py` and
`protobuf_value_reading.py` come here only for such years; calendars of the standard library end
where this begins. Days are counted by the proleptic Gregorian calendar, in eras of 400 years that
begin on the first of March: https://howardhinnant.github.io/date_algorithms.html
"""

from __future__ import annotations

import re

DAY_S = 86_400
_ERA_YEARS, _ERA_DAYS = 400, 146_097
_EPOCH_DAYS = 719_468  # from the first of March of year 0 to 1970
_TEXT = re.compile(
    r"(-\d{4,}|\d{4,})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII
)


def is_far(text: str) -> bool:
    """Whether a time of an object is in such a year."""
    return text[4:5] != "-" or text.startswith("0000")


def spell(seconds: int) -> str:
    """The time so many seconds after 1970 began, up to its seconds: `10000-01-01T00:00:00`."""
    days, rest = divmod(seconds, DAY_S)
    era, day = divmod(days + _EPOCH_DAYS, _ERA_DAYS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153  # from March
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year += era * _ERA_YEARS + (month <= 2)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    sign = "-" if year < 0 else ""
    date = f"{sign}{abs(year):04d}-{month:02d}-{day + 1:02d}"
    return f"{date}T{hour:02d}:{minute:02d}:{second:02d}"


def parse(text: str) -> tuple[int, int]:
    """Seconds since 1970 began, and nanoseconds, of a time as `spell` gives it, with a fraction and
    a Z behind it. Raises ValueError.
    """
    match = _TEXT.match(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(x) for x in match.groups()[:6])
    if not 1 <= month <= 12:
        raise ValueError(text)
    era, of_era = divmod(year - (month <= 2), _ERA_YEARS)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * _ERA_DAYS + of_era * 365 + of_era // 4 - of_era // 100 + of_year - _EPOCH_DAYS
    seconds = days * DAY_S + hour * 3600 + minute * 60 + second
    return seconds, int((match[7] or "0").ljust(9, "0"))
