"""ResourceSlice: what devices a driver offers, of which node, with which attributes, capacities and
counters.

Called by `resource.py`. What the types declare of the same fields is in `declarations.py`.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    invalid_value,
    required,
    too_long,
    too_many,
)
from kapi.kinds.devices import capacities
from kapi.kinds.pods.scheduling import validate_node_selector
from kapi.kinds.shared import checks, claim_specs, formats, go_view

Json = dict[str, Any]

DEVICES_MAX, ADVANCED_DEVICES_MAX = 128, 64
COUNTER_SETS_MAX, COUNTERS_MAX, CONSUMED_MAX = 8, 32, 2
ATTRIBUTES_MAX = 32
TEXT_BYTES_MAX = 64  # of an attribute's value
TAINTS_MAX = 16
CONDITIONS_MAX = 4
KEY_SHOWN_MAX = 96  # bytes of a key that a path shows
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?\Z"
)
_ONE_OF_NODES = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)
_ONE_OF_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)


def resource_slice(spec: Json, old: Json | None) -> list[FieldError]:
    out = claim_specs.validate_csi_driver_name(spec.get("driver", ""), "spec.driver")
    pool = spec.get("pool") or {}
    out += _pool(pool, "spec.pool")
    if old is not None:
        before = (old.get("pool") or {}).get("name", "")
        out += checks.immutable(pool.get("name", ""), before, "spec.pool.name")
        out += checks.immutable(spec.get("driver", ""), old.get("driver", ""), "spec.driver")
        out += checks.immutable(spec.get("nodeName"), old.get("nodeName"), "spec.nodeName")
    out += _nodes(spec)
    if spec.get("sharedCounters") and spec.get("devices"):
        text = "only one of `sharedCounters` or `devices` is allowed"
        out.append(invalid_value("spec", "", text))
    known = {d.get("name"): d for d in (old or {}).get("devices") or ()}
    chosen = bool(spec.get("perDeviceNodeSelection"))
    return out + _devices(spec, known, chosen) + _counter_sets(spec.get("sharedCounters") or [])


def pool_name(name: str, path: str) -> list[FieldError]:
    """DNS subdomains with slashes between them."""
    if not name:
        return [required(path)]
    most = formats.POOL_BYTES_MAX
    out = [too_long(path, most)] if len(name.encode()) > most else []
    for part in name.split("/"):
        out += checks.dns_subdomain(part, path)
    return out


def _pool(pool: Json, path: str) -> list[FieldError]:
    out = pool_name(pool.get("name", ""), f"{path}.name")
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        text = "must be greater than zero"
        out.append(invalid_value(f"{path}.resourceSliceCount", count, text))
    if generation < 0:
        text = "must be greater than or equal to zero"
        out.append(invalid_value(f"{path}.generation", generation, text))
    return out


def _nodes(spec: Json) -> list[FieldError]:
    """Exactly one way to say which nodes can reach the devices."""
    out, given = _node_fields(spec, "spec", "must be either unset or set to a non-empty string")
    terms = (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        where = "spec.nodeSelector.nodeSelectorTerms"
        shown = go_view.view("io.k8s.api.core.v1.NodeSelector", spec["nodeSelector"])
        listed = checks.go_json(shown.get("NodeSelectorTerms"))
        found = invalid_value(where, listed, "must have exactly one node selector term")
        out.append(found)
    for name in ("allNodes", "perDeviceNodeSelection"):
        out += _flag(spec, name, "spec", given)
    if not given:
        out.append(required("spec", _ONE_OF_NODES))
    elif len(given) > 1:
        text = f"{_ONE_OF_NODES}, but multiple fields are set"
        out.append(invalid_value("spec", "{" + ", ".join(given) + "}", text))
    return out


def _node_fields(where: Json, path: str, empty: str) -> tuple[list[FieldError], list[str]]:
    out: list[FieldError] = []
    given = []
    name = where.get("nodeName")
    if name:
        given.append("`nodeName`")
        out += checks.dns_subdomain(name, f"{path}.nodeName")
    elif name is not None:
        out.append(invalid_value(f"{path}.nodeName", "", empty))
    if where.get("nodeSelector") is not None:
        given.append("`nodeSelector`")
        out += validate_node_selector(where["nodeSelector"], f"{path}.nodeSelector")
    return out, given


def _flag(where: Json, name: str, path: str, given: list[str]) -> list[FieldError]:
    if where.get(name):
        given.append(f"`{name}`")
    elif where.get(name) is False:
        text = "must be either unset or set to true"
        return [invalid_value(f"{path}.{name}", False, text)]
    return []


# -- devices ------------------------------------------------------------------------------------


def _devices(spec: Json, known: Mapping[Any, Json], chosen: bool) -> list[FieldError]:
    listed = spec.get("devices") or []
    advanced = any(d.get("taints") or d.get("consumesCounters") for d in listed)
    most = ADVANCED_DEVICES_MAX if advanced else DEVICES_MAX
    if len(listed) > most:
        return [too_many("spec.devices", len(listed), most)]
    out: list[FieldError] = []
    for i, device in enumerate(listed):
        out += _device(device, known.get(device.get("name")), f"spec.devices[{i}]", chosen)
    seen: set[str] = set()
    for i, device in enumerate(listed):
        name = device.get("name", "")
        if name in seen:
            out.append(duplicate(f"spec.devices[{i}]", name))
        seen.add(name)
    return out


def _device(device: Json, old: Json | None, path: str, chosen: bool) -> list[FieldError]:
    out = checks.dns_label(device.get("name", ""), f"{path}.name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > ATTRIBUTES_MAX:
        text = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        out.append(invalid_value(path, count, text))
    for key, value in attributes.items():
        out += attribute_name(key, f"{path}.attributes")
        out += _attribute(value or {}, f"{path}.attributes[{_shown(key)}]")
    if old is None or capacity != (old.get("capacity") or {}):
        shared = bool(device.get("allowMultipleAllocations"))
        for key, value in capacity.items():
            out += attribute_name(key, f"{path}.capacity")
            where = f"{path}.capacity[{_shown(key)}]"
            out += capacities.device_capacity(value or {}, where, shared=shared)
    given = device.get("taints") or []
    if old is None or given != (old.get("taints") or []):
        if len(given) > TAINTS_MAX:
            out.append(too_many(f"{path}.taints", len(given), TAINTS_MAX))
        else:
            for i, item in enumerate(given):
                out += taint(item, f"{path}.taints[{i}]")
    out += _consumed(device.get("consumesCounters") or [], f"{path}.consumesCounters")
    out += _device_nodes(device, path, chosen)
    return out + binding(device, path)


def taint(value: Json, path: str) -> list[FieldError]:
    """The effect is declared."""
    out = checks.qualified_name(value.get("key", ""), f"{path}.key")
    if value.get("value"):
        out += checks.label_value(value["value"], f"{path}.value")
    return out


def _device_nodes(device: Json, path: str, chosen: bool) -> list[FieldError]:
    if not chosen:
        if all(device.get(name) is None for name in ("nodeName", "nodeSelector", "allNodes")):
            return []
        text = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        )
        return [invalid_value(path, None, text)]
    out, given = _node_fields(device, path, "must not be empty")
    out += _flag(device, "allNodes", path, given)
    if not given:
        out.append(required(path, _ONE_OF_DEVICE))
    elif len(given) > 1:
        out.append(invalid_value(path, "{" + ", ".join(given) + "}", _ONE_OF_DEVICE))
    return out


def binding(device: Json, path: str) -> list[FieldError]:
    """Conditions that a device waits for before a pod is bound, and those that end the waiting."""
    names = ("bindingConditions", "bindingFailureConditions")
    wanted, failed = (device.get(name) or [] for name in names)
    out: list[FieldError] = []
    for name, listed in zip(names, (wanted, failed), strict=True):
        for i, kind in enumerate(listed if len(listed) <= CONDITIONS_MAX else ()):
            out += checks.qualified_name(kind, f"{path}.{name}[{i}]")
    out += [
        duplicate(f"{path}.{names[0]}[{i}]", kind)
        for i, kind in enumerate(wanted)
        if kind in wanted[:i]
    ]
    for i, kind in enumerate(failed):
        if kind in failed[:i]:
            out.append(duplicate(f"{path}.{names[1]}[{i}]", kind))
        if kind in wanted:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            out.append(invalid_value(f"{path}.{names[1]}[{i}]", kind, text))
    for name, mine, other in ((names[0], wanted, failed), (names[1], failed, wanted)):
        if other and not mine:
            text = f"{name} are required to use {names[name == names[0]]}"
            out.append(invalid_value(f"{path}.{name}", None, text))
    return out


# -- attributes and counters ----------------------------------------------------------------------


def attribute_name(name: str, path: str) -> list[FieldError]:
    """`memory` or `example.com/memory`."""
    parts = name.split("/")
    if len(parts) == 1:
        return formats.identifier(name, path)
    if len(parts) > 2:
        return [invalid_value(path, name, "must not contain more than one slash")]
    out: list[FieldError] = []
    if parts[0]:
        out += claim_specs.validate_csi_driver_name(parts[0], path)
    else:
        out.append(invalid_value(path, "", "the domain must not be empty"))
    if parts[1]:
        out += formats.identifier(parts[1], path)
    else:
        out.append(invalid_value(path, "", "the name must not be empty"))
    return out


def _shown(key: str) -> str:
    """A key as a path shows it: cut in the middle where it is long."""
    if len(key) <= KEY_SHOWN_MAX:
        return key
    rest = KEY_SHOWN_MAX - 3
    return f"{key[: (rest + 1) // 2]}...{key[len(key) - rest // 2 :]}"


def _attribute(value: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    text, version = value.get("string"), value.get("version")
    if text is not None and len(text.encode()) > TEXT_BYTES_MAX:
        out.append(too_long(f"{path}.string", TEXT_BYTES_MAX))
    if version is not None:
        if not _VERSION.match(version):
            words = "must be a string compatible with semver.org spec 2.0.0"
            out.append(invalid_value(f"{path}.version", version, words))
        if len(version.encode()) > TEXT_BYTES_MAX:
            out.append(too_long(f"{path}.version", TEXT_BYTES_MAX))
    return out


def _counters(counters: Json, path: str) -> list[FieldError]:
    return [too_many(path, len(counters), COUNTERS_MAX)] if len(counters) > COUNTERS_MAX else []


def _counter_sets(sets: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    for i, item in enumerate(sets if len(sets) <= COUNTER_SETS_MAX else ()):
        out += _counters(item.get("counters") or {}, f"spec.sharedCounters[{i}].counters")
    return out


def _consumed(listed: list[Json], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for i, item in enumerate(listed if len(listed) <= CONSUMED_MAX else ()):
        out += _counters(item.get("counters") or {}, f"{path}[{i}].counters")
    return out
