"""The options of a write or a delete, parsed once from the query or a DeleteOptions body, and
checked.

https://kubernetes.io/docs/reference/kubernetes-api/common-parameters/common-parameters/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kapi import errors
from kapi.errors import ApiError, FieldError, invalid
from kapi.messages import Query

Json = dict[str, Any]
FIELD_MANAGER_MAX_BYTES = 128  # as the real server
META_GROUP = "meta.k8s.io"
_META_V1 = f"{META_GROUP}/v1"
UNREAD = "ignoreStoreReadErrorWithClusterBreakingPotential"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """create, update, patch."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"  # Ignore, Warn or Strict
    force: bool = False  # apply only
    asked_validation: str = ""  # what was asked for, if anything

    def as_object(self, operation: str) -> Json:
        """As admission shows them; those of a patch read like an update's."""
        kind = "CreateOptions" if operation == "CREATE" else "UpdateOptions"
        out: Json = {"kind": kind, "apiVersion": _META_V1}
        if self.dry_run:
            out["dryRun"] = ["All"]
        if self.field_manager:
            out["fieldManager"] = self.field_manager
        if self.asked_validation:
            out["fieldValidation"] = self.asked_validation
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    grace_period_seconds: int | None = None
    preconditions: Preconditions = field(default_factory=Preconditions)
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    dry_run: bool = False
    unread: bool = False  # of an object that cannot be read, and only of such a one (KEP-3926)

    def as_object(self, operation: str) -> Json:
        """As admission shows them."""
        uid, version = self.preconditions.uid, self.preconditions.resource_version
        wanted = {"uid": uid, "resourceVersion": version}
        fields = {
            "gracePeriodSeconds": self.grace_period_seconds,
            "preconditions": {k: v for k, v in wanted.items() if v is not None} or None,
            "orphanDependents": self.orphan_dependents,
            "propagationPolicy": self.propagation_policy,
            "dryRun": ["All"] if self.dry_run else None,
            UNREAD: self.unread or None,
        }
        head = {"kind": "DeleteOptions", "apiVersion": _META_V1}
        return head | {k: v for k, v in fields.items() if v is not None}


def _dry_run(values: Sequence[str], found: list[FieldError]) -> bool:
    if any(v != "All" for v in values):
        found.append(errors.not_supported("dryRun", list(values), ["All"]))
    return bool(values)


def _field_manager(name: str, found: list[FieldError]) -> None:
    if len(name.encode()) > FIELD_MANAGER_MAX_BYTES:
        found.append(errors.too_long("fieldManager", FIELD_MANAGER_MAX_BYTES))
    for position, c in enumerate(name):
        if not c.isprintable():
            found.append(
                errors.invalid_value(
                    "fieldManager",
                    name,
                    f"invalid character U+{ord(c):04X} (at position {position})",
                )
            )


def _field_validation(value: str, found: list[FieldError]) -> None:
    allowed = ["", "Ignore", "Strict", "Warn"]
    if value not in allowed:
        found.append(errors.not_supported("fieldValidation", value, allowed))


def _refuse(kind: str, found: list[FieldError]) -> None:
    if found:
        raise invalid(META_GROUP, kind, "", found)


def _boolean(query: Query, name: str) -> bool | None:
    """A boolean parameter as the query conversion reads it: present and not false."""
    if name not in query:
        return None
    return query.get(name).lower() not in ("false", "0")


def write_options(query: Query, kind: str, *, patch_type: str = "") -> WriteOptions:
    """The options of a CreateOptions, UpdateOptions or PatchOptions. Raises ApiError 422.

    `patch_type`: "apply" for server-side apply, another word for other patches.
    """
    if not query:
        if patch_type == "apply":
            raise _no_manager()
        return WriteOptions()
    found: list[FieldError] = []
    manager = query.get("fieldManager")
    force = _boolean(query, "force")
    if patch_type and patch_type != "apply" and force is not None:
        found.append(errors.field_forbidden("force", "may not be specified for non-apply patch"))
    if patch_type == "apply" and not manager:
        found.append(errors.required("fieldManager", "is required for apply patch"))
    _field_manager(manager, found)
    dry_run = _dry_run(query.all("dryRun"), found)
    field_validation = query.get("fieldValidation")
    _field_validation(field_validation, found)
    _refuse(kind, found)
    return WriteOptions(
        dry_run=dry_run,
        field_manager=manager,
        field_validation=field_validation or "Warn",
        force=bool(force),
        asked_validation=field_validation,
    )


def _no_manager() -> ApiError:
    found = [errors.required("fieldManager", "is required for apply patch")]
    return invalid(META_GROUP, "PatchOptions", "", found)


_POLICIES = ("Foreground", "Background", "Orphan", "nil")


def delete_options(query: Query, body: Json | None) -> DeleteOptions:
    """From the body where there is one, else from the query. Raises ApiError 400, 422."""
    if body is None:
        grace = query.get("gracePeriodSeconds") if "gracePeriodSeconds" in query else None
        source: Json = {
            "gracePeriodSeconds": _integer(grace) if grace is not None else None,
            "orphanDependents": _boolean(query, "orphanDependents"),
            "propagationPolicy": query.get("propagationPolicy")
            if "propagationPolicy" in query
            else None,
            "dryRun": query.all("dryRun"),
            UNREAD: _boolean(query, UNREAD),
        }
    else:
        source = body
    found: list[FieldError] = []
    policy, orphan = source.get("propagationPolicy"), source.get("orphanDependents")
    if policy is not None and orphan is not None:
        found.append(
            errors.invalid_value(
                "propagationPolicy",
                policy,
                "orphanDependents and deletionPropagation cannot be both set",
            )
        )
    if policy is not None and policy not in _POLICIES[:3]:
        found.append(errors.not_supported("propagationPolicy", policy, _POLICIES))
    dry_run = _dry_run(source.get("dryRun") or [], found)
    unread = bool(source.get(UNREAD))
    if unread:
        found += _only_unread(source)
    _refuse("DeleteOptions", found)
    wanted = source.get("preconditions") or {}
    return DeleteOptions(
        grace_period_seconds=source.get("gracePeriodSeconds"),
        preconditions=Preconditions(
            uid=wanted.get("uid"), resource_version=wanted.get("resourceVersion")
        ),
        orphan_dependents=orphan,
        propagation_policy=policy,
        dry_run=dry_run,
        unread=unread,
    )


def _only_unread(source: Json) -> list[FieldError]:
    """An object that cannot be read is removed, and nothing else can be said of it."""
    return [
        errors.invalid_value(UNREAD, True, f"cannot be set together with .{name}")
        for name in (
            "dryRun",
            "propagationPolicy",
            "orphanDependents",
            "gracePeriodSeconds",
            "preconditions",
        )
        if source.get(name) not in (None, [])
    ]


def _integer(text: str) -> int:
    try:
        if not text.lstrip("+-").isdigit() or not -(2**63) <= int(text) < 2**63:
            raise ValueError
        return int(text)
    except ValueError:
        raise errors.bad_request(
            f"strconv.ParseInt: parsing {errors.quote(text)}: invalid syntax"
        ) from None
