"""ResourcePoolStatusRequest: a question about the devices of a pool, and its answer. Alpha.

All its rules are declared.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError
from kapi.kinds.devices.conversions import GROUP
from kapi.kinds.shared import declared, formats
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.declared import Field, Struct
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

POOLS_MAX, CONDITIONS_MAX, SUMMARIES_MAX = 1000, 10, 32
ERROR_BYTES_MAX = 256
_INT32 = 2**31 - 1
_NEEDED = (declared.required,)
_LIMIT = declared.between(1, POOLS_MAX)
_COUNT = declared.between(0, _INT32)


def _counts(*names: str) -> tuple[Field, ...]:
    """Numbers that must be there."""
    return tuple(
        Field(name=name, pointer=True, gates=(declared.there,), checks=(_COUNT,)) for name in names
    )


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, gates=_NEEDED) for name in names)


_TYPES: declared.Types = {
    "ResourcePoolStatusRequest": Struct(
        fields=(
            Field(name="spec", gates=(declared.immutable,), type="Spec"),
            Field(name="status", pointer=True, type="Status"),
        )
    ),
    "Spec": Struct(
        fields=(
            Field(name="driver", gates=_NEEDED, checks=(formats.long_name_caseless,)),
            Field(name="poolName", pointer=True, checks=(formats.pool_name,)),
            Field(name="limit", pointer=True, checks=(_LIMIT,)),
        )
    ),
    "Status": Struct(
        fields=(
            *_counts("poolCount"),
            Field(name="pools", gates=(declared.max_items(POOLS_MAX),), each="Pool"),
            Field(name="conditions", gates=(declared.max_items(CONDITIONS_MAX),)),
        )
    ),
    "Pool": Struct(
        fields=(
            Field(name="driver", gates=_NEEDED, checks=(formats.long_name_caseless,)),
            Field(name="poolName", gates=_NEEDED, checks=(formats.pool_name,)),
            Field(name="generation", gates=_NEEDED, checks=(declared.between(0, 2**63 - 1),)),
            Field(name="resourceSliceCount", pointer=True, checks=(declared.between(1, _INT32),)),
            *(
                Field(name=f"{which}Devices", pointer=True, checks=(_COUNT,))
                for which in ("total", "allocated", "available", "unavailable")
            ),
            Field(name="nodeName", pointer=True, checks=(formats.long_name,)),
            Field(
                name="validationError",
                pointer=True,
                checks=(declared.max_bytes(ERROR_BYTES_MAX),),
            ),
            Field(
                name="partitionSummary",
                gates=(declared.max_items(SUMMARIES_MAX),),
                unique=("attribute", "type"),
                each="Partition",
            ),
            Field(name="shareableSummary", pointer=True, type="Shareable"),
        )
    ),
    "Partition": Struct(fields=(*_texts("attribute", "type"), *_counts("total", "allocatable"))),
    "Shareable": Struct(
        fields=(
            *_counts("fullyAvailableDevices", "partiallyAvailableDevices"),
            Field(name="capacity", gates=(declared.max_items(SUMMARIES_MAX),), each="Capacity"),
        )
    ),
    "Capacity": Struct(fields=_texts("name", "total", "consumed", "available")),
}


class PoolStatusStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        return declared.findings(_TYPES, "ResourcePoolStatusRequest", obj, old)


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "resourcepoolstatusrequests"): PoolStatusStrategy(),
}
