"""storage.k8s.io: StorageClass, VolumeAttributesClass, CSIDriver, CSINode, CSIStorageCapacity,
VolumeAttachment.

https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kapi.kinds.shared import checks, claim_specs, declared, formats, go_view
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.declared import Field, Struct
from kapi.kinds.shared.node_labels import OLD_NODE_LABELS, selector_warnings
from kapi.kinds.storage import class_columns as storage_tables
from kapi.kinds.storage.volumes import validate_volume_spec
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "storage.k8s.io"
_STORAGE = "io.k8s.api.storage.v1."
PARAMETERS_MAX = 512
PARAMETERS_BYTES_MAX = 256 * 1024  # of all keys and values
METADATA_BYTES_MAX = 256 * 1024
ERROR_BYTES_MAX = 1024
NODE_ID_CHARACTERS_MAX = 256
TOKEN_SECONDS_MIN = 600
UPDATE_SECONDS_MIN = 10
_BINDING = ("Immediate", "WaitForFirstConsumer")
_FS_GROUP = ("File", "None", "ReadWriteOnceWithFSType")


# -- classes ------------------------------------------------------------------------------------


class StorageClassStrategy(Plain):
    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        return [
            f"allowedTopologies[{i}].matchLabelExpressions[{j}].key: {OLD_NODE_LABELS[e['key']]}"
            for i, term in enumerate(obj.get("allowedTopologies") or ())
            for j, e in enumerate(term.get("matchLabelExpressions") or ())
            if e.get("key") in OLD_NODE_LABELS
        ]

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        name = obj.get("provisioner", "")
        out = checks.qualified_name(name.lower(), "provisioner") if name else []
        out += _parameters(obj.get("parameters") or {}, allow_empty=True)
        policy = obj.get("reclaimPolicy")
        if policy:
            out += checks.one_of(policy, "reclaimPolicy", ("Delete", "Retain"))
        mode = obj.get("volumeBindingMode")
        if mode is None:
            out.append(required("volumeBindingMode"))
        else:
            out += checks.one_of(mode, "volumeBindingMode", _BINDING)
        out += _topologies(obj.get("allowedTopologies") or [])
        return out + declared.findings(_DECLARED, "StorageClass", obj, old)


def _provisioner(name: str, path: str) -> list[FieldError]:
    return checks.qualified_name(name.lower(), path) if name else [required(path)]


def _parameters(parameters: Mapping[str, str], *, allow_empty: bool) -> list[FieldError]:
    out: list[FieldError] = []
    if len(parameters) > PARAMETERS_MAX:
        out.append(too_long("parameters", PARAMETERS_MAX))
        return out
    size = 0
    for key, value in parameters.items():
        if not key:
            out.append(invalid_value("parameters", key, "field can not be empty."))
        size += len(key.encode()) + len(value.encode())
    if size > PARAMETERS_BYTES_MAX:
        out.append(too_long("parameters", PARAMETERS_BYTES_MAX))
    if not parameters and not allow_empty:
        out.append(required("parameters", "must contain at least one key/value pair"))
    return out


def _topologies(terms: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    # As many empty terms as there are terms count as seen, so an empty one always repeats some.
    seen: list[dict[str, frozenset[str]]] = [{} for _ in terms]
    for i, term in enumerate(terms):
        path = f"allowedTopologies[{i}].matchLabelExpressions"
        found: dict[str, frozenset[str]] = {}
        for k, expression in enumerate(term.get("matchLabelExpressions") or ()):
            out += _expression(expression, f"{path}[{k}]")
            key = expression.get("key", "")
            if key in found:
                out.append(duplicate(f"{path}[{k}].key", key))
            else:
                found[key] = frozenset(expression.get("values") or ())
        out += [duplicate(path, "") for earlier in seen if earlier == found]
        seen.append(found)
    return out


def _expression(expression: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    values = expression.get("values") or []
    if not values:
        out.append(required(f"{path}.values"))
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            out.append(duplicate(f"{path}.values[{i}]", value))
        seen.add(value)
    return out + checks.qualified_name(expression.get("key", ""), f"{path}.key")


class VolumeAttributesClassStrategy(Plain):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if old is not None:
            for name in ("driverName", "parameters"):
                if (obj.get(name) or None) != (old.get(name) or None):
                    out.append(field_forbidden(name, f"updates to {name} are forbidden."))
        out += _provisioner(obj.get("driverName", ""), "driverName")
        return out + _parameters(obj.get("parameters") or {}, allow_empty=False)


# -- drivers ------------------------------------------------------------------------------------


def _driver_defaults(spec: Json) -> None:
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


class CSIDriverStrategy(Plain):
    unconditional_update = False

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is not None and obj.get("spec") != old.get("spec"):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        out = _driver(spec)
        if old is not None:
            before = old.get("spec") or {}
            for name, path in _DRIVER_FIXED:
                out += checks.immutable(spec.get(name), before.get(name), path)
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        spec = obj.get("spec") or {}
        if spec.get("tokenRequests") and spec.get("serviceAccountTokenInSecrets") is None:
            return [
                "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set "
                "to true to prevent possible logging of tokens in volume attributes"
            ]
        return []


# What never changes, and where the real server finds it changed.
_DRIVER_FIXED = (
    ("attachRequired", "spec.attachedRequired"),
    ("volumeLifecycleModes", "spec.volumeLifecycleModes"),
)


def _driver(spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    policy = spec.get("fsGroupPolicy")
    if policy is not None:
        out += checks.one_of(policy, "spec.fsGroupPolicy", _FS_GROUP)
    out += _token_requests(spec.get("tokenRequests") or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in ("Persistent", "Ephemeral"):
            known = ("Persistent", "Ephemeral")
            out.append(not_supported("spec.volumeLifecycleModes", mode, known))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < UPDATE_SECONDS_MIN:
        text = f"must be greater than or equal to {UPDATE_SECONDS_MIN} seconds"
        out.append(invalid_value("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    if spec.get("serviceAccountTokenInSecrets") is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        value = spec["serviceAccountTokenInSecrets"]
        out.append(invalid_value("spec.serviceAccountTokenInSecrets", value, text))
    return out


def _token_requests(requests: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, request in enumerate(requests):
        path = f"spec.tokenRequests[{i}]"
        audience = request.get("audience", "")
        if audience in seen:
            out.append(duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is None:
            continue
        where = f"{path}.expirationSeconds"
        if seconds < TOKEN_SECONDS_MIN:
            text = "may not specify a duration less than 10 minutes"
            out.append(invalid_value(where, seconds, text))
        if seconds > 1 << 32:
            text = "may not specify a duration larger than 2^32 seconds"
            out.append(invalid_value(where, seconds, text))
    return out


class CSINodeStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        seen: set[str] = set()
        drivers = (obj.get("spec") or {}).get("drivers") or []
        for i, driver in enumerate(drivers):
            out += _node_driver(driver, f"spec.drivers[{i}]", seen)
        known = ((old or {}).get("spec") or {}).get("drivers") or ()
        for before in known:
            for driver in drivers:
                same = before.get("name") == driver.get("name")
                if same and _fixed(before) != _fixed(driver):
                    shown = go_view.struct(_STORAGE + "CSINodeDriver", _fixed(driver))
                    out.append(invalid_value("spec.drivers", shown, checks.IMMUTABLE))
        return out


def _fixed(driver: Json) -> Json:
    """A driver but for the number of volumes, which may change."""
    return {name: value for name, value in driver.items() if name != "allocatable" and value}


def _node_driver(driver: Json, path: str, seen: set[str]) -> list[FieldError]:
    name, node = driver.get("name", ""), driver.get("nodeID", "")
    out = claim_specs.validate_csi_driver_name(name, f"{path}.name")
    if not node:
        out.append(required(f"{path}.nodeID"))
    elif len(node) > NODE_ID_CHARACTERS_MAX:
        text = f"must be {NODE_ID_CHARACTERS_MAX} characters or less"
        out.append(invalid_value(f"{path}.nodeID", node, text))
    count = (driver.get("allocatable") or {}).get("count")
    if count is not None:
        out += checks.non_negative(count, f"{path}.allocatable.count")
    if name in seen:
        out.append(duplicate(f"{path}.name", name))
    seen.add(name)
    keys: set[str] = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            out.append(required(path))
        if key in keys:
            out.append(duplicate(path, key))
        keys.add(key)
        out += checks.qualified_name(key, path)
    return out


class CSIStorageCapacityStrategy(Plain):
    unconditional_update = False

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        topology, name = obj.get("nodeTopology"), obj.get("storageClassName", "")
        out = checks.label_selector(topology, "nodeTopology")
        out += checks.dns_subdomain(name, "storageClassName")
        amount = obj.get("capacity")
        if amount is not None and checks.number(amount) < 0:
            out.append(invalid_value("capacity", amount, checks.NEGATIVE))
        if old is not None:
            out += checks.immutable(topology, old.get("nodeTopology"), "nodeTopology")
            before = old.get("storageClassName", "")
            out += checks.immutable(name, before, "storageClassName")
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        return selector_warnings(obj.get("nodeTopology") or {}, "nodeTopology")


# -- attachments --------------------------------------------------------------------------------


class VolumeAttachmentStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {"attached": False}

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        source = spec.get("source") or {}
        out = _source(source, "spec.source")
        out += checks.dns_subdomain(spec.get("nodeName", ""), "spec.nodeName")
        out += _attachment_status(obj.get("status") or {})
        name = source.get("persistentVolumeName")
        if old is None and name is not None and context.version == "v1":
            out += checks.dns_subdomain(name, "spec.source.persistentVolumeName")
        return out + declared.findings(_DECLARED, "VolumeAttachment", obj, old)


def _source(source: Json, path: str) -> list[FieldError]:
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if name is None and inline is None:
        return [required(path, text)]
    if name is not None and inline is not None:
        return [field_forbidden(path, text)]
    if name is not None:
        text = "must specify non empty persistentVolumeName"
        return [] if name else [required(f"{path}.persistentVolumeName", text)]
    return validate_volume_spec(inline or {}, f"{path}.inlineVolumeSpec", inline=True)


def _attachment_status(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    size = 0
    for key, value in (status.get("attachmentMetadata") or {}).items():
        size += len(key.encode()) + len(value.encode())
    if size > METADATA_BYTES_MAX:
        out.append(too_long("status.attachmentMetadata", METADATA_BYTES_MAX))
    for name in ("attachError", "detachError"):
        error = status.get(name) or {}
        if len(error.get("message", "").encode()) > ERROR_BYTES_MAX:
            # The real server names another limit than the one that it keeps.
            out.append(too_long(f"status.{name}.message", METADATA_BYTES_MAX))
        code = error.get("errorCode")
        if code is not None and code < 0:
            text = f"must be between 0 and {(1 << 31) - 1}, inclusive"
            out.append(invalid_value(f"status.{name}.errorCode", code, text))
    return out


# What the types declare.
_FIXED = (declared.immutable,)
_DECLARED: declared.Types = {
    "StorageClass": Struct(
        fields=(
            Field(name="provisioner", gates=(declared.required, declared.immutable)),
            Field(name="parameters", gates=_FIXED),
            Field(name="reclaimPolicy", gates=_FIXED, pointer=True),
            Field(name="volumeBindingMode", gates=_FIXED, pointer=True),
        )
    ),
    "VolumeAttachment": Struct(
        fields=(Field(name="spec", gates=_FIXED, type="VolumeAttachmentSpec"),)
    ),
    "VolumeAttachmentSpec": Struct(
        fields=(
            Field(
                name="attacher",
                gates=(declared.required,),
                checks=(formats.long_name_caseless, formats.driver_length),
            ),
        )
    ),
}


DEFAULTS: Mapping[str, Any] = {
    _STORAGE + "StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    _STORAGE + "CSIDriverSpec": (
        {
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": False,
            "seLinuxMount": False,
            "preventPodSchedulingIfMissing": False,
        },
        _driver_defaults,
    ),
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "storageclasses"): StorageClassStrategy(),
    (GROUP, "volumeattributesclasses"): VolumeAttributesClassStrategy(),
    (GROUP, "csidrivers"): CSIDriverStrategy(),
    (GROUP, "csinodes"): CSINodeStrategy(),
    (GROUP, "csistoragecapacities"): CSIStorageCapacityStrategy(),
    (GROUP, "volumeattachments"): VolumeAttachmentStrategy(),
}
COLUMNS = storage_tables.COLUMNS
