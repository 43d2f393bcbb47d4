"""resource.k8s.io: DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
DeviceTaintRule.

The stored form is v1; v1beta1 keeps a request's fields flat and a device's in `basic`.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.clock import SystemClock, rfc3339
from kapi.codec.spelled import same
from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds.devices import requests as claims
from kapi.kinds.pods.scheduling import validate_node_selector
from kapi.kinds.shared import cells, checks, claim_specs, go_view
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "resource.k8s.io"
_VERSIONS = ("v1", "v1beta2", "v1beta1", "v1alpha3")
_V1 = "io.k8s.api.resource.v1."
RESERVED_MAX = 256
POOL_NAME_BYTES_MAX = 253
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_NODE_FIELDS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


# -- claims -------------------------------------------------------------------------------------


class ResourceClaimStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if context.subresource == "status":
            return _claim_status(obj.get("status") or {})
        if old is not None:
            unchanged = same(spec, old.get("spec") or {})
            return [] if unchanged else [invalid_value("spec", None, checks.IMMUTABLE)]
        path, devices = "spec.devices", spec.get("devices") or {}
        return claims.device_claim(devices, path) + claims.repeated_requests(devices, path)


def _claim_status(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    reserved = status.get("reservedFor") or []
    if reserved and status.get("allocation") is None:
        text = "may not be specified when `allocated` is not set"
        out.append(field_forbidden("status.reservedFor", text))
    for i, consumer in enumerate(reserved):
        for name in ("resource", "name", "uid"):
            if not consumer.get(name):
                out.append(required(f"status.reservedFor[{i}].{name}"))
    return out


class ResourceClaimTemplateStrategy(Plain):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        devices = (spec.get("spec") or {}).get("devices") or {}
        path = "spec.spec.devices"
        out = claims.device_claim(devices, path)
        if old is not None and not same(spec, old.get("spec") or {}):
            inner = go_view.view(_V1 + "ResourceClaimSpec", spec.get("spec") or {})
            shown = {**(spec.get("metadata") or {}), "Spec": inner}
            out.append(invalid_value("spec", checks.go_json(shown), checks.IMMUTABLE))
        return out + claims.repeated_requests(devices, path)


def _class_name(name: str, prefix: bool = False) -> list[str]:
    """A name of 253 bytes, not characters; it makes no difference but in words."""
    long = names.max_length(names.DNS_SUBDOMAIN_MAX)
    return [
        text.replace("characters", "bytes") if text == long else text
        for text in names.dns_subdomain(name, prefix)
    ]


class DeviceClassStrategy(Plain):
    name_rule = staticmethod(_class_name)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        out = claims.selectors(spec.get("selectors") or [], "spec.selectors")
        for i, config in enumerate(spec.get("config") or ()):
            out += claims.configuration(config, f"spec.config[{i}]")
        name = spec.get("extendedResourceName")
        if name is not None:
            out += checks.qualified_name(name, "spec.extendedResourceName")
        return out


# -- slices -------------------------------------------------------------------------------------


class ResourceSliceStrategy(Plain):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        out = claim_specs.validate_csi_driver_name(spec.get("driver", ""), "spec.driver")
        out += _pool(spec.get("pool") or {}, "spec.pool")
        out += _nodes(spec)
        out += claims.devices(spec.get("devices") or [], "spec.devices")
        if old is not None:
            before = old.get("spec") or {}
            for name in ("driver", "nodeName"):
                out += checks.immutable(spec.get(name), before.get(name), f"spec.{name}")
            pool, known = spec.get("pool") or {}, before.get("pool") or {}
            out += checks.immutable(pool.get("name"), known.get("name"), "spec.pool.name")
        return out


def _pool(pool: Json, path: str) -> list[FieldError]:
    name, count, generation = (
        pool.get("name", ""),
        pool.get("resourceSliceCount", 0),
        pool.get("generation", 0),
    )
    out: list[FieldError] = []
    if not name:
        out.append(required(f"{path}.name"))
    else:
        for part in name.split("/"):
            out += checks.each(f"{path}.name", part, names.dns_subdomain(part))
    if count <= 0:
        text = "must be greater than zero"
        out.append(invalid_value(f"{path}.resourceSliceCount", count, text))
    if generation < 0:
        text = "must be greater than or equal to zero"
        out.append(invalid_value(f"{path}.generation", generation, text))
    return out


def _nodes(spec: Json) -> list[FieldError]:
    """Exactly one way to say which nodes can reach the devices."""
    out: list[FieldError] = []
    given = []
    node = spec.get("nodeName")
    if node == "":
        text = "must be either unset or set to a non-empty string"
        out.append(invalid_value("spec.nodeName", "", text))
    elif node is not None:
        given.append("`nodeName`")
        out += checks.dns_subdomain(node, "spec.nodeName")
    if spec.get("nodeSelector") is not None:
        given.append("`nodeSelector`")
        out += validate_node_selector(spec["nodeSelector"], "spec.nodeSelector")
        if len(spec["nodeSelector"].get("nodeSelectorTerms") or ()) != 1:
            where = "spec.nodeSelector.nodeSelectorTerms"
            shown = go_view.view("io.k8s.api.core.v1.NodeSelector", spec["nodeSelector"])
            listed = checks.go_json(shown.get("NodeSelectorTerms"))
            out.append(invalid_value(where, listed, "must have exactly one node selector term"))
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name):
            given.append(f"`{name}`")
        elif spec.get(name) is False and name in spec:
            text = "must be either unset or set to true"
            out.append(invalid_value(f"spec.{name}", False, text))
    listed_fields = ", ".join(f"`{name}`" for name in _NODE_FIELDS)
    if not given:
        out.append(required("spec", f"exactly one of {listed_fields} is required"))
    elif len(given) > 1:
        shown_given = checks.go_json("{" + ", ".join(given) + "}")
        text = f"exactly one of {listed_fields} is required, but multiple fields are set"
        out.append(invalid_value("spec", shown_given, text))
    return out


# -- taints -------------------------------------------------------------------------------------


def _taint_defaults(taint: Json) -> None:
    """A taint holds since somebody wrote it, where nobody said since when."""
    if taint.get("timeAdded") is None:
        taint["timeAdded"] = rfc3339(SystemClock().now())


class DeviceTaintRuleStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None or context.subresource:
            return
        taint = (obj.get("spec") or {}).get("taint") or {}
        before = (old.get("spec") or {}).get("taint") or {}
        changed = taint.get("effect") != before.get("effect")
        if changed and taint.get("timeAdded") == before.get("timeAdded"):
            taint["timeAdded"] = rfc3339(context.now)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return []
        spec = obj.get("spec") or {}
        out: list[FieldError] = []
        selector = spec.get("deviceSelector") or {}
        path = "spec.deviceSelector"
        if selector.get("driver") is not None:
            out += claim_specs.validate_csi_driver_name(selector["driver"], f"{path}.driver")
        if selector.get("pool") is not None:
            for part in selector["pool"].split("/"):
                out += checks.each(f"{path}.pool", part, names.dns_subdomain(part))
        if selector.get("device") is not None:
            out += checks.dns_label(selector["device"], f"{path}.device")
        taint = spec.get("taint") or {}
        out += checks.qualified_name(taint.get("key", ""), "spec.taint.key")
        if taint.get("value"):
            out += checks.label_value(taint["value"], "spec.taint.value")
        effect = taint.get("effect", "")
        if not effect:
            out.append(required("spec.taint.effect"))
        elif effect not in _EFFECTS:
            out.append(not_supported("spec.taint.effect", effect, _EFFECTS))
        return out


# -- tables and defaults ------------------------------------------------------------------------


def _state(obj: Json, now: float) -> str:
    status = obj.get("status") or {}
    out = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is None:
        if not out:
            out.append("pending")
    else:
        out.append("allocated")
        if status.get("reservedFor"):
            out.append("reserved")
    return ",".join(out)


def _taint(name: str) -> cells.Cell:
    return cells.field("spec", "taint", name)


def _since(obj: Json, now: float) -> str:
    taint = (obj.get("spec") or {}).get("taint") or {}
    return cells.since(taint.get("timeAdded"), now)


def _defaults() -> Mapping[str, Any]:
    out: dict[str, Any] = {}
    for version in _VERSIONS:
        package = f"io.k8s.api.resource.{version}."
        out[package + "ExactDeviceRequest"] = claims.request_defaults
        out[package + "DeviceSubRequest"] = claims.request_defaults
        out[package + "DeviceTaint"] = _taint_defaults
    out["io.k8s.api.resource.v1beta1.DeviceRequest"] = claims.flat_request_defaults
    return out


DEFAULTS: Mapping[str, Any] = _defaults()
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "resourceclaims"): ResourceClaimStrategy(),
    (GROUP, "resourceclaimtemplates"): ResourceClaimTemplateStrategy(),
    (GROUP, "deviceclasses"): DeviceClassStrategy(),
    (GROUP, "resourceslices"): ResourceSliceStrategy(),
    (GROUP, "devicetaintrules"): DeviceTaintRuleStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "resourceclaims"): (
        cells.name_column(),
        cells.column(
            "State",
            "string",
            _state,
            "A summary of the current state (allocated, pending, reserved, etc.).",
        ),
        cells.age_column(),
    ),
    (GROUP, "resourceclaimtemplates"): (cells.name_column(), cells.age_column()),
    (GROUP, "deviceclasses"): (cells.name_column(), cells.age_column()),
    (GROUP, "resourceslices"): (
        cells.name_column(),
        cells.column(
            "Node",
            "string",
            cells.field("spec", "nodeName"),
            described(_V1 + "ResourceSliceSpec", "nodeName"),
        ),
        cells.column(
            "Driver",
            "string",
            cells.field("spec", "driver"),
            described(_V1 + "ResourceSliceSpec", "driver"),
        ),
        cells.column(
            "Pool",
            "string",
            cells.field("spec", "pool", "name"),
            described(_V1 + "ResourcePool", "name"),
        ),
        cells.age_column(),
    ),
    (GROUP, "devicetaintrules"): (
        cells.name_column(),
        cells.column("Key", "string", _taint("key"), described(_V1 + "DeviceTaint", "key")),
        cells.column("Value", "string", _taint("value"), described(_V1 + "DeviceTaint", "value")),
        cells.column(
            "Effect", "string", _taint("effect"), described(_V1 + "DeviceTaint", "effect")
        ),
        cells.column("TimeAdded", "string", _since, described(_V1 + "DeviceTaint", "timeAdded")),
        cells.age_column(),
    ),
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (GROUP, "resourceslices"): {
        "spec.nodeName": lambda obj: (obj.get("spec") or {}).get("nodeName") or "",
        "spec.driver": lambda obj: (obj.get("spec") or {}).get("driver", ""),
    },
}
