"""Whether a proposal may replace what stands there: names that match the path, versions and uids.
Pure.

Called by the write pipeline between proposing and owning; what it takes out of `proposed` (the
resourceVersion) was only a condition."""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.errors import ApiError
from kapi.registry.change import Change
from kapi.registry.resource import ResourceType
from kapi.storage import keys

Json = dict[str, Any]


def match_path(change: Change, proposed: Json) -> None:
    meta = proposed.get("metadata")
    if meta is None:
        meta = proposed["metadata"] = {}
    name = meta.get("name", "")
    if change.mode != "create" or (change.name and change.subresource):
        if not name:
            raise errors.bad_request(
                f"the name of the object ({change.name} based on URL) was undeterminable: "
                "name must be provided"
            )
        match_name(name, change.name)
    namespace = meta.get("namespace", "")
    if not change.resource.namespaced:
        meta.pop("namespace", None)
    elif namespace and namespace != change.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if change.namespace and not namespace:
        meta["namespace"] = change.namespace


def match_name(name: str, on_path: str) -> None:
    """Raises ApiError 400 for an object that is sent to the place of another."""
    if name != on_path:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({on_path})"
        )


def check_version(change: Change, proposed: Json, live: Json | None) -> bool:
    """Optimistic concurrency. True if the client named no version: then a lost race is tried
    again.
    """
    meta, r = proposed["metadata"], change.resource
    wanted = meta.pop("resourceVersion", "")
    if live is None:
        if change.mode == "update" and meta.get("uid"):
            raise precondition_failed(r, change.namespace, change.name, "UID", meta["uid"], "")
        versioned = wanted.isdigit() and wanted != "0" and change.mode == "create"
        if versioned and not change.options.dry_run:
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        return True
    old = live["metadata"]
    current = old["resourceVersion"]
    if wanted and not wanted.isdigit():
        raise ApiError(
            500, "", f"strconv.ParseUint: parsing {errors.quote(wanted)}: invalid syntax"
        )
    unconditional = wanted in ("", "0")
    if unconditional and change.mode == "update" and not r.strategy.unconditional_update:
        found = [
            errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        ]
        raise errors.invalid(r.group, r.plural, change.name, found)
    uid = meta.get("uid")
    if uid and uid != old["uid"] and change.mode == "update":
        raise precondition_failed(r, change.namespace, change.name, "UID", uid, old["uid"])
    if not unconditional and wanted != current:
        raise errors.conflict(r.group, r.plural, change.name, errors.OBJECT_MODIFIED)
    if not uid:
        meta["uid"] = old["uid"]
    # A patch is made anew from what stands there then; a version that it names is checked again.
    return unconditional or change.mode in ("patch", "apply")


def precondition_failed(
    resource: ResourceType, namespace: str, name: str, word: str, wanted: str, found: str
) -> ApiError:
    """409 for an object that is not the one that was meant; `word`: UID or ResourceVersion."""
    key = keys.object_key(resource, namespace, name)
    return errors.conflict(
        resource.group,
        resource.plural,
        name,
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: {word} in precondition: {wanted}, "
        f"{word} in object meta: {found}",
    )
