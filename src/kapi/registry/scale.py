"""The scale subresource: a Scale is a view of two fields of its parent. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.errors import FieldError

Json = dict[str, Any]
_SCALE_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def selector_text(selector: Any) -> str:
    """A label selector, or the plain map of a ReplicationController, as one line.

    Labels come in their order, then the expressions; an empty one is the empty text.
    """
    if not selector:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
    parts = [(k, f"{k}={v}") for k, v in (selector.get("matchLabels") or {}).items()]
    for e in selector.get("matchExpressions") or ():
        key, operator, values = e["key"], e["operator"], sorted(e.get("values") or ())
        listed = ",".join(values)
        text = {
            "In": f"{key} in ({listed})",
            "NotIn": f"{key} notin ({listed})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(operator, key)
        parts.append((key, text))
    return ",".join(text for _, text in sorted(parts, key=lambda p: p[0]))


def to_scale(obj: Json) -> Json:
    """The Scale of an object with spec.replicas, spec.selector and status.replicas."""
    meta = obj["metadata"]
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    scaled: Json = {"replicas": spec.get("replicas") or 0}
    out_status: Json = {"replicas": status.get("replicas") or 0}
    text = selector_text(spec.get("selector"))
    if text:
        out_status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in _SCALE_META if name in meta},
        "spec": {k: v for k, v in scaled.items() if v},
        "status": out_status,
    }


def validate_scale(scale: Json) -> list[FieldError]:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        return [
            errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        ]
    return []


# -- who owns the replicas ------------------------------------------------------------------------

_REPLICAS: Json = {"f:spec": {"f:replicas": {}}}
_KEY = ("manager", "operation", "subresource")


def _owns_replicas(entry: Json) -> bool:
    spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
    return "f:replicas" in spec


def _key(entry: Json) -> tuple[str, ...]:
    return tuple(entry.get(name, "") for name in _KEY)


def owners_for_scale(managed: list[Json]) -> list[Json]:
    """The owners of an object's replicas, as managedFields of its Scale."""
    return [
        {**entry, "apiVersion": "autoscaling/v1", "fieldsV1": _REPLICAS}
        for entry in managed
        if _owns_replicas(entry)
    ]


def owners_from_scale(managed: list[Json], scale: list[Json], api_version: str) -> list[Json]:
    """The object's managedFields after those of its Scale changed; these carry no time."""
    now = {_key(entry): entry for entry in scale}
    out = []
    for entry in managed:
        mine = now.pop(_key(entry), None)
        if mine is None and _owns_replicas(entry):
            spec = {k: v for k, v in entry["fieldsV1"]["f:spec"].items() if k != "f:replicas"}
            fields = {**entry["fieldsV1"], "f:spec": spec}
            if not spec:
                del fields["f:spec"]
            if fields:
                out.append({**entry, "fieldsV1": fields})
            continue
        out.append(entry)
    for entry in now.values():
        fresh = {**entry, "apiVersion": api_version, "fieldsV1": _REPLICAS}
        fresh.pop("time", None)
        out.append(fresh)
    return out
