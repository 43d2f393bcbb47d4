"""Which names a definition gets, and the conditions that say so. Pure.

A name that another definition of the group has is refused; everything else is accepted. A
definition is served from the moment that all its names are, unless its webhook has a CA bundle that
is none.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kapi.errors import quote
from kapi.kinds.definitions.conditions import (
    ESTABLISHED,
    NAMES_ACCEPTED,
    approval,
    condition_of,
    is_true,
    set_condition,
)
from kapi.kinds.definitions.conversion_rules import has_bad_bundle

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """The accepted names of the definitions of a group, also of the one that wants others."""

    resources: frozenset[str]
    kinds: frozenset[str]

    @classmethod
    def by(cls, accepted: Iterable[Json]) -> Taken:
        resources: set[str] = set()
        kinds: set[str] = set()
        for names in accepted:
            resources.update((names.get("plural", ""), names.get("singular", "")))
            resources.update(names.get("shortNames") or ())
            kinds.update((names.get("kind", ""), names.get("listKind", "")))
        return cls(frozenset(resources), frozenset(kinds))


def accepted_names(definition: Json) -> Json:
    names: Json = (definition.get("status") or {}).get("acceptedNames") or {}
    return names


def decide(definition: Json, taken: Taken, now: str) -> Json:
    """The status that a definition ought to have; equal to the one it has where nothing changes."""
    status: Json = dict(definition.get("status") or {})
    wanted: Json = (definition.get("spec") or {}).get("names") or {}
    names, conflict = _names(wanted, accepted_names(definition), taken)
    status["acceptedNames"] = _ordered(names)
    accepted = conflict or condition_of(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")
    set_condition(status, accepted, now)
    if not is_true({"status": status}, ESTABLISHED):
        if conflict is not None:
            verdict = ("False", "NotAccepted", "not all names are accepted")
        elif has_bad_bundle(definition.get("spec") or {}):
            verdict = ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
        else:
            verdict = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        set_condition(status, condition_of(ESTABLISHED, *verdict), now)
    approved = approval(definition)
    if approved is not None:
        set_condition(status, approved, now)
    return status


def _names(wanted: Json, accepted: Json, taken: Taken) -> tuple[Json, Json | None]:
    names, conflict = dict(accepted), None
    for field, used, reason in (
        ("plural", taken.resources, "PluralConflict"),
        ("singular", taken.resources, "SingularConflict"),
        ("shortNames", taken.resources, "ShortNamesConflict"),
        ("kind", taken.kinds, "KindConflict"),
        ("listKind", taken.kinds, "ListKindConflict"),
    ):
        if field == "shortNames":
            message = _short_names(wanted, accepted, used)
        else:
            message = _fresh(wanted.get(field, ""), accepted.get(field, ""), used)
        if message:
            conflict = condition_of(NAMES_ACCEPTED, "False", reason, message)
        else:
            _put(names, field, wanted.get(field))
    _put(names, "categories", wanted.get("categories"))
    return names, conflict


def _short_names(wanted: Json, accepted: Json, used: frozenset[str]) -> str:
    own = accepted.get("shortNames") or ()
    messages = [_fresh(n, "", used) for n in wanted.get("shortNames") or () if n not in own]
    messages = list(dict.fromkeys(filter(None, messages)))
    return messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]" if messages else ""


def _fresh(wanted: str, accepted: str, used: frozenset[str]) -> str:
    return f"{quote(wanted)} is already in use" if wanted != accepted and wanted in used else ""


def _put(names: Json, field: str, value: Any) -> None:
    if value:
        names[field] = value
    else:
        names.pop(field, None)


def _ordered(names: Json) -> Json:
    out: Json = {"plural": names.get("plural", "")}
    for field in ("singular", "shortNames"):
        if names.get(field):
            out[field] = names[field]
    out["kind"] = names.get("kind", "")
    for field in ("listKind", "categories"):
        if names.get(field):
            out[field] = names[field]
    return out
