"""coordination.k8s.io: Lease. https://kubernetes.io/docs/concepts/architecture/leases/"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import Plain
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "coordination.k8s.io"


class LeaseStrategy(Plain):
    standard_finalizers = False
    create_on_update = True
    unconditional_update = False

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        """The gate CoordinatedLeaderElection is off: what belongs to it is dropped, but for what
        was there.
        """
        spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
        for field in ("strategy", "preferredHolder"):
            if before.get(field) is None:
                spec.pop(field, None)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        out: list[FieldError] = []
        if spec.get("leaseDurationSeconds") is not None:
            out += checks.positive(spec["leaseDurationSeconds"], "spec.leaseDurationSeconds")
        if spec.get("leaseTransitions") is not None:
            out += checks.non_negative(spec["leaseTransitions"], "spec.leaseTransitions")
        strategy = spec.get("strategy")
        if strategy is not None:
            out += checks.each("spec.strategy", strategy, strategy_complaints(strategy))
        if spec.get("preferredHolder") and not strategy:
            text = "may only be specified if `strategy` is defined"
            out.append(field_forbidden("spec.preferredHolder", text))
        return out


def strategy_complaints(name: str) -> list[str]:
    """A strategy of coordinated leader election: a known one, or a qualified name."""
    if name == "OldestEmulationVersion":
        return []
    if "/" not in name:
        return ["must be a fully qualified name"]
    return [e.detail for e in checks.qualified_name(name, "")]


STRATEGIES: Mapping[tuple[str, str], Strategy] = {(GROUP, "leases"): LeaseStrategy()}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "leases"): (
        cells.name_column(),
        cells.column(
            "Holder",
            "string",
            cells.field("spec", "holderIdentity"),
            described("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity"),
        ),
        cells.age_column(),
    ),
}
