"""Empty lists and maps as the client wrote them, for messages that quote them.

An object is kept without them, as it is stored; the real server has them at hand when it says what
is wrong (`Invalid value: {}`, not `null`). Called by the write pipeline, for refused objects only.
"""

from __future__ import annotations

import copy
from typing import Any

from kapi.errors import FieldError
from kapi.registry.change import Change
from kapi.registry.strategy import Context

Json = dict[str, Any]
_SERVERS = ("metadata", "status", "apiVersion", "kind")


def findings(
    change: Change, stored: Json, current: Json | None, context: Context
) -> list[FieldError]:
    """What the strategy finds in an object, quoting what the client wrote."""
    validate = change.resource.strategy.validate
    found = validate(stored, current, context)
    same_form = change.version.to_stored is None and not change.resource.custom
    if found and change.body is not None and same_form:
        shown = as_written(stored, change.body())
        if shown is not None:
            return quoting(found, validate(shown, current, context))
    return found


def as_written(obj: Json, body: Any) -> Json | None:
    """A copy of the object with what the body has empty; None if there is nothing of that."""
    if not isinstance(body, dict):
        return None
    wanted = {k: v for k, v in body.items() if k not in _SERVERS}
    if not _has_empty(wanted):
        return None
    out = copy.deepcopy(obj)
    return out if _refill(out, wanted) else None


def quoting(found: list[FieldError], again: list[FieldError]) -> list[FieldError]:
    """The findings about the second object, if they are the same but for what they quote."""
    same = [(f.field, f.reason) for f in found] == [(f.field, f.reason) for f in again]
    return again if same else found


def _has_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return not value or any(map(_has_empty, value.values()))
    if isinstance(value, list):
        return not value or any(map(_has_empty, value))
    return False


def _refill(obj: Any, body: Any) -> bool:
    """Put the empty lists and maps of the body where the object has nothing; whether any was."""
    filled = False
    if isinstance(obj, dict) and isinstance(body, dict):
        for key, value in body.items():
            if not isinstance(value, dict | list):
                continue
            if key in obj:
                filled |= _refill(obj[key], value)
            elif not value:
                obj[key] = type(value)()
                filled = True
    elif isinstance(obj, list) and isinstance(body, list) and len(obj) == len(body):
        for one, other in zip(obj, body, strict=True):
            filled |= _refill(one, other)
    return filled
