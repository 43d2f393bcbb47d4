"""The policy group: pod disruption budgets.

A group module: plain data and small strategies, put together by `kinds/groups.py`. What a budget
allows is counted where pods are evicted.
https://kubernetes.io/docs/tasks/run-application/configure-pdb/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import cells, checks, go_view
from kapi.kinds.shared.int_or_percent import at_most_all, not_negative
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
_POLICY = "io.k8s.api.policy.v1."
UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")


class BudgetStrategy(Strategy):
    name_rule = staticmethod(names.path_segment)
    standard_finalizers = False
    unconditional_update = False
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {
                "disruptionsAllowed": 0,
                "currentHealthy": 0,
                "desiredHealthy": 0,
                "expectedPods": 0,
            }

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        if context.subresource == "status":
            status = obj.get("status") or {}
            return checks.conditions(status.get("conditions") or (), "status.conditions") + [
                errors.invalid_value(f"status.{field}", status[field], checks.NEGATIVE)
                for field in (
                    "disruptionsAllowed",
                    "currentHealthy",
                    "desiredHealthy",
                    "expectedPods",
                )
                if status.get(field, 0) < 0
            ]
        before = ((old or {}).get("spec") or {}).get("selector")
        lenient = bool(checks.label_selector(before, ""))  # it was accepted before
        return _spec(obj.get("spec") or {}, "spec", lenient=lenient)


def _spec(spec: Json, path: str, *, lenient: bool) -> Findings:
    out: Findings = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = go_view.struct(_POLICY + "PodDisruptionBudgetSpec", spec)
        text = "minAvailable and maxUnavailable cannot be both set"
        out.append(errors.invalid_value(path, shown, text))
    for field in ("minAvailable", "maxUnavailable"):
        value = spec.get(field)
        if value is not None:
            out += not_negative(value, f"{path}.{field}")
            out += at_most_all(value, f"{path}.{field}")
    out += checks.label_selector(
        spec.get("selector"), f"{path}.selector", allow_invalid_values=lenient
    )
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in UNHEALTHY:
        where = f"{path}.unhealthyPodEvictionPolicy"
        out.append(errors.not_supported(where, policy, UNHEALTHY))
    return out


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("policy", "poddisruptionbudgets"): BudgetStrategy(),
}


def _limit(field: str) -> cells.Cell:
    def cell(obj: Json, now: float) -> str:
        value = (obj.get("spec") or {}).get(field)
        return "N/A" if value is None else str(value)

    return cell


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("policy", "poddisruptionbudgets"): (
        cells.name_column(),
        cells.column(
            "Min Available",
            "string",
            _limit("minAvailable"),
            "The minimum number of pods that must be available.",
        ),
        cells.column(
            "Max Unavailable",
            "string",
            _limit("maxUnavailable"),
            "The maximum number of pods that may be unavailable.",
        ),
        cells.column(
            "Allowed Disruptions",
            "integer",
            cells.field("status", "disruptionsAllowed", default=0),
            "Calculated number of pods that may be disrupted at this time.",
        ),
        cells.age_column(),
    ),
}
