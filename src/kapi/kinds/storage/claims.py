"""PersistentVolumeClaim: what a client may change later, validation. Claim specs stand in
`kinds/shared/claim_specs.py`; `volumes.py` lists what stands here.
"""

from __future__ import annotations

import copy
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported
from kapi.kinds.pods.volume_warnings import claim_warnings
from kapi.kinds.shared import checks, claim_specs, go_view
from kapi.kinds.storage.volume_columns import CLASS_ANNOTATION
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
_CLASS_WARNING = 'deprecated since v1.8; use "storageClassName" attribute instead'


def _normalize_sources(spec: Json) -> None:
    """dataSource and dataSourceRef say the same, where both can."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if reference is not None and reference.get("namespace"):
        return
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and _known_source(reference):
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}


def _known_source(source: Json | None) -> bool:
    if source is None:
        return False
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    return (group, kind) in (
        ("", "PersistentVolumeClaim"),
        ("snapshot.storage.k8s.io", "VolumeSnapshot"),
    )


class PersistentVolumeClaimStrategy(Strategy):
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if context.subresource:
            if not ((old or {}).get("status") or {}).get("healthStatus"):
                # Of the gate CSIVolumeHealth, which is off.
                (obj.get("status") or {}).pop("healthStatus", None)
            return
        spec = obj.setdefault("spec", {})
        before = (old or {}).get("spec") or {}
        if old is None:
            obj["status"] = {"phase": "Pending"}
        if not before.get("dataSourceRef") and (spec.get("dataSourceRef") or {}).get("namespace"):
            spec.pop("dataSourceRef")  # of the gate CrossNamespaceVolumeDataSource, which is off
        source = spec.get("dataSource")
        alone = before.get("dataSource") is None and spec.get("dataSourceRef") is None
        if alone and source is not None and not _known_source(source):
            spec.pop("dataSource")  # silently, as it always was
        _normalize_sources(spec)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _claim_status(obj.get("status") or {})
        spec = obj.get("spec") or {}
        before = None if old is None else old.get("spec")
        out = claim_specs.validate_claim_spec(spec, "spec", before)
        if old is not None:
            out += _claim_changes(obj, old)
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        out = []
        annotations = obj["metadata"].get("annotations") or {}
        if CLASS_ANNOTATION in annotations:
            out.append(f"metadata.annotations[{CLASS_ANNOTATION}]: {_CLASS_WARNING}")
        return out + claim_warnings(obj.get("spec") or {}, "spec")


def _claim_changes(obj: Json, old: Json) -> list[FieldError]:
    """A claim stays as it is, but for its volume once, its size and its attributes class."""
    out: list[FieldError] = []
    spec, before = copy.deepcopy(obj.get("spec") or {}), copy.deepcopy(old.get("spec") or {})
    _normalize_sources(before)
    size, former = _size(spec), _size(before)
    if not before.get("volumeName"):
        _copy(spec, before, "volumeName", reverse=True)
    out += _class_changes(obj, old, spec, before)
    bound = (obj.get("status") or {}).get("phase") == "Bound"
    requests = (spec.get("resources") or {}).get("requests")
    if bound and requests is not None and former is not None:
        requests["storage"] = former
    _copy(spec, before, "volumeAttributesClassName")
    if spec != before:
        difference = go_view.diff(_CORE + "PersistentVolumeClaimSpec", before, spec)
        text = (
            "spec is immutable after creation except resources.requests and "
            f"volumeAttributesClassName for bound claims\n{difference}"
        )
        out.append(field_forbidden("spec", text))
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    amount = checks.number(size or "0")
    if amount < checks.number(former or "0") and amount <= checks.number(held):
        text = "field can not be less than status.capacity"
        out.append(field_forbidden("spec.resources.requests.storage", text))
    new_mode = (obj.get("spec") or {}).get("volumeMode")
    if new_mode != before.get("volumeMode"):
        out.append(invalid_value("volumeMode", new_mode, checks.IMMUTABLE))
    return out + _attributes_class(obj.get("spec") or {}, old.get("spec") or {})


def _class_changes(obj: Json, old: Json, spec: Json, before: Json) -> list[FieldError]:
    """The storage class may be named once by a claim that named none; what is so allowed is made
    equal in both specs.
    """
    former = (old["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    now = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    unnamed = before.get("storageClassName") is None
    named = spec.get("storageClassName")
    if former is not None and unnamed and named == former and now in (None, former):
        spec.pop("storageClassName")
        return []
    out: list[FieldError] = []
    if (now or "") != (former or ""):
        where = f"metadata.annotations.{CLASS_ANNOTATION}"
        out.append(invalid_value(where, now or "", checks.IMMUTABLE))
    if named is not None and unnamed and former in (None, named):
        spec.pop("storageClassName")
    return out


def _attributes_class(spec: Json, old: Json) -> list[FieldError]:
    now, former = (s.get("volumeAttributesClassName") for s in (spec, old))
    if former is None or now == former or now:
        return []
    kind = "nil" if now is None else "an empty string"
    text = f"update from non-nil value to {kind} is forbidden"
    return [field_forbidden("spec.volumeAttributesClassName", text)]


def _copy(spec: Json, before: Json, name: str, *, reverse: bool = False) -> None:
    """Make one field equal on both sides, so that it does not count."""
    source, target = (spec, before) if reverse else (before, spec)
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)


def _size(spec: Json) -> str | None:
    found: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return found


_RESIZE_STATES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
    "NodeResizeInfeasible", "NodeResizePending",
)  # fmt: skip


def _claim_status(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    for name, amount in (status.get("capacity") or {}).items():
        out += _amount(amount, f"status.capacity[{name}]")
    where = "status.allocatedResourceStatus"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        out += _resource_key(name, where)
        if state not in _RESIZE_STATES:
            out.append(not_supported(where, name, _RESIZE_STATES))
    where = "status.allocatedResources"
    for name, amount in (status.get("allocatedResources") or {}).items():
        out += _resource_key(name, where) or _amount(amount, f"{where}[{name}]")
    return out


def _amount(amount: str, where: str) -> list[FieldError]:
    if checks.number(amount) >= 0:
        return []
    whole = int(checks.number(amount))
    return [invalid_value(where, whole, "must be a valid resource quantity")]


def _resource_key(name: str, where: str) -> list[FieldError]:
    """Of the resources of Kubernetes itself, only storage is one of a claim."""
    out = checks.qualified_name(name, where)
    native = "/" not in name or "kubernetes.io/" in name
    if not out and native and name != "storage":
        out.append(not_supported(where, name, ("storage",)))
    return out
