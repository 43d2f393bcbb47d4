"""What the types of resource.k8s.io declare of their fields: tables of `kinds/shared/declared.py`.

In the form of v1. In v1beta1 the same fields stand elsewhere, and the rules are found broken where
they stand in the version of the request: `findings` moves them.
"""

from __future__ import annotations

import re
from typing import Any

from kapi.errors import FieldError
from kapi.kinds.shared import declared, formats
from kapi.kinds.shared.declared import THEMSELVES, Field, Struct

Json = dict[str, Any]

EFFECTS = ("NoExecute", "NoSchedule", "None")
_NEEDED = (declared.required,)
_EFFECT = declared.one_of(*EFFECTS)
_DRIVER = (formats.long_name_caseless, formats.driver_length)
_SELECTORS = Field(name="selectors", gates=(declared.max_items(32),))
_MODE = Field(name="allocationMode", checks=(declared.one_of("All", "ExactCount"),))
_TOLERATIONS = Field(name="tolerations", each="DeviceToleration")
_REQUESTS = Field(name="requests", gates=(declared.max_items(32),), unique=THEMSELVES)
_OPAQUE = Field(name="opaque", type="OpaqueDeviceConfiguration", pointer=True)
_SHARE = Field(name="shareID", pointer=True, checks=(formats.uuid,))
_BINDING = (
    Field(name="bindingConditions", gates=(declared.max_items(4),)),
    Field(name="bindingFailureConditions", gates=(declared.max_items(4),)),
)
_COUNTERS = Field(name="counters", gates=_NEEDED, keys=(formats.short_name,))
_DEVICE_KEYS = ("driver", "device", "pool", "shareID")

TYPES: declared.Types = {
    # -- claims
    "ResourceClaim": Struct(
        fields=(
            Field(name="spec", gates=(declared.immutable,), type="ResourceClaimSpec"),
            Field(name="status", type="ResourceClaimStatus"),
        )
    ),
    "ResourceClaimTemplate": Struct(fields=(Field(name="spec", type="ResourceClaimTemplateSpec"),)),
    "ResourceClaimTemplateSpec": Struct(fields=(Field(name="spec", type="ResourceClaimSpec"),)),
    "ResourceClaimSpec": Struct(fields=(Field(name="devices", type="DeviceClaim"),)),
    "DeviceClaim": Struct(
        fields=(
            Field(
                name="requests",
                gates=(declared.max_items(32),),
                unique=("name",),
                each="DeviceRequest",
                match=("name",),
            ),
            Field(name="constraints", gates=(declared.max_items(32),), each="DeviceConstraint"),
            Field(name="config", gates=(declared.max_items(32),), each="DeviceClaimConfiguration"),
        )
    ),
    "DeviceRequest": Struct(
        fields=(
            Field(name="exactly", type="ExactDeviceRequest", pointer=True),
            Field(
                name="firstAvailable",
                gates=(declared.max_items(8),),
                unique=("name",),
                each="DeviceSubRequest",
                match=("name",),
            ),
        )
    ),
    "ExactDeviceRequest": Struct(fields=(_SELECTORS, _MODE, _TOLERATIONS)),
    "DeviceSubRequest": Struct(
        fields=(
            Field(name="deviceClassName", gates=_NEEDED, checks=(formats.long_name,)),
            _SELECTORS,
            _MODE,
            _TOLERATIONS,
        )
    ),
    "DeviceToleration": Struct(
        fields=(
            Field(name="key", checks=(formats.label_key,)),
            Field(name="operator", gates=_NEEDED, checks=(declared.one_of("Equal", "Exists"),)),
            Field(name="effect", checks=(_EFFECT,)),
        )
    ),
    "DeviceConstraint": Struct(
        fields=(
            _REQUESTS,
            Field(name="matchAttribute", pointer=True, checks=(formats.attribute,)),
            Field(name="distinctAttribute", pointer=True, checks=(formats.attribute,)),
        )
    ),
    "DeviceClaimConfiguration": Struct(fields=(_REQUESTS, _OPAQUE)),
    "OpaqueDeviceConfiguration": Struct(
        fields=(Field(name="driver", gates=_NEEDED, checks=_DRIVER),)
    ),
    # -- what became of a claim
    "ResourceClaimStatus": Struct(
        fields=(
            Field(
                name="allocation",
                pointer=True,
                gates=(declared.unmodified,),
                type="AllocationResult",
            ),
            Field(name="reservedFor", gates=(declared.max_items(256),), unique=("uid",)),
            Field(
                name="devices",
                unique=_DEVICE_KEYS,
                each="AllocatedDeviceStatus",
                match=_DEVICE_KEYS,
            ),
        )
    ),
    "AllocationResult": Struct(fields=(Field(name="devices", type="DeviceAllocationResult"),)),
    "DeviceAllocationResult": Struct(
        fields=(
            Field(name="results", gates=(declared.max_items(32),), each="DeviceResult"),
            Field(
                name="config", gates=(declared.max_items(64),), each="DeviceAllocationConfiguration"
            ),
        )
    ),
    "DeviceResult": Struct(
        fields=(
            Field(name="driver", gates=_NEEDED, checks=_DRIVER),
            Field(name="pool", gates=_NEEDED, checks=(formats.pool_name,)),
            _TOLERATIONS,
            *_BINDING,
            _SHARE,
        )
    ),
    "DeviceAllocationConfiguration": Struct(
        fields=(
            Field(
                name="source", gates=_NEEDED, checks=(declared.one_of("FromClaim", "FromClass"),)
            ),
            _REQUESTS,
            _OPAQUE,
        )
    ),
    "AllocatedDeviceStatus": Struct(
        fields=(_SHARE, Field(name="networkData", type="NetworkDeviceData", pointer=True))
    ),
    "NetworkDeviceData": Struct(
        fields=(
            Field(name="interfaceName", checks=(declared.max_bytes(256),)),
            Field(name="ips", gates=(declared.max_items(16),), unique=THEMSELVES),
            Field(name="hardwareAddress", checks=(declared.max_bytes(128),)),
        )
    ),
    # -- classes
    "DeviceClass": Struct(fields=(Field(name="spec", type="DeviceClassSpec"),)),
    "DeviceClassSpec": Struct(
        fields=(
            _SELECTORS,
            Field(name="config", gates=(declared.max_items(32),), each="DeviceClassConfiguration"),
            Field(name="extendedResourceName", pointer=True, checks=(formats.extended_resource,)),
        )
    ),
    "DeviceClassConfiguration": Struct(fields=(_OPAQUE,)),
    # -- slices
    "ResourceSlice": Struct(fields=(Field(name="spec", type="ResourceSliceSpec"),)),
    "ResourceSliceSpec": Struct(
        fields=(
            Field(name="devices", each="Device"),
            Field(
                name="sharedCounters",
                gates=(declared.max_items(8),),
                unique=("name",),
                each="CounterSet",
                match=("name",),
            ),
        )
    ),
    "Device": Struct(
        fields=(
            Field(name="attributes", each="DeviceAttribute"),
            Field(
                name="consumesCounters",
                gates=(declared.max_items(2),),
                unique=("counterSet",),
                each="DeviceCounterConsumption",
                match=("counterSet",),
            ),
            Field(name="taints", each="DeviceTaint"),
            *_BINDING,
        )
    ),
    "DeviceAttribute": Struct(
        union=("int", "bool", "string", "version", "ints", "bools", "strings", "versions")
    ),
    "CounterSet": Struct(
        fields=(Field(name="name", gates=_NEEDED, checks=(formats.short_name,)), _COUNTERS)
    ),
    "DeviceCounterConsumption": Struct(
        fields=(Field(name="counterSet", gates=_NEEDED, checks=(formats.short_name,)), _COUNTERS)
    ),
    "DeviceTaint": Struct(fields=(Field(name="effect", gates=_NEEDED, checks=(_EFFECT,)),)),
    # -- taints
    "DeviceTaintRule": Struct(fields=(Field(name="spec", type="DeviceTaintRuleSpec"),)),
    "DeviceTaintRuleSpec": Struct(fields=(Field(name="taint", type="DeviceTaint"),)),
}

# Where v1beta1 keeps what v1 keeps elsewhere.
_MOVED = (
    (re.compile(r"(devices\.requests\[\d+\])\.exactly\."), r"\1."),
    (re.compile(r"^(spec\.devices\[\d+\])\."), r"\1.basic."),
)


def findings(kind: str, obj: Json, old: Json | None, version: str) -> list[FieldError]:
    """What breaks the declared rules, at the paths of the version of the request."""
    found = declared.findings(TYPES, kind, obj, old)
    return [_moved(fault) for fault in found] if version == "v1beta1" else found


def _moved(fault: FieldError) -> FieldError:
    where = fault.field
    for pattern, replacement in _MOVED:
        where = pattern.sub(replacement, where)
    return FieldError(where, fault.reason, fault.value, fault.detail)
