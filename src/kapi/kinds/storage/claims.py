"""PersistentVolumeClaim: what a client may change later, validation. Claim specs stand in
`kinds/shared/claim_specs.py`; `volumes.py` lists what stands here.
"""

from __future__ import annotations

import copy
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value
from kapi.kinds.pods.warnings import claim_warnings
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
            return
        spec = obj.setdefault("spec", {})
        before = (old or {}).get("spec") or {}
        if old is None:
            obj["status"] = {"phase": "Pending"}
        fresh = "dataSource" not in before and "dataSourceRef" not in before
        if fresh and "dataSource" in spec and not _known_source(spec["dataSource"]):
            spec.pop("dataSource")  # silently, as it always was
        _normalize_sources(spec)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _claim_status(obj.get("status") or {})
        spec = obj.get("spec") or {}
        out = claim_specs.validate_claim_spec(spec, "spec")
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
    annotation = (old["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    now = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    upgraded = annotation is not None and before.get("storageClassName") is None
    if upgraded and spec.get("storageClassName") == annotation:
        spec.pop("storageClassName", None)
    elif annotation is not None and now != annotation:
        where = f"metadata.annotations[{CLASS_ANNOTATION}]"
        out.append(invalid_value(where, now or "", checks.IMMUTABLE))
    if before.get("storageClassName") is None and annotation is None:
        spec.pop("storageClassName", None)
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


def _attributes_class(spec: Json, old: Json) -> list[FieldError]:
    where = "spec.volumeAttributesClassName"
    if old.get("volumeAttributesClassName") and not spec.get("volumeAttributesClassName"):
        kind = "nil" if spec.get("volumeAttributesClassName") is None else "an empty string"
        return [field_forbidden(where, f"update from non-nil value to {kind} is forbidden")]
    return []


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


def _claim_status(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    for field in ("capacity", "allocatedResources"):
        for name, amount in (status.get(field) or {}).items():
            if checks.number(amount) < 0:
                where = f"status.{field}[{name}]"
                whole = int(checks.number(amount))
                out.append(invalid_value(where, whole, "must be a valid resource quantity"))
    return out
