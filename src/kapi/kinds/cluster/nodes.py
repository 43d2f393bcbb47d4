"""Node: one form for its pod ranges, taints, what an update may not change, its table; and the
table of component statuses.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/
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
)
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.amounts import rounding
from kapi.kinds.shared.resource_names import quantity_of
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def _spec_defaults(spec: Json) -> None:
    """podCIDR is the first of podCIDRs; where they differ it is the one that counts."""
    first, ranges = spec.get("podCIDR", ""), spec.get("podCIDRs") or []
    if first and (not ranges or ranges[0] != first):
        spec["podCIDRs"] = [first]
    elif ranges:
        spec["podCIDR"] = ranges[0]


_round = rounding("capacity", "allocatable")


def _status_defaults(status: Json) -> None:
    """What can be allocated is all there is, where nobody said."""
    _round(status)
    if "allocatable" not in status and status.get("capacity"):
        status["allocatable"] = dict(status["capacity"])


class NodeStrategy(Strategy):
    reset_main = ()
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is not None and not context.subresource:
            obj["status"] = old.get("status") or {}

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        out = _taints(spec.get("taints") or [])
        out += _resources(status)
        out += _ranges(spec, (old or {}).get("spec") or {})
        if old is not None:
            out += _changes(spec, status, old.get("spec") or {})
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        spec, out = obj.get("spec") or {}, []
        if spec.get("configSource") is not None and not context.subresource:
            out.append("spec.configSource: the feature is removed")
        if spec.get("externalID") and not context.subresource:
            text = "this field is deprecated, and is unused by Kubernetes"
            out.append(f"spec.externalID: {text}")
        return out


def _taints(taints: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        path = f"metadata.taints[{i}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        out += checks.qualified_name(key, f"{path}.key")
        out += checks.label_value(taint.get("value", ""), f"{path}.value")
        if not effect:
            out.append(required(f"{path}.effect"))
        elif effect not in _EFFECTS:
            out.append(not_supported(f"{path}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            shown = checks.go_fields(taint, "Key:s Value:s Effect:s TimeAdded:p")
            text = "taints must be unique by key and effect pair"
            found = duplicate(path, checks.go_json(shown))
            out.append(FieldError(found.field, found.reason, found.value, text))
        seen.add((key, effect))
    return out


def _resources(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    for field in ("capacity", "allocatable"):
        for name, amount in (status.get(field) or {}).items():
            out += quantity_of(name, amount, f"status.{field}.{name}")
    return out


def _ranges(spec: Json, old: Json) -> list[FieldError]:
    out: list[FieldError] = []
    ranges: list[str] = spec.get("podCIDRs") or []
    for i, text in enumerate(ranges):
        out += checks.cidr(text, f"spec.podCIDRs[{i}]", old=old.get("podCIDRs") or ())
    if len(ranges) > 1:
        families = [found.version for text in ranges if (found := checks.parse_cidr(text))]
        if len(families) < len(ranges):
            text = "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR"
            out.append(FieldError("spec.podCIDRs", "InternalError", "", text))
        elif len(set(families)) < 2 or len(ranges) > 2:
            text = "may specify no more than one CIDR for each IP family"
            out.append(invalid_value("spec.podCIDRs", ranges, text))
    return out


def _changes(spec: Json, status: Json, old: Json) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate(status.get("addresses") or ()):
        key = (address.get("type", ""), address.get("address", ""))
        if key in seen:
            shown = checks.go_fields(address, "Type:s Address:s")
            out.append(duplicate(f"status.addresses[{i}]", checks.go_json(shown)))
        seen.add(key)
    before = old.get("podCIDRs") or []
    if before and before != (spec.get("podCIDRs") or []):
        text = 'node updates may not change podCIDR except from "" to valid'
        out.append(field_forbidden("spec.podCIDRs", text))
    fixed, provider = old.get("providerID", ""), spec.get("providerID", "")
    if fixed and provider != fixed:
        verb = "modified" if provider else "cleared"
        out.append(invalid_value("spec.providerID", None, f"field cannot be {verb} once set"))
    if spec.get("externalID", "") != old.get("externalID", ""):
        out.append(field_forbidden("spec.externalID", "may not be updated"))
    return out


# -- table --------------------------------------------------------------------------------------


def _status(obj: Json, now: float) -> str:
    ready = next(
        (c for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == "Ready"),
        None,
    )
    if ready is None:
        out = "Unknown"
    else:
        out = "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{out},SchedulingDisabled" if (obj.get("spec") or {}).get("unschedulable") else out


def _roles(obj: Json, now: float) -> str:
    found = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX) and len(key) > len(_ROLE_PREFIX):
            found.add(key[len(_ROLE_PREFIX) :])
        elif key == _ROLE_LABEL and value:
            found.add(value)
    return ",".join(sorted(found)) or cells.NONE


def _address(kind: str) -> cells.Cell:
    def cell(obj: Json, now: float) -> str:
        for address in (obj.get("status") or {}).get("addresses") or ():
            if address.get("type") == kind:
                return str(address.get("address", ""))
        return cells.NONE

    return cell


def _info(name: str) -> cells.Cell:
    def cell(obj: Json, now: float) -> str:
        return str(((obj.get("status") or {}).get("nodeInfo") or {}).get(name) or cells.UNKNOWN)

    return cell


def _kernel(obj: Json, now: float) -> str:
    info = (obj.get("status") or {}).get("nodeInfo") or {}
    kernel, architecture = info.get("kernelVersion"), info.get("architecture")
    if not kernel:
        return cells.UNKNOWN
    return f"{kernel} ({architecture})" if architecture else str(kernel)


def _condition(name: str) -> cells.Cell:
    """What the condition Healthy of a component says."""

    def cell(obj: Json, now: float) -> str:
        healthy = (c for c in obj.get("conditions") or () if c.get("type") == "Healthy")
        found: Json | None = next(healthy, None)
        if found is None:
            return "Unknown" if name == "status" else ""
        if name == "status":
            return "Healthy" if found.get("status") == "True" else "Unhealthy"
        return str(found.get(name, ""))

    return cell


DEFAULTS: Mapping[str, Any] = {
    _CORE + "NodeSpec": _spec_defaults,
    _CORE + "NodeStatus": _status_defaults,
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {("", "nodes"): NodeStrategy()}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "nodes"): (
        cells.name_column(),
        cells.column("Status", "string", _status, "The status of the node"),
        cells.column("Roles", "string", _roles, "The roles of the node"),
        cells.age_column(),
        cells.column(
            "Version",
            "string",
            cells.field("status", "nodeInfo", "kubeletVersion"),
            described("io.k8s.api.core.v1.NodeSystemInfo", "kubeletVersion"),
        ),
        cells.column(
            "Internal-IP",
            "string",
            _address("InternalIP"),
            described("io.k8s.api.core.v1.NodeStatus", "addresses"),
            wide=True,
        ),
        cells.column(
            "External-IP",
            "string",
            _address("ExternalIP"),
            described("io.k8s.api.core.v1.NodeStatus", "addresses"),
            wide=True,
        ),
        cells.column(
            "OS-Image",
            "string",
            _info("osImage"),
            described("io.k8s.api.core.v1.NodeSystemInfo", "osImage"),
            wide=True,
        ),
        cells.column(
            "Kernel-Version",
            "string",
            _kernel,
            described("io.k8s.api.core.v1.NodeSystemInfo", "kernelVersion"),
            wide=True,
        ),
        cells.column(
            "Container-Runtime",
            "string",
            _info("containerRuntimeVersion"),
            described("io.k8s.api.core.v1.NodeSystemInfo", "containerRuntimeVersion"),
            wide=True,
        ),
    ),
    ("", "componentstatuses"): (
        cells.name_column(),
        *(
            cells.column(
                name, "string", _condition(name.lower()), f"{name} of the component conditions"
            )
            for name in ("Status", "Message", "Error")
        ),
    ),
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("", "nodes"): {
        "spec.unschedulable": lambda obj: (
            "true" if (obj.get("spec") or {}).get("unschedulable") else "false"
        )
    },
}
