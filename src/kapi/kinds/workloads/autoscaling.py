"""The autoscaling group: horizontal pod autoscalers, v1 and v2.

A group module: plain data and small strategies, put together by `kinds/groups.py`. v2 is the stored
form; `autoscaling_v1.py` converts.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.texts import described
from kapi.kinds.shared.types import Defaults
from kapi.kinds.workloads import autoscaling_v1
from kapi.kinds.workloads.autoscaling_specs import SOURCES, validate_spec
from kapi.registry.resource import Column, Convert
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
_V2 = "io.k8s.api.autoscaling.v2."
_DEFAULT_UTILIZATION = 80


class AutoscalerStrategy(Strategy):
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {"desiredReplicas": 0, "currentMetrics": None}

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        if context.subresource == "status":
            status = obj.get("status") or {}
            return [
                errors.invalid_value(f"status.{field}", status[field], checks.NEGATIVE)
                for field in ("currentReplicas", "desiredReplicas")
                if status.get(field, 0) < 0
            ]
        before = None if old is None else old.get("spec") or {}
        return validate_spec(obj.get("spec") or {}, before, "spec")


# -- defaults and conversion ----------------------------------------------------------------------


def _default_metric() -> Json:
    target = {"type": "Utilization", "averageUtilization": _DEFAULT_UTILIZATION}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _defaults(obj: Json) -> None:
    spec = obj.get("spec") or {}
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [_default_metric()]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.get("scaleUp") or {}
        down = behavior.get("scaleDown") or {}
        behavior["scaleUp"] = {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
            **up,
        }
        policies = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
        rules = {"selectPolicy": "Max", "policies": policies, **down}
        behavior["scaleDown"] = _in_order(rules)


def _in_order(rules: Json) -> Json:
    fields = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
    return {field: rules[field] for field in fields if field in rules}


def _defaults_v1(obj: Json) -> None:
    spec = obj.get("spec") or {}
    spec.setdefault("minReplicas", 1)
    annotations = obj["metadata"].get("annotations") or {}
    if autoscaling_v1.METRICS not in annotations:
        spec.setdefault("targetCPUUtilizationPercentage", _DEFAULT_UTILIZATION)


def _to_stored(obj: Json) -> Json:
    out = autoscaling_v1.to_v2(obj)
    _defaults(out)
    return out


DEFAULTS: Mapping[str, Defaults] = {
    _V2 + "HorizontalPodAutoscaler": _defaults,
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler": _defaults_v1,
}

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("autoscaling", "horizontalpodautoscalers"): AutoscalerStrategy(),
}

CONVERSIONS: Mapping[tuple[str, str, str], tuple[Convert | None, Convert | None]] = {
    ("autoscaling", "horizontalpodautoscalers", "v1"): (_to_stored, autoscaling_v1.from_v2),
}


# -- columns --------------------------------------------------------------------------------------

_METRICS_SHOWN_MAX = 2


def _reference_cell(obj: Json, now: float) -> str:
    target = (obj.get("spec") or {}).get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _low(obj: Json, now: float) -> str:
    value = (obj.get("spec") or {}).get("minReplicas")
    return cells.UNSET if value is None else str(value)


def _targets(obj: Json, now: float) -> str:
    metrics = (obj.get("spec") or {}).get("metrics") or ()
    current = (obj.get("status") or {}).get("currentMetrics") or ()
    if not metrics:
        return cells.NONE
    shown = [
        _target_cell(metric, current[i] if i < len(current) else {})
        for i, metric in enumerate(metrics[:_METRICS_SHOWN_MAX])
    ]
    text = ", ".join(shown)
    more = len(metrics) - _METRICS_SHOWN_MAX
    return f"{text} + {more} more..." if more > 0 else text


def _target_cell(metric: Json, current: Json) -> str:
    field = SOURCES.get(metric.get("type", ""))
    if field is None:
        return "<unknown type>"
    source = metric.get(field) or {}
    target = source.get("target") or {}
    now = (current.get(field) or {}).get("current") or {}
    average = target.get("averageValue")
    if field in ("resource", "containerResource"):
        name = source.get("name", "")
        if average is not None:
            return f"{name}: {now.get('averageValue', cells.UNKNOWN)}/{average}"
        usage, wanted = now.get("averageUtilization"), target.get("averageUtilization")
        seen = cells.UNKNOWN if usage is None else f"{usage}%"
        return f"{name}: {seen}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if field == "pods":
        return f"{now.get('averageValue', cells.UNKNOWN)}/{average or '0'}"
    if average is not None:
        return f"{now.get('averageValue', cells.UNKNOWN)}/{average} (avg)"
    return f"{now.get('value', cells.UNKNOWN)}/{target.get('value', '0')}"


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("autoscaling", "horizontalpodautoscalers"): (
        cells.name_column(),
        cells.column(
            "Reference",
            "string",
            _reference_cell,
            described(_V2 + "HorizontalPodAutoscalerSpec", "scaleTargetRef"),
        ),
        cells.column(
            "Targets", "string", _targets, described(_V2 + "HorizontalPodAutoscalerSpec", "metrics")
        ),
        cells.column(
            "MinPods", "string", _low, described(_V2 + "HorizontalPodAutoscalerSpec", "minReplicas")
        ),
        cells.column(
            "MaxPods",
            "string",
            cells.field("spec", "maxReplicas", default=0),
            described(_V2 + "HorizontalPodAutoscalerSpec", "maxReplicas"),
        ),
        cells.column(
            "Replicas",
            "string",
            cells.field("status", "currentReplicas", default=0),
            described(_V2 + "HorizontalPodAutoscalerStatus", "currentReplicas"),
        ),
        cells.age_column(),
    ),
}
