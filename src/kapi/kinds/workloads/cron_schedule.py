"""Cron schedules: five fields or a descriptor; complaints in the words of the parser that the real
server uses.

Called by the CronJob strategy. Only checks a schedule; nothing here computes times.
https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping

from kapi import durations
from kapi.errors import quote

_MONTHS = {m: i for i, m in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
)}  # fmt: skip
_DAYS = {d: i for i, d in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_NO_NAMES: Mapping[str, int] = {}
_FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, _NO_NAMES),
    (0, 23, _NO_NAMES),
    (1, 31, _NO_NAMES),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}\Z")


class _Wrong(Exception):
    """The complaint about a schedule."""


def complaint(schedule: str) -> str:
    """Why a schedule cannot be read; empty for a good one."""
    try:
        _parse(schedule)
    except _Wrong as wrong:
        return str(wrong)
    return ""


def _parse(schedule: str) -> None:
    if not schedule:
        raise _Wrong("empty spec string")
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, _, schedule = schedule.partition(" ")
        name = zone.partition("=")[2]
        if not zone_exists(name):
            raise _Wrong(f"provided bad location {name}: unknown time zone {name}")
        schedule = schedule.strip()
    if schedule.startswith("@"):
        _descriptor(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        shown = " ".join(fields)
        raise _Wrong(f"expected exactly 5 fields, found {len(fields)}: [{shown}]")
    for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in (p for p in text.split(",") if p):
            _range(part, low, high, names)


def _range(text: str, low: int, high: int, names: Mapping[str, int]) -> None:
    """`*`, `n`, `n-m`, each with an optional `/step`."""
    range_and_step = text.split("/")
    ends = range_and_step[0].split("-")
    single = len(ends) == 1
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        start = _number(ends[0], names)
        if single:
            end = start
        elif len(ends) == 2:
            end = _number(ends[1], names)
        else:
            raise _Wrong(f"too many hyphens: {text}")
    step = 1
    if len(range_and_step) == 2:
        step = _integer(range_and_step[1])
        if single:
            end = high
    elif len(range_and_step) > 2:
        raise _Wrong(f"too many slashes: {text}")
    if start < low:
        raise _Wrong(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise _Wrong(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise _Wrong(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise _Wrong(f"step of range should be a positive number: {text}")


def _number(text: str, names: Mapping[str, int]) -> int:
    named = names.get(text.lower())
    return _integer(text) if named is None else named


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]+", text, re.ASCII):
        reason = f"strconv.Atoi: parsing {quote(text)}: invalid syntax"
        raise _Wrong(f"failed to parse int from {text}: {reason}")
    if len(text) > 19:
        reason = f"strconv.Atoi: parsing {quote(text)}: value out of range"
        raise _Wrong(f"failed to parse int from {text}: {reason}")
    number = int(text)
    if number < 0:
        raise _Wrong(f"negative number ({number}) not allowed: {text}")
    return number


def _descriptor(text: str) -> None:
    if text in _DESCRIPTORS:
        return
    every = "@every "
    if not text.startswith(every):
        raise _Wrong(f"unrecognized descriptor: {text}")
    duration = text[len(every) :]
    try:
        durations.nanoseconds(duration)
    except ValueError as wrong:
        raise _Wrong(f"failed to parse duration {text}: {wrong}") from None


def zone_named(name: str) -> bool:
    """Whether a name could be one of a time zone."""
    return all(
        _ZONE_PART.match(part) and part not in (".", "..") and part[:1] != "-"
        for part in name.split("/")
    )


def zone_exists(name: str) -> bool:
    """Whether the system's time zone database has a name; every well-formed name, where there is no
    database.
    """
    if name in ("", "UTC"):
        return True
    if not zone_named(name):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not zoneinfo.available_timezones()
    return True
