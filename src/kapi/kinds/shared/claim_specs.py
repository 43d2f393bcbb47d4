"""The spec of a persistent volume claim, wherever it stands: a claim, a StatefulSet's template, an
ephemeral volume.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#persistentvolumeclaims
"""

from __future__ import annotations

import re
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks
from kapi.registry import names, object_meta

Json = dict[str, Any]
Findings = list[FieldError]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
CSI_DRIVER_CHARACTERS_MAX = 63
_DRIVER = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")


def validate_claim_spec(spec: Json, path: str, old: Json | None = None) -> Findings:
    """`old`: the spec before an update; what was accepted then is not looked at again."""
    before = old or {}
    lenient = bool(checks.label_selector(before.get("selector"), ""))
    out: Findings = []
    modes = spec.get("accessModes") or ()
    if not modes:
        out.append(errors.required(f"{path}.accessModes", "at least 1 access mode is required"))
    if spec.get("selector") is not None:
        out += checks.label_selector(
            spec["selector"], f"{path}.selector", allow_invalid_values=lenient
        )
    for mode in modes:
        if mode not in ACCESS_MODES:
            out.append(errors.not_supported(f"{path}.accessModes", mode, ACCESS_MODES))
    if "ReadWriteOncePod" in modes and any(
        m != "ReadWriteOncePod" and m in ACCESS_MODES for m in modes
    ):
        text = "may not use ReadWriteOncePod with other access modes"
        out.append(errors.field_forbidden(f"{path}.accessModes", text))
    out += _storage(spec, f"{path}.resources[storage]")
    out += _class_name(spec, "storageClassName", path)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        out.append(errors.not_supported(f"{path}.volumeMode", mode, VOLUME_MODES))
    any_group = any(
        (before.get(field) or {}).get("apiGroup") is not None
        for field in ("dataSource", "dataSourceRef")
    )
    out += _data_sources(spec, path, any_group=any_group)
    return out + _class_name(spec, "volumeAttributesClassName", path)


def _storage(spec: Json, where: str) -> Findings:
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        return [errors.required(where)]
    if checks.number(amount) <= 0:
        return [errors.invalid_value(where, amount, "must be greater than zero")]
    return []  # parts of bytes are only warned of


def _class_name(spec: Json, field: str, path: str) -> Findings:
    name = spec.get(field)
    return checks.dns_subdomain(name, f"{path}.{field}") if name else []


def _data_sources(spec: Json, path: str, *, any_group: bool) -> Findings:
    out: Findings = []
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        out += _data_source(source, f"{path}.dataSource", any_group=any_group)
    if ref is not None:
        out += _data_source(ref, f"{path}.dataSourceRef", any_group=any_group)
        if ref.get("namespace"):
            where = f"{path}.dataSourceRef.namespace"
            out += checks.dns_label(ref["namespace"], where)
    if source is None or ref is None:
        return out
    # The value that is shown is a path without anything to show.
    if ref.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        out.append(errors.invalid_value(path, {}, text))
    elif not _same(source, ref):
        out.append(errors.invalid_value(path, {}, "must match dataSourceRef"))
    return out


def _data_source(source: Json, path: str, *, any_group: bool) -> Findings:
    out: Findings = []
    for field in ("name", "kind"):
        if not source.get(field):
            out.append(errors.required(f"{path}.{field}"))
    group = source.get("apiGroup") or ""
    if not group and source.get("kind", "") != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        out.append(errors.invalid_value(path, source.get("kind", ""), text))
    if group and not any_group:
        out += checks.dns_subdomain(group, f"{path}.apiGroup")
    return out


def _same(source: Json, ref: Json) -> bool:
    named = all((source.get(f) or "") == (ref.get(f) or "") for f in ("kind", "name"))
    return named and source.get("apiGroup") == ref.get("apiGroup")


_OF_NO_TEMPLATE = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def validate_template_metadata(meta: Json, path: str) -> Findings:
    """Of the metadata of a claim template only annotations and labels may be set."""
    out = object_meta.validate_annotations(meta.get("annotations") or {}, f"{path}.annotations")
    out += object_meta.validate_labels(meta.get("labels") or {}, f"{path}.labels")
    for field in _OF_NO_TEMPLATE:
        if meta.get(field):
            shown = "uID" if field == "uid" else field  # as the field of Go with a small letter
            out.append(errors.field_forbidden(f"{path}.{shown}", "cannot be set"))
    return out


def validate_csi_driver_name(name: str, path: str) -> Findings:
    if not name:
        return [errors.required(path)]
    out: Findings = []
    if len(name) > CSI_DRIVER_CHARACTERS_MAX:
        out.append(errors.too_long(path, CSI_DRIVER_CHARACTERS_MAX))
    return out + checks.each(path, name, names.dns_subdomain(name.lower()))
