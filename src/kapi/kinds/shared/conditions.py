"""Checks of metav1.Condition, the form that most kinds write their conditions in.

Called by the strategies of kinds with a status subresource. Pure.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kapi.kinds.shared import checks

Json = dict[str, Any]

REASON_BYTES_MAX, MESSAGE_BYTES_MAX = 1024, 32 * 1024
_STATUSES = ("False", "True", "Unknown")
_REASON_PATTERN = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON = re.compile(_REASON_PATTERN + r"\Z")
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of "
    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. "
    "'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex "
    f"used for validation is '{_REASON_PATTERN}')"
)


def conditions(listed: Sequence[Json] | None, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(listed or ()):
        kind = condition.get("type", "")
        if kind in seen:
            out.append(duplicate(f"{path}[{i}]", kind))
        seen.add(kind)
        out += _condition(condition, f"{path}[{i}]")
    return out


def _condition(condition: Json, path: str) -> list[FieldError]:
    kind, status = condition.get("type", ""), condition.get("status", "")
    if kind:
        out = checks.qualified_name(kind, f"{path}.type")
    else:
        out = [required(f"{path}.type", "is required")]
    if not status:
        out.append(required(f"{path}.status"))
    elif status not in _STATUSES:
        out.append(not_supported(f"{path}.status", status, _STATUSES))
    generation = condition.get("observedGeneration", 0)
    if generation < 0:
        text = "must be greater than or equal to zero"
        out.append(invalid_value(f"{path}.observedGeneration", generation, text))
    if not condition.get("lastTransitionTime"):
        out.append(required(f"{path}.lastTransitionTime"))
    reason = condition.get("reason", "")
    if not reason:
        out.append(required(f"{path}.reason"))
    elif not _REASON.match(reason):
        out.append(invalid_value(f"{path}.reason", reason, _REASON_TEXT))
    if len(reason.encode()) > REASON_BYTES_MAX:
        out.append(too_long(f"{path}.reason", REASON_BYTES_MAX))
    if len(condition.get("message", "").encode()) > MESSAGE_BYTES_MAX:
        out.append(too_long(f"{path}.message", MESSAGE_BYTES_MAX))
    return out
