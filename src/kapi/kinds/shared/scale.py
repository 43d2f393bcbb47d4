"""Printer columns of a Scale, whatever it is the scale of. Handed to `handlers/scale.py` by
`routing/verbs.py`."""

from __future__ import annotations

from typing import Any

from kapi.kinds.shared import cells
from kapi.registry.resource import Column

Json = dict[str, Any]


def _replicas(part: str) -> Any:
    def cell(obj: Json, now: float) -> int:
        value = (obj.get(part) or {}).get("replicas")
        return value if isinstance(value, int) else 0

    return cell


COLUMNS = (
    cells.name_column(format_name=""),
    Column(
        name="Desired",
        type="integer",
        cell=_replicas("spec"),
        description="replicas is the desired number of instances for the scaled object.",
    ),
    Column(
        name="Available",
        type="integer",
        cell=_replicas("status"),
        description="replicas is the actual number of observed instances of the scaled object.",
    ),
    cells.age_column(),
)
