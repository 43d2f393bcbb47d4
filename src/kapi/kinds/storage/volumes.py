"""PersistentVolume and PersistentVolumeClaim: defaults, what a binding may change, validation,
tables.

https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kapi.clock import rfc3339
from kapi.errors import (
    FieldError,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)
from kapi.kinds.pods import volume_sources as sources
from kapi.kinds.pods.scheduling import validate_node_selector
from kapi.kinds.shared import checks, claim_specs, go_view
from kapi.kinds.shared.amounts import rounding
from kapi.kinds.shared.node_labels import term_warnings
from kapi.kinds.storage import claims as core_claims
from kapi.kinds.storage import volume_columns as storage_columns
from kapi.kinds.storage.volume_columns import CLASS_ANNOTATION
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
_OPTIONS_ANNOTATION = "volume.beta.kubernetes.io/mount-options"
_RECLAIM = ("Delete", "Recycle", "Retain")
NameCheck = Callable[[str, str], list[FieldError]]  # (name, path)
_ONE_TYPE = "may not specify more than 1 volume type"


def _local(source: Json, path: str) -> list[FieldError]:
    if not source.get("path"):
        return [required(f"{path}.path")]
    return sources.no_backsteps(source["path"], f"{path}.path")


def _csi(source: Json, path: str) -> list[FieldError]:
    out = claim_specs.validate_csi_driver_name(source.get("driver", ""), f"{path}.driver")
    out += sources.needs(source, path, "volumeHandle")
    for name in (
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):
        ref = source.get(name)
        if ref is not None:
            out += _named(ref, f"{path}.{name}", "name", checks.dns_subdomain)
            out += _named(ref, f"{path}.{name}", "namespace", checks.dns_label)
    return out


def _named(ref: Json, path: str, field: str, check: NameCheck) -> list[FieldError]:
    value = ref.get(field, "")
    return check(value, f"{path}.{field}") if value else [required(f"{path}.{field}")]


def _glusterfs(source: Json, path: str) -> list[FieldError]:
    out = sources.needs(source, path, "endpoints", "path")
    namespace, where = source.get("endpointsNamespace"), f"{path}.endpointsNamespace"
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        out.append(invalid_value(where, namespace, text))
    elif namespace is not None:
        out += checks.dns_label(namespace, where)
    return out


def _azure_file(source: Json, path: str) -> list[FieldError]:
    out = sources.needs(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        out.append(required(f"{path}.secretNamespace"))
    return out


# In the order in which the real server looks at them.
_SOURCES: Mapping[str, sources.Check] = {
    "hostPath": sources.host_path,
    "gcePersistentDisk": sources.partitioned("pdName"),
    "awsElasticBlockStore": sources.partitioned("volumeID"),
    "glusterfs": _glusterfs,
    "flocker": sources.flocker,
    "nfs": sources.nfs,
    "rbd": sources.requires("monitors", "image"),
    "quobyte": sources.quobyte,
    "cephfs": sources.requires("monitors"),
    "iscsi": sources.with_secret(sources.persistent_iscsi, "name"),
    "cinder": sources.with_secret(sources.requires("volumeID"), "name", "namespace"),
    "fc": sources.fc,
    "flexVolume": sources.flex,
    "azureFile": _azure_file,
    "vsphereVolume": sources.requires("volumePath"),
    "photonPersistentDisk": sources.requires("pdID"),
    "azureDisk": sources.azure_disk,
    "portworxVolume": sources.requires("volumeID"),
    "scaleIO": sources.requires("gateway", "system", "volumeName"),
    "local": _local,
    "storageos": sources.with_secret(sources.storage_os, "name", "namespace"),
    "csi": _csi,
}


class PersistentVolumeStrategy(Strategy):
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {
                "phase": "Pending",
                "lastPhaseTransitionTime": rfc3339(context.now),
            }
        elif context.subresource == "status":
            status, before = obj.setdefault("status", {}), old.get("status") or {}
            stamp = status.get("lastPhaseTransitionTime")
            if status.get("phase") != before.get("phase") and (
                stamp is None or stamp == before.get("lastPhaseTransitionTime")
            ):
                status["lastPhaseTransitionTime"] = rfc3339(context.now)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return []
        spec = obj.get("spec") or {}
        out = validate_volume_spec(spec, "spec")
        if old is not None:
            out += _volume_changes(spec, old.get("spec") or {})
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        return [] if context.subresource else _volume_warnings(obj)


def validate_volume_spec(spec: Json, path: str, *, inline: bool = False) -> list[FieldError]:
    """A PersistentVolumeSpec; `inline`: in a VolumeAttachment, where nothing claims it."""
    out: list[FieldError] = []
    modes: Sequence[str] = spec.get("accessModes") or ()
    if inline:
        out += _inline_first(spec, path)
    if not modes:
        out.append(required(f"{path}.accessModes"))
    for mode in modes:
        if mode not in claim_specs.ACCESS_MODES:
            out.append(not_supported(f"{path}.accessModes", mode, claim_specs.ACCESS_MODES))
    if "ReadWriteOncePod" in modes and any(
        m != "ReadWriteOncePod" and m in claim_specs.ACCESS_MODES for m in modes
    ):
        text = "may not use ReadWriteOncePod with other access modes"
        out.append(field_forbidden(f"{path}.accessModes", text))
    out += _inline(spec, path) if inline else _owned(spec, path)
    out += _volume_sources(spec, path)
    host = spec.get("hostPath")
    if (
        host is not None
        and posixpath.normpath(host.get("path", "")) == "/"
        and spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    ):
        text = "may not be 'recycle' for a hostPath mount of '/'"
        out.append(field_forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    name = spec.get("storageClassName", "")
    if name:
        if inline:
            out.append(_not_inline(f"{path}.storageClassName"))
        else:
            out += checks.dns_subdomain(name, f"{path}.storageClassName")
    kind = spec.get("volumeMode")
    if inline and kind not in (None, "Filesystem"):
        text = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        out.append(field_forbidden(f"{path}.volumeMode", text))
    elif kind is not None and kind not in claim_specs.VOLUME_MODES:
        out.append(not_supported(f"{path}.volumeMode", kind, claim_specs.VOLUME_MODES))
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None and not inline:
        where = f"{path}.volumeAttributesClassName"
        if not attributes:
            out.append(required(where, "an empty string is disallowed"))
        else:
            out += checks.dns_subdomain(attributes, where)
        if spec.get("csi") is None:
            text = "has to be specified when using volumeAttributesClassName"
            out.append(required(f"{path}.csi", text))
    return out


def _not_inline(path: str) -> FieldError:
    return field_forbidden(path, "may not be specified in the context of inline volumes")


def _inline_first(spec: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    if spec.get("claimRef") is not None:
        out.append(_not_inline(f"{path}.claimRef"))
    if spec.get("capacity"):
        out.append(_not_inline(f"{path}.capacity"))
    if spec.get("csi") is None:
        text = "has to be specified in the context of inline volumes"
        out.append(required(f"{path}.csi", text))
    return out


def _inline(spec: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    if spec.get("persistentVolumeReclaimPolicy", "") not in ("", "Retain"):
        text = "may only be Retain in the context of inline volumes"
        out.append(field_forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    if spec.get("nodeAffinity") is not None:
        out.append(_not_inline(f"{path}.nodeAffinity"))
    return out


def _owned(spec: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    capacity = spec.get("capacity")
    if not capacity:
        out.append(required(f"{path}.capacity"))
    if not capacity or "storage" not in capacity or len(capacity) > 1:
        shown = None if capacity is None else checks.go_json(capacity)
        out.append(not_supported(f"{path}.capacity", shown, ("storage",)))
    for name, amount in (capacity or {}).items():
        where = f"{path}.capacity[{name}]"
        if checks.number(amount) < 0:
            whole = int(checks.number(amount))
            out.append(invalid_value(where, whole, "must be a valid resource quantity"))
        if checks.number(amount) <= 0:
            out.append(invalid_value(where, amount, "must be greater than zero"))
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    if policy:
        out += checks.one_of(policy, f"{path}.persistentVolumeReclaimPolicy", _RECLAIM)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        where = f"{path}.nodeAffinity.required"
        if affinity.get("required") is None:
            out.append(required(where, "must specify required node constraints"))
        else:
            out += validate_node_selector(affinity["required"], where)
    return out


def _volume_sources(spec: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    given = [name for name in _SOURCES if spec.get(name) is not None]
    for i, name in enumerate(given):
        if i and name != "flexVolume":  # the real server counts this one in any case
            shown = sources.SHOWN_FORBIDDEN.get(name, name)
            out.append(field_forbidden(f"{path}.{shown}", _ONE_TYPE))
        else:
            out += _SOURCES[name](spec[name], f"{path}.{sources.SHOWN.get(name, name)}")
    if given[:1] == ["local"] and spec.get("nodeAffinity") is None:
        out.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    if not given:
        out.append(required(path, "must specify a volume type"))
    return out


def _volume_changes(spec: Json, old: Json) -> list[FieldError]:
    out: list[FieldError] = []
    source = {name: spec[name] for name in _SOURCES if spec.get(name) is not None}
    before = {name: old[name] for name in _SOURCES if old.get(name) is not None}
    if "csi" in source and "csi" in before:
        late = {
            name: source["csi"][name]
            for name in ("controllerExpandSecretRef",)
            if name in source["csi"] and name not in before["csi"]
        }
        before["csi"] = {**before["csi"], **late}
    if source != before:
        where = "spec.persistentvolumesource"
        difference = go_view.diff(_CORE + "PersistentVolumeSource", before, source)
        text = f"{where} is immutable after creation\n{difference}"
        out.append(field_forbidden(where, text))
    if spec.get("volumeMode") != old.get("volumeMode"):
        out.append(invalid_value("volumeMode", spec.get("volumeMode"), checks.IMMUTABLE))
    affinity, fixed = spec.get("nodeAffinity"), old.get("nodeAffinity")
    if fixed is not None and affinity != fixed:
        shown = go_view.struct(_CORE + "VolumeNodeAffinity", affinity)
        text = "field is immutable, except for updating from beta label to GA"
        out.append(invalid_value("nodeAffinity", shown, text))
    return out


_RETIRED = (
    ("cephfs", "v1.28", "v1.31"),
    ("photonPersistentDisk", "v1.11", "v1.16"),
    ("scaleIO", "v1.16", "v1.22"),
    ("storageos", "v1.22", "v1.25"),
    ("glusterfs", "v1.25", "v1.26"),
    ("rbd", "v1.28", "v1.31"),
)
_CLASS_WARNING = 'deprecated since v1.8; use "storageClassName" attribute instead'


def _volume_warnings(obj: Json) -> list[str]:
    spec, annotations = obj.get("spec") or {}, obj["metadata"].get("annotations") or {}
    out = []
    if CLASS_ANNOTATION in annotations:
        out.append(f"metadata.annotations[{CLASS_ANNOTATION}]: {_CLASS_WARNING}")
    if _OPTIONS_ANNOTATION in annotations:
        out.append(
            f"metadata.annotations[{_OPTIONS_ANNOTATION}]: deprecated since v1.31; "
            'use "mountOptions" attribute instead'
        )
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        out.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    required_nodes = (spec.get("nodeAffinity") or {}).get("required") or {}
    for i, term in enumerate(required_nodes.get("nodeSelectorTerms") or ()):
        where = f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]"
        out += term_warnings(term, where, values=True)
    for name, deprecated, gone in _RETIRED:
        if spec.get(name) is not None:
            out.append(f"spec.{name}: deprecated in {deprecated}, non-functional in {gone}+")
    return out


DEFAULTS: Mapping[str, Any] = {
    _CORE + "PersistentVolumeSpec": (
        {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
        rounding("capacity"),
    ),
    _CORE + "PersistentVolumeStatus": {"phase": "Pending"},
    _CORE + "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    _CORE + "PersistentVolumeClaimStatus": (
        {"phase": "Pending"},
        rounding("capacity", "allocatedResources"),
    ),
    _CORE + "VolumeResourceRequirements": rounding("limits", "requests"),
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "persistentvolumes"): PersistentVolumeStrategy(),
    ("", "persistentvolumeclaims"): core_claims.PersistentVolumeClaimStrategy(),
}
COLUMNS = storage_columns.COLUMNS
