"""Printer columns of storage.k8s.io."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.kinds.network.networking_columns import default_name, name_column
from kapi.kinds.shared import cells
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]

GROUP = "storage.k8s.io"
_STORAGE = "io.k8s.api.storage.v1."
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _tokens(obj: Json, now: float) -> str:
    found = (obj.get("spec") or {}).get("tokenRequests") or ()
    return ",".join(t.get("audience", "") for t in found) or cells.UNSET


def _lifecycle(obj: Json, now: float) -> str:
    return ",".join((obj.get("spec") or {}).get("volumeLifecycleModes") or ()) or cells.NONE


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "storageclasses"): (
        name_column(default_name(DEFAULT_CLASS)),
        cells.column(
            "Provisioner",
            "string",
            cells.field("provisioner"),
            described(_STORAGE + "StorageClass", "provisioner"),
        ),
        cells.column(
            "ReclaimPolicy",
            "string",
            cells.field("reclaimPolicy", default="Delete"),
            described(_STORAGE + "StorageClass", "reclaimPolicy"),
        ),
        cells.column(
            "VolumeBindingMode",
            "string",
            cells.field("volumeBindingMode", default=cells.UNSET),
            described(_STORAGE + "StorageClass", "volumeBindingMode"),
        ),
        cells.column(
            "AllowVolumeExpansion",
            "string",
            cells.field("allowVolumeExpansion", default=False),
            described(_STORAGE + "StorageClass", "allowVolumeExpansion"),
        ),
        cells.age_column(),
    ),
    (GROUP, "volumeattributesclasses"): (
        cells.name_column(),
        cells.column(
            "DriverName",
            "string",
            cells.field("driverName"),
            described(_STORAGE + "VolumeAttributesClass", "driverName"),
        ),
        cells.age_column(),
    ),
    (GROUP, "csidrivers"): (
        cells.name_column(),
        cells.column(
            "AttachRequired",
            "boolean",
            cells.field("spec", "attachRequired", default=True),
            described(_STORAGE + "CSIDriverSpec", "attachRequired"),
        ),
        cells.column(
            "PodInfoOnMount",
            "boolean",
            cells.field("spec", "podInfoOnMount", default=False),
            described(_STORAGE + "CSIDriverSpec", "podInfoOnMount"),
        ),
        cells.column(
            "StorageCapacity",
            "boolean",
            cells.field("spec", "storageCapacity", default=False),
            described(_STORAGE + "CSIDriverSpec", "storageCapacity"),
        ),
        cells.column(
            "TokenRequests",
            "string",
            _tokens,
            described(_STORAGE + "CSIDriverSpec", "tokenRequests"),
        ),
        cells.column(
            "RequiresRepublish",
            "boolean",
            cells.field("spec", "requiresRepublish", default=False),
            described(_STORAGE + "CSIDriverSpec", "requiresRepublish"),
        ),
        cells.column(
            "Modes",
            "string",
            _lifecycle,
            described(_STORAGE + "CSIDriverSpec", "volumeLifecycleModes"),
        ),
        cells.age_column(),
    ),
    (GROUP, "csinodes"): (
        cells.name_column(),
        cells.column(
            "Drivers",
            "integer",
            lambda obj, now: len((obj.get("spec") or {}).get("drivers") or ()),
            "Drivers indicates the number of CSI drivers registered on the node",
        ),
        cells.age_column(),
    ),
    (GROUP, "volumeattachments"): (
        cells.name_column(),
        Column(
            name="Attacher",
            type="string",
            format="name",
            cell=cells.field("spec", "attacher"),
            description=described(_STORAGE + "VolumeAttachmentSpec", "attacher"),
        ),
        cells.column(
            "PV",
            "string",
            cells.field("spec", "source", "persistentVolumeName"),
            described(_STORAGE + "VolumeAttachmentSource", "persistentVolumeName"),
        ),
        cells.column(
            "Node",
            "string",
            cells.field("spec", "nodeName"),
            described(_STORAGE + "VolumeAttachmentSpec", "nodeName"),
        ),
        cells.column(
            "Attached",
            "boolean",
            cells.field("status", "attached", default=False),
            described(_STORAGE + "VolumeAttachmentStatus", "attached"),
        ),
        cells.age_column(),
    ),
}
