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
from kapi.registry import names
from kapi.registry.resource import Column, Convert
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
_V2 = "io.k8s.api.autoscaling.v2."
METRIC_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
TARGET_TYPES = ("Utilization", "Value", "AverageValue")
SELECT_POLICIES = ("Disabled", "Max", "Min")
_WINDOW_SECONDS_MAX = 3600
_PERIOD_SECONDS_MAX = 1800
_DEFAULT_UTILIZATION = 80
_SOURCES: Mapping[str, str] = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


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
        return _spec(obj.get("spec") or {}, before, "spec")


def _spec(spec: Json, old: Json | None, path: str) -> Findings:
    out: Findings = []
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is not None and low < 1:
        text = "must be greater than or equal to 1"
        out.append(errors.invalid_value(f"{path}.minReplicas", low, text))
    where = f"{path}.maxReplicas"
    if low is not None and high < low:
        text = "must be greater than or equal to `minReplicas`"
        out.append(errors.invalid_value(where, high, text))
    target = spec.get("scaleTargetRef") or {}
    known = old is not None and (old.get("scaleTargetRef") or {}).get("apiVersion") == target.get(
        "apiVersion"
    )
    out += _reference(target, f"{path}.scaleTargetRef", known)
    for i, metric in enumerate(spec.get("metrics") or ()):
        out += _metric(metric, f"{path}.metrics[{i}]")
    for field in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(field)
        if rules is not None:
            out += _rules(rules, f"{path}.behavior.{field}")
    if high == 0:
        out.append(errors.required(where))
    elif high < 0:
        out.append(errors.invalid_value(where, high, "must be greater than or equal to 1"))
    return out


def _reference(ref: Json, path: str, known: bool = False) -> Findings:
    """An object to scale or to look at; `known`: its version was accepted before."""
    out: Findings = []
    for field in ("kind", "name"):
        value = ref.get(field, "")
        if not value:
            out.append(errors.required(f"{path}.{field}"))
        else:
            out += checks.each(f"{path}.{field}", value, names.path_segment(value))
    if known:
        return out
    version, where = ref.get("apiVersion", ""), f"{path}.apiVersion"
    if version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        out.append(errors.invalid_value(where, version, text))
    elif "/" not in version and not (
        version == "v1" and ref.get("kind") == "ReplicationController"
    ):
        out.append(errors.invalid_value(where, version, "apiVersion must specify API group"))
    return out


# -- metrics --------------------------------------------------------------------------------------


def _metric(metric: Json, path: str) -> Findings:
    out: Findings = []
    kind = metric.get("type", "")
    if not kind:
        out.append(errors.required(f"{path}.type", "must specify a metric source type"))
    if kind not in METRIC_TYPES:
        out.append(errors.not_supported(f"{path}.type", kind, METRIC_TYPES))
    given = [field for field in _SOURCES.values() if metric.get(field) is not None]
    if given:
        out += _source(given[0], metric[given[0]], f"{path}.{given[0]}")
    expected = _SOURCES.get(kind, "")
    if expected and expected not in given:
        text = "must populate information for the given metric source"
        out.append(errors.required(f"{path}.{expected}", text))
    if len(given) != 1:
        text = "must populate the given metric source only"
        out += [errors.field_forbidden(f"{path}.{f}", text) for f in given if f != expected]
    return out


def _source(kind: str, source: Json, path: str) -> Findings:
    target = source.get("target") or {}
    value, average = target.get("value"), target.get("averageValue")
    utilization = target.get("averageUtilization")
    out: Findings = []
    if kind == "object":
        out += _reference(source.get("describedObject") or {}, f"{path}.describedObject")
    if kind in ("object", "external", "pods"):
        out += _identifier(source.get("metric") or {}, f"{path}.metric")
    elif not source.get("name"):
        out.append(errors.required(f"{path}.name", "must specify a resource name"))
    if kind == "containerResource" and not source.get("container"):
        out.append(errors.required(f"{path}.container", "must specify a container"))
    out += _target(target, f"{path}.target")
    where = f"{path}.target.averageValue"
    if kind in ("object", "external"):
        if value is None and average is None:
            text = "must set either a target value for metric or a per-pod target"
            out.append(errors.required(where, text))
        if value is not None and average is not None:
            text = "may not set both a target value for metric and a per-pod target"
            out.append(errors.field_forbidden(f"{path}.target.value", text))
    elif kind == "pods":
        if average is None or checks.number(average) <= 0:
            out.append(errors.required(where, "must specify a positive target averageValue"))
    else:
        if utilization is None and average is None:
            text = "must set either a target raw value or a target utilization"
            out.append(errors.required(f"{path}.target.averageUtilization", text))
        if utilization is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            out.append(errors.field_forbidden(where, text))
    return out


def _identifier(metric: Json, path: str) -> Findings:
    name = metric.get("name", "")
    if not name:
        return [errors.required(f"{path}.name", "must specify a metric name")]
    return checks.each(f"{path}.name", name, names.path_segment(name))


def _target(target: Json, path: str) -> Findings:
    out: Findings = []
    kind = target.get("type", "")
    if not kind:
        out.append(errors.required(f"{path}.type", "must specify a metric target type"))
    if kind not in TARGET_TYPES:
        text = "must be either Utilization, Value, or AverageValue"
        out.append(errors.invalid_value(f"{path}.type", kind, text))
    for field in ("value", "averageValue"):
        amount = target.get(field)
        if amount is not None and checks.number(amount) <= 0:
            out.append(errors.invalid_value(f"{path}.{field}", amount, "must be positive"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        where = f"{path}.averageUtilization"
        out.append(errors.invalid_value(where, utilization, "must be greater than 0"))
    return out


# -- behaviour ------------------------------------------------------------------------------------


def _rules(rules: Json, path: str) -> Findings:
    out: Findings = []
    window = rules.get("stabilizationWindowSeconds")
    where = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        text = "must be greater than or equal to zero"
        out.append(errors.invalid_value(where, window, text))
    if window is not None and window > _WINDOW_SECONDS_MAX:
        text = f"must be less than or equal to {_WINDOW_SECONDS_MAX}"
        out.append(errors.invalid_value(where, window, text))
    select = rules.get("selectPolicy")
    if select is not None and select not in SELECT_POLICIES:
        out.append(errors.not_supported(f"{path}.selectPolicy", select, SELECT_POLICIES))
    policies = rules.get("policies") or ()
    if not policies:
        out.append(errors.required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies):
        out += _policy(policy, f"{path}.policies[{i}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and checks.number(tolerance) < 0:
        out.append(errors.invalid_value(f"{path}.tolerance", tolerance, checks.NEGATIVE))
    return out


def _policy(policy: Json, path: str) -> Findings:
    out: Findings = []
    kind, value = policy.get("type", ""), policy.get("value", 0)
    period = policy.get("periodSeconds", 0)
    if kind not in ("Pods", "Percent"):
        out.append(errors.not_supported(f"{path}.type", kind, ("Percent", "Pods")))
    if value <= 0:
        out.append(errors.invalid_value(f"{path}.value", value, "must be greater than zero"))
    where = f"{path}.periodSeconds"
    if period <= 0:
        out.append(errors.invalid_value(where, period, "must be greater than zero"))
    if period > _PERIOD_SECONDS_MAX:
        text = f"must be less than or equal to {_PERIOD_SECONDS_MAX}"
        out.append(errors.invalid_value(where, period, text))
    return out


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
    field = _SOURCES.get(metric.get("type", ""))
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
