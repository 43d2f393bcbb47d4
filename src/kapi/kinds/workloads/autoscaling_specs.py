"""What a HorizontalPodAutoscaler must say: what to scale, by which metrics, how fast.

Called by the strategy in `autoscaling.py`, with the stored form, v2.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks
from kapi.kinds.shared.resource_names import container_resource
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]
# What the apiVersion of a reference must name.
VersionRule = Literal["group", "group optional", "anything"]
METRIC_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
TARGET_TYPES = ("Utilization", "Value", "AverageValue")
SELECT_POLICIES = ("Disabled", "Max", "Min")
_WINDOW_SECONDS_MAX = 3600
_PERIOD_SECONDS_MAX = 1800
# The field that a type of metric fills, in the order in which they are looked at.
SOURCES: Mapping[str, str] = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def validate_spec(spec: Json, old: Json | None, path: str) -> Findings:
    """`old`: the spec before an update."""
    out: Findings = []
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    where = f"{path}.maxReplicas"
    if low is not None and high < low:
        text = "must be greater than or equal to `minReplicas`"
        out.append(errors.invalid_value(where, high, text))
    target = spec.get("scaleTargetRef") or {}
    rule = _version_rule(target, None if old is None else old.get("scaleTargetRef") or {})
    out += _reference(target, f"{path}.scaleTargetRef", rule)
    metrics = spec.get("metrics") or ()
    objects: VersionRule = "group optional"
    if any(_described_wrongly(m) for m in (old or {}).get("metrics") or ()):
        objects = "anything"
    for i, metric in enumerate(metrics):
        out += _metric(metric, f"{path}.metrics[{i}]", objects)
    if low == 0 and not any(m.get("type") in ("Object", "External") for m in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero "
        out.append(errors.field_forbidden(f"{path}.metrics", f"{text}replicas"))
    for field in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(field)
        if rules is not None:
            out += _rules(rules, f"{path}.behavior.{field}")
    # The schema's own findings, after the others.
    if low is not None and low < 0:
        out.append(errors.invalid_value(f"{path}.minReplicas", low, checks.NEGATIVE))
    if high == 0:
        out.append(errors.required(where))
    elif high < 0:
        out.append(errors.invalid_value(where, high, "must be greater than or equal to 1"))
    return out


def _version_rule(target: Json, old: Json | None) -> VersionRule:
    """What the version of the object to scale must be; one that was accepted before is again."""
    if old is not None and all(old.get(f) == target.get(f) for f in ("apiVersion", "kind")):
        return "anything"
    if target.get("kind") == "ReplicationController":  # what can be scaled of the core group
        return "group optional"
    return "group"


def _described_wrongly(metric: Json) -> bool:
    about = (metric.get("object") or {}).get("describedObject") or {}
    return metric.get("type") == "Object" and bool(_version(about, "", "group optional"))


def _reference(ref: Json, path: str, rule: VersionRule) -> Findings:
    """An object to scale or to look at."""
    out: Findings = []
    for field in ("kind", "name"):
        value = ref.get(field, "")
        if not value:
            out.append(errors.required(f"{path}.{field}"))
        else:
            out += checks.each(f"{path}.{field}", value, names.path_segment(value))
    return out + _version(ref, f"{path}.apiVersion", rule)


def _version(ref: Json, path: str, rule: VersionRule) -> Findings:
    version = ref.get("apiVersion", "")
    if rule == "anything":
        return []
    if version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        return [errors.invalid_value(path, version, text)]
    group, slash, _ = version.partition("/")
    if rule == "group" and not (slash and group):
        return [errors.invalid_value(path, version, "apiVersion must specify API group")]
    return []


# -- metrics --------------------------------------------------------------------------------------


def _metric(metric: Json, path: str, objects: VersionRule) -> Findings:
    out: Findings = []
    kind = metric.get("type", "")
    if not kind:
        out.append(errors.required(f"{path}.type", "must specify a metric source type"))
    if kind not in METRIC_TYPES:
        out.append(errors.not_supported(f"{path}.type", kind, METRIC_TYPES))
    given = [field for field in SOURCES.values() if metric.get(field) is not None]
    if given:
        out += _source(given[0], metric[given[0]], f"{path}.{given[0]}", objects)
    expected = SOURCES.get(kind, "")
    if expected and expected not in given:
        text = "must populate information for the given metric source"
        out.append(errors.required(f"{path}.{expected}", text))
    if len(given) != 1:
        text = "must populate the given metric source only"
        out += [errors.field_forbidden(f"{path}.{f}", text) for f in given if f != expected]
    return out


def _source(kind: str, source: Json, path: str, objects: VersionRule) -> Findings:
    target = source.get("target") or {}
    value, average = target.get("value"), target.get("averageValue")
    utilization = target.get("averageUtilization")
    out: Findings = []
    if kind == "object":
        about = source.get("describedObject") or {}
        out += _reference(about, f"{path}.describedObject", objects)
    if kind in ("object", "external", "pods"):
        out += _identifier(source.get("metric") or {}, f"{path}.metric")
    else:
        out += _resource(kind, source, path)
    out += _target(target, f"{path}.target")
    where = f"{path}.target.averageValue"
    if kind == "object":
        if value is None and average is None:
            text = "must set either a target value or averageValue"
            out.append(errors.required(where, text))
    elif kind == "external":
        if value is None and average is None:
            text = "must set either a target value for metric or a per-pod target"
            out.append(errors.required(where, text))
        if value is not None and average is not None:
            text = "may not set both a target value for metric and a per-pod target"
            out.append(errors.field_forbidden(f"{path}.target.value", text))
    elif kind == "pods":
        if average is None:
            out.append(errors.required(where, "must specify a positive target averageValue"))
    else:
        if utilization is None and average is None:
            text = "must set either a target raw value or a target utilization"
            out.append(errors.required(f"{path}.target.averageUtilization", text))
        if utilization is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            out.append(errors.field_forbidden(where, text))
    return out


def _resource(kind: str, source: Json, path: str) -> Findings:
    """Which resource of a pod, or of one of its containers."""
    name, container = source.get("name", ""), source.get("container", "")
    out: Findings = []
    if not name:
        out.append(errors.required(f"{path}.name", "must specify a resource name"))
    if kind == "resource":
        return out
    if name:
        out += container_resource(name, f"{path}.name")
    if not container:
        out.append(errors.required(f"{path}.container", "must specify a container"))
    else:
        out += checks.dns_label(container, f"{path}.container")
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
