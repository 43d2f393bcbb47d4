"""What a pod uses as a whole: sums over its containers, with the peak of its initialization and its
overhead.

Called by LimitRanger and ResourceQuota.
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from kapi.schema import quantity

Json = dict[str, Any]


class Sum:
    """Amounts that remember how they are spelled."""

    def __init__(self) -> None:
        self.numbers: dict[str, Decimal] = {}
        self.families: dict[str, quantity.Family] = {}

    def add(self, amounts: Json) -> None:
        for name, amount in amounts.items():
            number, family = quantity.parse(amount)
            self.families.setdefault(name, family)
            self.numbers[name] = self.numbers.get(name, Decimal(0)) + number

    def at_least(self, other: Sum) -> None:
        for name, number in other.numbers.items():
            self.families.setdefault(name, other.families[name])
            self.numbers[name] = max(self.numbers.get(name, Decimal(0)), number)

    def copy(self) -> Sum:
        out = Sum()
        out.numbers, out.families = dict(self.numbers), dict(self.families)
        return out

    def texts(self) -> dict[str, str]:
        return {
            name: quantity.spell(self.numbers[name], self.families[name])
            for name in sorted(self.numbers)
        }


def _amounts(containers: Iterable[Json], field: str) -> Iterable[tuple[Json, Json]]:
    for container in containers:
        yield container, (container.get("resources") or {}).get(field) or {}


def pod_totals(spec: Json, field: str) -> dict[str, str]:
    """`requests` or `limits` of a pod, as quantities by resource."""
    running, sidecars, peak = Sum(), Sum(), Sum()
    for _, amounts in _amounts(spec.get("containers") or (), field):
        running.add(amounts)
    for container, amounts in _amounts(spec.get("initContainers") or (), field):
        if container.get("restartPolicy") == "Always":
            running.add(amounts)
            sidecars.add(amounts)
            peak.at_least(sidecars)
        else:
            moment = sidecars.copy()
            moment.add(amounts)
            peak.at_least(moment)
    running.at_least(peak)
    for name, amount in ((spec.get("resources") or {}).get(field) or {}).items():
        running.numbers[name], running.families[name] = quantity.parse(amount)
    overhead = spec.get("overhead") or {}
    if field == "requests":
        running.add(overhead)
    else:
        running.add({k: v for k, v in overhead.items() if k in running.numbers})
    return running.texts()
