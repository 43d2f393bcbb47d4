"""Tables: what `kubectl get` prints. Columns and rows from a resource's printer columns.

https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
Called by `handlers/respond.py`. A cell function gets the object in its stored form and the time
now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi import errors
from kapi.errors import ApiError
from kapi.registry.resource import Column, ResourceType, Version

Json = dict[str, Any]

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name "
    "automatically. Name is primarily intended for creation idempotence and configuration "
    "definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
CREATED_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by "
    "the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)

_DEFAULT = (
    Column(
        name="Name",
        type="string",
        format="name",
        description=NAME_DESCRIPTION,
        cell=lambda obj, now: obj["metadata"].get("name", ""),
    ),
    Column(
        name="Created At",
        type="date",
        description=CREATED_DESCRIPTION,
        cell=lambda obj, now: obj["metadata"].get("creationTimestamp"),
    ),
)

INCLUDE = ("", "Metadata", "Object", "None")


def columns(resource: ResourceType, version: Version) -> Sequence[Column]:
    return version.columns or resource.columns or _DEFAULT


def definitions(resource: ResourceType, version: Version) -> list[Json]:
    """The columnDefinitions of a Table."""
    return [
        {
            "name": c.name,
            "type": c.type,
            "format": c.format,
            "description": c.description,
            "priority": c.priority,
        }
        for c in columns(resource, version)
        if c.name  # IPAddress rows end in a cell that no column announces
    ]


def cells(resource: ResourceType, version: Version, obj: Json, now: float) -> list[Any]:
    """One row of an object: as it is stored, of a custom kind in the version."""
    return [c.cell(obj, now) for c in columns(resource, version)]


def conditions(resource: ResourceType, obj: Json) -> list[Json]:
    """What a row says of its object beside the cells; mostly nothing."""
    return resource.row_conditions(obj) if resource.row_conditions is not None else []


def check_include(include: str) -> ApiError | None:
    """What is wrong with the parameter `includeObject`."""
    if include in INCLUDE:
        return None
    return errors.bad_request(
        "Unable to convert to Table as requested: includeObject: Invalid value: "
        f"{errors.quote(include)}: must be 'Metadata', 'Object', 'None', or empty"
    )


# metav1.ObjectMeta and what is in it, in the order of the Go structs: custom objects are stored
# sorted.
_META_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip
_OWNER_ORDER = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
_MANAGED_ORDER = (
    "manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource",
)  # fmt: skip


def partial_metadata(obj: Json, version: str, hidden: frozenset[str] = frozenset()) -> Json:
    """The object as PartialObjectMetadata of meta.k8s.io/`version`; shares what is inside.

    `hidden`: annotations to leave out.
    """
    meta = _ordered(obj.get("metadata") or {}, _META_ORDER)
    if hidden and "annotations" in meta:
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k not in hidden}
        if not meta["annotations"]:
            del meta["annotations"]
    for field, order in (("ownerReferences", _OWNER_ORDER), ("managedFields", _MANAGED_ORDER)):
        if field in meta:
            meta[field] = [_ordered(entry, order) for entry in meta[field]]
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
    }


def _ordered(value: Json, order: Sequence[str]) -> Json:
    return {name: value[name] for name in order if name in value}
