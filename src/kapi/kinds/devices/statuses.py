"""What became of a ResourceClaim: who holds it, which devices it got, what drivers say of them.

Called by `resource.py`. What the types declare of the same fields is in `declarations.py`.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, required, too_many
from kapi.kinds.devices import requests, slices
from kapi.kinds.pods.scheduling import validate_node_selector
from kapi.kinds.shared import checks, claim_specs

Json = dict[str, Any]

RESERVED_MAX = 256
RESULTS_MAX, CONFIGS_MAX, IPS_MAX = 32, 64, 16
CONDITIONS_MAX = 8  # of a device
_SKIPPED, _UNSKIPPED = "NodePrepareResources", frozenset(("NodeUnprepareResources", "*"))


def drop_deallocated(status: Json, before: Json) -> None:
    """What drivers say of devices that the claim has no longer, in place."""
    kept = [_id(result) for result in _results(status)]
    gone = [found for found in map(_id, _results(before)) if found not in kept]
    devices = status.get("devices")
    if not gone or not devices:
        return
    left = [device for device in devices if _id(device) not in gone]
    if left:
        status["devices"] = left
    else:
        del status["devices"]


def _results(status: Json) -> list[Json]:
    found: list[Json] = ((status.get("allocation") or {}).get("devices") or {}).get("results") or []
    return found


def claim_status(obj: Json, old: Json) -> list[FieldError]:
    status, before = obj.get("status") or {}, old.get("status") or {}
    known = requests.request_names((obj.get("spec") or {}).get("devices") or {})
    reserved, allocation = status.get("reservedFor") or [], status.get("allocation")
    out: list[FieldError] = []
    for i, consumer in enumerate(reserved if len(reserved) <= RESERVED_MAX else ()):
        for name in ("resource", "name", "uid"):
            if not consumer.get(name):
                out.append(required(f"status.reservedFor[{i}].{name}"))
    allocated = [_id(result) for result in _results(status)]
    for i, device in enumerate(status.get("devices") or ()):
        out += _device(device, f"status.devices[{i}]", allocated)
    if reserved and allocation is None:
        text = "may not be specified when `allocated` is not set"
        out.append(field_forbidden("status.reservedFor", text))
    elif reserved and obj["metadata"].get("deletionTimestamp"):
        held = before.get("reservedFor") or ()
        if any(consumer not in held for consumer in reserved):
            text = (
                "new entries may not be added while `deallocationRequested` or "
                "`deletionTimestamp` are set"
            )
            out.append(field_forbidden("status.reservedFor", text))
    if allocation is not None and before.get("allocation") is None:
        out += _allocation(allocation, "status.allocation", known)
    return out


def _id(device: Json) -> Json:
    """What tells a device, or a share of one, from all others."""
    return {
        "Driver": device.get("driver", ""),
        "Pool": device.get("pool", ""),
        "Device": device.get("device", ""),
        "ShareID": device.get("shareID"),
    }


def _device(device: Json, path: str, allocated: list[Json]) -> list[FieldError]:
    out = claim_specs.validate_csi_driver_name(device.get("driver", ""), f"{path}.driver")
    out += slices.pool_name(device.get("pool", ""), f"{path}.pool")
    out += checks.dns_label(device.get("device", ""), f"{path}.device")
    if _id(device) not in allocated:
        text = "must be an allocated device in the claim"
        out.append(invalid_value(path, checks.go_json(_id(device)), text))
    listed = device.get("conditions") or []
    if len(listed) > CONDITIONS_MAX:
        out.append(too_many(f"{path}.conditions", len(listed), CONDITIONS_MAX))
    out += checks.conditions(listed, f"{path}.conditions")
    if device.get("data") is not None:
        out += requests.raw_object(device["data"], f"{path}.data")
    addresses = (device.get("networkData") or {}).get("ips") or []
    for i, address in enumerate(addresses if len(addresses) <= IPS_MAX else ()):
        out += checks.interface_address(address, f"{path}.networkData.ips[{i}]")
    return out


def _allocation(allocation: Json, path: str, known: requests.Names) -> list[FieldError]:
    out: list[FieldError] = []
    devices = allocation.get("devices") or {}
    results, configs = devices.get("results") or [], devices.get("config") or []
    for i, result in enumerate(results if len(results) <= RESULTS_MAX else ()):
        out += _result(result, f"{path}.devices.results[{i}]", known)
    for i, config in enumerate(configs if len(configs) <= CONFIGS_MAX else ()):
        where = f"{path}.devices.config[{i}]"
        out += requests.references(config.get("requests") or [], f"{where}.requests", known)
        out += requests.configuration(config, where)
    if allocation.get("nodeSelector") is not None:
        out += validate_node_selector(allocation["nodeSelector"], f"{path}.nodeSelector")
    return out


def _result(result: Json, path: str, known: requests.Names) -> list[FieldError]:
    out = requests.reference(result.get("request", ""), f"{path}.request", known)
    out += checks.dns_label(result.get("device", ""), f"{path}.device")
    out += slices.binding(result, path)
    out += requests.tolerations(result.get("tolerations") or [], f"{path}.tolerations")
    skipped = result.get("skipNodeOperations") or []
    if _SKIPPED in skipped and not _UNSKIPPED & set(skipped):
        text = (
            "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped"
        )
        out.append(invalid_value(f"{path}.skipNodeOperations", skipped, text))
    return out
