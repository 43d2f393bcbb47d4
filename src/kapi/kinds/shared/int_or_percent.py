"""Fields that are a number or a percentage: `maxUnavailable: 1` or `25%`.

Called by the strategies of apps and policy.
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

import re

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks

_PERCENT = re.compile(r"[0-9]+%\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
ABOVE_ALL = "must not be greater than 100%"

IntOrPercent = int | str


def not_negative(value: IntOrPercent, path: str) -> list[FieldError]:
    if isinstance(value, str):
        return [] if _PERCENT.match(value) else [errors.invalid_value(path, value, PERCENT)]
    return checks.non_negative(value, path)


def at_most_all(value: IntOrPercent, path: str) -> list[FieldError]:
    if isinstance(value, str) and _PERCENT.match(value) and int(value[:-1]) > 100:
        return [errors.invalid_value(path, value, ABOVE_ALL)]
    return []


def amount(value: IntOrPercent) -> int:
    """The number, of pods or of percent; 0 for what is neither."""
    if isinstance(value, int):
        return value
    if _PERCENT.match(value):
        return int(value[:-1])
    return int(value) if _NUMBER.match(value) else 0
