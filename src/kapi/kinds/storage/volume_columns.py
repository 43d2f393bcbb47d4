"""Printer columns of PersistentVolume and PersistentVolumeClaim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi.kinds.shared import cells
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_SHORT_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(listed: Sequence[str] | None) -> str:
    found = listed or ()
    return ",".join(short for mode, short in _SHORT_MODES.items() if mode in found)


def _phase(obj: Json, now: float) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def _storage_class(obj: Json, now: float) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    if CLASS_ANNOTATION in annotations:
        return str(annotations[CLASS_ANNOTATION])
    return str((obj.get("spec") or {}).get("storageClassName") or "")


def _bound(read: cells.Cell) -> cells.Cell:
    """Of a claim that has no volume yet, there is nothing to show."""
    return lambda obj, now: read(obj, now) if (obj.get("spec") or {}).get("volumeName") else ""


def _claimed_size(obj: Json, now: float) -> str:
    return str(((obj.get("status") or {}).get("capacity") or {}).get("storage", "0"))


def _claim(obj: Json, now: float) -> str:
    ref = (obj.get("spec") or {}).get("claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def _capacity(obj: Json, now: float) -> str:
    return str(((obj.get("spec") or {}).get("capacity") or {}).get("storage", "0"))


_MODE_CELL = cells.field("spec", "volumeMode", default=cells.UNSET)
_ATTRIBUTES_CELL = cells.field("spec", "volumeAttributesClassName", default=cells.UNSET)

COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "persistentvolumes"): (
        cells.name_column(),
        cells.column(
            "Capacity",
            "string",
            _capacity,
            described("io.k8s.api.core.v1.PersistentVolumeSpec", "capacity"),
        ),
        cells.column(
            "Access Modes",
            "string",
            lambda obj, now: _modes((obj.get("spec") or {}).get("accessModes")),
            described("io.k8s.api.core.v1.PersistentVolumeSpec", "accessModes"),
        ),
        cells.column(
            "Reclaim Policy",
            "string",
            cells.field("spec", "persistentVolumeReclaimPolicy"),
            described("io.k8s.api.core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy"),
        ),
        cells.column(
            "Status",
            "string",
            _phase,
            described("io.k8s.api.core.v1.PersistentVolumeStatus", "phase"),
        ),
        cells.column(
            "Claim",
            "string",
            _claim,
            described("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef"),
        ),
        cells.column("StorageClass", "string", _storage_class, "StorageClass of the pv"),
        cells.column(
            "VolumeAttributesClass",
            "string",
            _ATTRIBUTES_CELL,
            "VolumeAttributesClass of the pv",
        ),
        cells.column(
            "Reason",
            "string",
            cells.field("status", "reason"),
            described("io.k8s.api.core.v1.PersistentVolumeStatus", "reason"),
        ),
        cells.age_column(),
        cells.column(
            "VolumeMode",
            "string",
            _MODE_CELL,
            described("io.k8s.api.core.v1.PersistentVolumeSpec", "volumeMode"),
            wide=True,
        ),
    ),
    ("", "persistentvolumeclaims"): (
        cells.name_column(),
        cells.column(
            "Status",
            "string",
            _phase,
            described("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "phase"),
        ),
        cells.column(
            "Volume",
            "string",
            cells.field("spec", "volumeName"),
            described("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "volumeName"),
        ),
        cells.column(
            "Capacity",
            "string",
            _bound(_claimed_size),
            described("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "capacity"),
        ),
        cells.column(
            "Access Modes",
            "string",
            _bound(lambda obj, now: _modes((obj.get("status") or {}).get("accessModes"))),
            described("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "accessModes"),
        ),
        cells.column("StorageClass", "string", _storage_class, "StorageClass of the pvc"),
        cells.column(
            "VolumeAttributesClass",
            "string",
            _ATTRIBUTES_CELL,
            "VolumeAttributesClass of the pvc",
        ),
        cells.age_column(),
        cells.column(
            "VolumeMode",
            "string",
            _MODE_CELL,
            described("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "volumeMode"),
            wide=True,
        ),
    ),
}
