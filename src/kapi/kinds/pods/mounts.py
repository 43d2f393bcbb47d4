"""Where a container mounts volumes and finds block devices.

Called by `containers.py` only; `volumes` are those of the pod that are right.
https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.volume_sources import descending_path, no_backsteps

Json = dict[str, Any]
Findings = list[FieldError]
Volumes = Mapping[str, Json]

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
READ_ONLY_MODES = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(
    mounts: Sequence[Json],
    devices: Sequence[Json],
    container: Json,
    path: str,
    volumes: Volumes,
) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, mount in enumerate(mounts):
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            out.append(errors.required(f"{path}[{i}].name"))
        if name not in volumes:
            out.append(errors.field_not_found(f"{path}[{i}].name", name))
        if not target:
            out.append(errors.required(f"{path}[{i}].mountPath"))
        if target in seen:
            out.append(errors.invalid_value(f"{path}[{i}].mountPath", target, "must be unique"))
        seen.add(target)
        for device in devices:
            if device.get("name", "") == name:
                text = "must not already exist in volumeDevices"
                out.append(errors.invalid_value(f"{path}[{i}].name", name, text))
            if device.get("devicePath", "") == target:
                text = "must not already exist as a path in volumeDevices"
                out.append(errors.invalid_value(f"{path}[{i}].mountPath", target, text))
        if len(mount) > 2:
            out += _mount_details(mount, container, path, i)
    return out


def _mount_details(mount: Json, container: Json, path: str, index: int) -> Findings:
    """The rarer fields; of some the server gives no index."""
    out: Findings = []
    sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub_path:
        out += descending_path(sub_path, f"{path}.subPath")
    if expression:
        if sub_path:
            text = "subPathExpr and subPath are mutually exclusive"
            out.append(errors.invalid_value(f"{path}[{index}].subPathExpr", expression, text))
        out += descending_path(expression, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        where = f"{path}.mountPropagation"
        privileged = (container.get("securityContext") or {}).get("privileged")
        if propagation not in PROPAGATIONS:
            out.append(errors.not_supported(where, propagation, PROPAGATIONS))
        if propagation == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            out.append(errors.field_forbidden(where, text))
    mode = mount.get("recursiveReadOnly")
    if mode is not None:
        out += _recursive(mount, mode, propagation, f"{path}.recursiveReadOnly")
    return out


def _recursive(mount: Json, mode: str, propagation: str | None, where: str) -> Findings:
    if mode not in READ_ONLY_MODES:
        return [errors.not_supported(where, mode, READ_ONLY_MODES)]
    out: Findings = []
    if mode == "Disabled":
        return out
    if not mount.get("readOnly"):
        text = "may only be specified when readOnly is true"
        out.append(errors.field_forbidden(where, text))
    if propagation not in (None, "None"):
        text = "may only be specified when mountPropagation is None or not specified"
        out.append(errors.field_forbidden(where, text))
    return out


_FOR_BLOCK = ("persistentVolumeClaim", "ephemeral")


def validate_devices(
    devices: Sequence[Json], mounts: Sequence[Json], path: str, volumes: Volumes
) -> Findings:
    out: Findings = []
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    mounted = {m.get("name", "") for m in mounts}
    mount_paths = {m.get("mountPath", "") for m in mounts}
    for i, device in enumerate(devices):
        where, name, target = f"{path}[{i}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            out.append(errors.required(f"{where}.name"))
        if name in seen_names:
            out.append(errors.invalid_value(f"{where}.name", name, "must be unique"))
        volume = volumes.get(name)
        if volume is None:
            out.append(errors.field_not_found(f"{where}.name", name))
        elif not any(kind in volume for kind in _FOR_BLOCK):
            text = (
                "can only use volume source type of PersistentVolumeClaim or Ephemeral "
                "for block mode"
            )
            out.append(errors.invalid_value(f"{where}.name", name, text))
        if not target:
            out.append(errors.required(f"{where}.devicePath"))
        if target in seen_paths:
            out.append(errors.invalid_value(f"{where}.devicePath", target, "must be unique"))
        if target and no_backsteps(target, where):
            text = "can not contain backsteps ('..')"
            out.append(errors.invalid_value(f"{where}.devicePath", target, text))
        else:
            seen_paths.add(target)
        if name in mounted:
            text = "must not already exist in volumeMounts"
            out.append(errors.invalid_value(f"{where}.name", name, text))
        if target in mount_paths:
            text = "must not already exist as a path in volumeMounts"
            out.append(errors.invalid_value(f"{where}.devicePath", target, text))
        if name:
            seen_names.add(name)
    return out
