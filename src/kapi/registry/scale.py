"""The scale subresource: a Scale is a view of two fields of its parent. Pure.

Built-in kinds have them where `STANDARD` says and a label selector; custom ones say where.

https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.errors import ApiError, FieldError
from kapi.registry.go_text import go_text, go_type
from kapi.registry.resource import ScalePaths

Json = dict[str, Any]
Path = tuple[str, ...]
STANDARD = ScalePaths(("spec", "replicas"), ("status", "replicas"))
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


def to_scale(obj: Json, paths: ScalePaths | None = None) -> Json:
    """The Scale of an object. Raises ApiError 500 where a path of a custom kind leads elsewhere."""
    if paths is None:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return _scale(
            obj, spec.get("replicas") or 0, status.get("replicas") or 0,
            selector_text(spec.get("selector")),
        )  # fmt: skip
    try:
        selector = nested(obj, paths.selector, str) if paths.selector else None
        return _scale(
            obj,
            nested(obj, paths.spec_replicas, int) or 0,
            nested(obj, paths.status_replicas, int) or 0,
            selector or "",
        )
    except NestedError as e:
        raise ApiError(500, "", str(e)) from None


def _scale(obj: Json, wanted: int, found: int, selector: str) -> Json:
    meta, status = obj["metadata"], {"replicas": found, "selector": selector}
    if not selector:
        del status["selector"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in _SCALE_META if name in meta},
        "spec": {"replicas": wanted} if wanted else {},
        "status": status,
    }


def check_replicas(obj: Json, paths: ScalePaths | None) -> None:
    """Raises ApiError 500 if a custom object says nothing of its replicas."""
    if paths is not None and nested(obj, paths.spec_replicas, int) is None:
        path = errors.quote("." + ".".join(paths.spec_replicas))
        raise errors.internal_error(f"the spec replicas field {path} does not exist")


class NestedError(ValueError):
    """A value on the way, or at its end, is of another type."""


def nested(obj: Json, path: Path, kind: type[Any]) -> Any:
    """The value at a path; None where there is nothing. Raises NestedError."""
    value: Any = obj
    for i, name in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise NestedError(_accessor(path[: i + 1], value, "map[string]interface{}"))
        if name not in value:
            return None
        value = value[name]
    if value.__class__ is not kind:
        raise NestedError(_accessor(path, value, "int64" if kind is int else "string"))
    return value


def _accessor(path: Path, value: Any, wanted: str) -> str:
    found = f"{go_text(value)} is of the type {go_type(value)}, expected {wanted}"
    return f".{'.'.join(path)} accessor error: {found}"


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


def _owns(entry: Json, path: Path) -> bool:
    node: Any = entry.get("fieldsV1") or {}
    for name in path:
        node = node.get(f"f:{name}")
        if node is None:
            return False
    return True


def _without(node: Json, path: Path) -> Json:
    """A set of fields without one of them, and without what held only that."""
    element = f"f:{path[0]}"
    below = _without(node[element], path[1:]) if len(path) > 1 else {}
    out = {k: v for k, v in node.items() if k != element}
    return {**node, element: below} if below else out


def _only(path: Path) -> Json:
    return {f"f:{path[0]}": _only(path[1:]) if len(path) > 1 else {}}


def _key(entry: Json) -> tuple[str, ...]:
    return tuple(entry.get(name, "") for name in _KEY)


def owners_for_scale(managed: list[Json], paths: ScalePaths | None = None) -> list[Json]:
    """The owners of an object's replicas, as managedFields of its Scale."""
    return [
        {**entry, "apiVersion": "autoscaling/v1", "fieldsV1": _REPLICAS}
        for entry in managed
        if _owns(entry, (paths or STANDARD).spec_replicas)
    ]


def owners_from_scale(
    managed: list[Json], scale: list[Json], api_version: str, paths: ScalePaths | None = None
) -> list[Json]:
    """The object's managedFields after those of its Scale changed; these carry no time."""
    path = (paths or STANDARD).spec_replicas
    now = {_key(entry): entry for entry in scale if _owns(entry, STANDARD.spec_replicas)}
    out = []
    for entry in managed:
        mine = now.pop(_key(entry), None)
        if mine is None and _owns(entry, path):
            fields = _without(entry["fieldsV1"], path)
            if fields:
                out.append({**entry, "fieldsV1": fields})
            continue
        out.append(entry)
    for entry in now.values():
        fresh = {**entry, "apiVersion": api_version, "fieldsV1": _only(path)}
        fresh.pop("time", None)
        out.append(fresh)
    return out
