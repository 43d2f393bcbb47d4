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
from kapi.errors import FieldError, invalid_value, too_many
from kapi.kinds.devices import declarations, slices, statuses, switched_off
from kapi.kinds.devices import requests as claims
from kapi.kinds.shared import cells, checks, claim_specs, formats, go_view
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "resource.k8s.io"
_VERSIONS = ("v1", "v1beta2", "v1beta1", "v1alpha3")
_V1 = "io.k8s.api.resource.v1."
RULE_CONDITIONS_MAX = 8


# -- claims -------------------------------------------------------------------------------------


class ResourceClaimStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        switched_off.drop_of_claim(obj.get("spec") or {}, (old or {}).get("spec") or {})
        if context.subresource == "status":
            status = obj.setdefault("status", {})
            before = (old or {}).get("status") or {}
            switched_off.drop_of_status(status, before)
            statuses.drop_deallocated(status, before)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if old is None:
            devices = (obj.get("spec") or {}).get("devices") or {}
            out = claims.device_claim(devices, "spec.devices")
        elif context.subresource == "status":
            out = statuses.claim_status(obj, old)
        return out + declarations.findings("ResourceClaim", obj, old, context.version)


class ResourceClaimTemplateStrategy(Plain):
    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
        switched_off.drop_of_claim(spec.get("spec") or {}, before.get("spec") or {})

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        devices = (spec.get("spec") or {}).get("devices") or {}
        metadata = spec.get("metadata") or {}
        out = claim_specs.validate_template_metadata(metadata, "spec.metadata")
        out += claims.device_claim(devices, "spec.spec.devices")
        if old is not None and not same(spec, old.get("spec") or {}):
            inner = go_view.view(_V1 + "ResourceClaimSpec", spec.get("spec") or {})
            shown = {**metadata, "Spec": inner}
            out.append(invalid_value("spec", checks.go_json(shown), checks.IMMUTABLE))
        return out + declarations.findings("ResourceClaimTemplate", obj, old, context.version)


class DeviceClassStrategy(Plain):
    name_rule = staticmethod(formats.long_name_complaints)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        before = (old or {}).get("spec") or {}
        out: list[FieldError] = []
        if old is None or spec.get("selectors") != before.get("selectors"):
            out += claims.selectors(spec.get("selectors") or [], "spec.selectors")
        configs = spec.get("config") or []
        for i, config in enumerate(configs if len(configs) <= claims.CONFIGS_MAX else ()):
            out += claims.configuration(config, f"spec.config[{i}]")
        return out + declarations.findings("DeviceClass", obj, old, context.version)


# -- slices -------------------------------------------------------------------------------------


class ResourceSliceStrategy(Plain):
    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        switched_off.drop_of_slice(obj.get("spec") or {}, (old or {}).get("spec") or {})

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        before = None if old is None else old.get("spec") or {}
        out = slices.resource_slice(obj.get("spec") or {}, before)
        return out + declarations.findings("ResourceSlice", obj, old, context.version)


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
            listed = (obj.get("status") or {}).get("conditions") or []
            out = checks.conditions(listed, "status.conditions")
            if len(listed) > RULE_CONDITIONS_MAX:
                out.append(too_many("status.conditions", len(listed), RULE_CONDITIONS_MAX))
            return out
        spec = obj.get("spec") or {}
        out = []
        selector = spec.get("deviceSelector") or {}
        path = "spec.deviceSelector"
        if selector.get("driver") is not None:
            out += claim_specs.validate_csi_driver_name(selector["driver"], f"{path}.driver")
        if selector.get("pool") is not None:
            out += slices.pool_name(selector["pool"], f"{path}.pool")
        if selector.get("device") is not None:
            out += checks.dns_label(selector["device"], f"{path}.device")
        out += slices.taint(spec.get("taint") or {}, "spec.taint")
        return out + declarations.findings("DeviceTaintRule", obj, old, context.version)


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
