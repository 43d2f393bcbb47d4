"""resource.k8s.io/v1beta1 and the stored form, v1: flat requests become `exactly`, `basic` devices
become flat.

v1beta2 has the shape of v1; rules for taints have one shape in all versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.registry.resource import Convert

Json = dict[str, Any]

GROUP = "resource.k8s.io"
# What stands in a v1beta1 request itself, and in v1 under `exactly`; in the order of v1.
_EXACT = (
    "deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations",
    "capacity", "derivedAttributes",
)  # fmt: skip


def _nested(request: Json) -> Json:
    exact = {name: request[name] for name in _EXACT if name in request}
    out: Json = {"name": request.get("name", "")}
    if not request.get("firstAvailable") or exact.get("deviceClassName"):
        out["exactly"] = exact
    if request.get("firstAvailable"):
        out["firstAvailable"] = request["firstAvailable"]
    return out


def _flat(request: Json) -> Json:
    out: Json = {"name": request.get("name", "")}
    out.update(request.get("exactly") or {})
    out.setdefault("deviceClassName", "")
    if request.get("firstAvailable"):
        out["firstAvailable"] = request["firstAvailable"]
    return out


def _in_claim(change: Callable[[Json], Json], *path: str) -> Convert:
    """Change every request of the claim whose `devices` stand at the path."""

    def convert(obj: Json) -> Json:
        return _at(obj, path, lambda devices: _each(devices, "requests", change))

    return convert


def _at(obj: Json, path: tuple[str, ...], change: Callable[[Json], Json]) -> Json:
    """A copy of the object along a path, with what is there changed."""
    if not path:
        return change(obj)
    inner = obj.get(path[0])
    if not isinstance(inner, dict):
        return obj
    return {**obj, path[0]: _at(inner, path[1:], change)}


def _each(obj: Json, field: str, change: Callable[[Json], Json]) -> Json:
    listed = obj.get(field)
    return {**obj, field: [change(x) for x in listed]} if listed else obj


def _unwrapped(device: Json) -> Json:
    return {"name": device.get("name", ""), **(device.get("basic") or {})}


def _wrapped(device: Json) -> Json:
    return {
        "name": device.get("name", ""),
        "basic": {name: value for name, value in device.items() if name != "name"},
    }


def _slice_in(obj: Json) -> Json:
    def spec(value: Json) -> Json:
        out = {k: v for k, v in value.items() if k not in ("nodeName", "allNodes") or v}
        return _each(out, "devices", _unwrapped)

    return _at(obj, ("spec",), spec)


def _slice_out(obj: Json) -> Json:
    return _at(obj, ("spec",), lambda spec: _each(spec, "devices", _wrapped))


CONVERSIONS: Mapping[tuple[str, str, str], tuple[Convert | None, Convert | None]] = {
    (GROUP, "resourceclaims", "v1beta1"): (
        _in_claim(_nested, "spec", "devices"),
        _in_claim(_flat, "spec", "devices"),
    ),
    (GROUP, "resourceclaimtemplates", "v1beta1"): (
        _in_claim(_nested, "spec", "spec", "devices"),
        _in_claim(_flat, "spec", "spec", "devices"),
    ),
    (GROUP, "resourceslices", "v1beta1"): (_slice_in, _slice_out),
}
