"""Metrics of a HorizontalPodAutoscaler between the flat form of v1 and that of v2.

Called by `autoscaling_v1.py`, which keeps the v1 form in annotations. A v1 metric is `{metricName,
targetValue …}`, a v2 metric `{metric: {name}, target: {…}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Convert = Callable[[Json], Json]


def spec_v1(metric: Json) -> Json:
    out: Json = {"type": metric.get("type", "")}
    for kind, convert in _SPEC_V1.items():
        if metric.get(kind) is not None:
            out[kind] = convert(metric[kind])
    return out


def spec_v2(metric: Json) -> Json:
    out: Json = {"type": metric.get("type", "")}
    for kind, convert in _SPEC_V2.items():
        if isinstance(metric.get(kind), dict):
            out[kind] = convert(metric[kind])
    return out


def _without_none(obj: Json) -> Json:
    return {k: v for k, v in obj.items() if v is not None}


def _identity(source: Json, key: str = "metric") -> tuple[str, Any]:
    metric = source.get(key) or {}
    return metric.get("name", ""), metric.get("selector")


def _object_v1(source: Json) -> Json:
    name, selector = _identity(source)
    target = source.get("target") or {}
    return _without_none(
        {
            "target": source.get("describedObject") or {},
            "metricName": name,
            "targetValue": target.get("value", "0"),
            "selector": selector,
            "averageValue": target.get("averageValue"),
        }
    )


def _pods_v1(source: Json) -> Json:
    name, selector = _identity(source)
    target = source.get("target") or {}
    return _without_none(
        {
            "metricName": name,
            "targetAverageValue": target.get("averageValue", "0"),
            "selector": selector,
        }
    )


def _resource_v1(source: Json) -> Json:
    target = source.get("target") or {}
    return _without_none(
        {
            "name": source.get("name", ""),
            "targetAverageUtilization": target.get("averageUtilization"),
            "targetAverageValue": target.get("averageValue"),
            "container": source.get("container"),
        }
    )


def _external_v1(source: Json) -> Json:
    name, selector = _identity(source)
    target = source.get("target") or {}
    return _without_none(
        {
            "metricName": name,
            "metricSelector": selector,
            "targetValue": target.get("value"),
            "targetAverageValue": target.get("averageValue"),
        }
    )


_SPEC_V1: dict[str, Convert] = {
    "object": _object_v1,
    "pods": _pods_v1,
    "resource": _resource_v1,
    "containerResource": _resource_v1,
    "external": _external_v1,
}


def _target(kind: str, **values: Any) -> Json:
    return {"type": kind, **_without_none(values)}


def _object_v2(source: Json) -> Json:
    average, value = source.get("averageValue"), source.get("targetValue")
    value = None if value == "0" else value
    kind = "Value" if average is None else "AverageValue"
    return {
        "describedObject": source.get("target") or {},
        "target": _target(kind, value=value, averageValue=average),
        "metric": _metric(source, "selector"),
    }


def _metric(source: Json, selector: str) -> Json:
    return _without_none({"name": source.get("metricName", ""), "selector": source.get(selector)})


def _pods_v2(source: Json) -> Json:
    return {
        "metric": _metric(source, "selector"),
        "target": _target("AverageValue", averageValue=source.get("targetAverageValue")),
    }


def _resource_v2(source: Json) -> Json:
    utilization, value = source.get("targetAverageUtilization"), source.get("targetAverageValue")
    kind = "AverageValue" if utilization is None else "Utilization"
    out: Json = {
        "name": source.get("name", ""),
        "target": _target(kind, averageValue=value, averageUtilization=utilization),
    }
    if source.get("container"):
        out["container"] = source["container"]
    return out


def _external_v2(source: Json) -> Json:
    value, average = source.get("targetValue"), source.get("targetAverageValue")
    kind = "AverageValue" if value is None else "Value"
    return {
        "metric": _metric(source, "metricSelector"),
        "target": _target(kind, value=value, averageValue=average),
    }


_SPEC_V2: dict[str, Convert] = {
    "object": _object_v2,
    "pods": _pods_v2,
    "resource": _resource_v2,
    "containerResource": _resource_v2,
    "external": _external_v2,
}


# -- current metrics ------------------------------------------------------------------------------


def status_v1(metric: Json) -> Json:
    out: Json = {"type": metric.get("type", "")}
    for kind in _SPEC_V1:
        source = metric.get(kind)
        if source is None:
            continue
        name, selector = _identity(source)
        current = source.get("current") or {}
        value, average = current.get("value", "0"), current.get("averageValue")
        if kind == "object":
            out[kind] = {
                "target": source.get("describedObject") or {},
                "metricName": name,
                "currentValue": value,
                "selector": selector,
                "averageValue": average,
            }
        elif kind == "pods":
            out[kind] = {
                "metricName": name,
                "currentAverageValue": average or "0",
                "selector": selector,
            }
        elif kind == "external":
            out[kind] = {
                "metricName": name,
                "metricSelector": selector,
                "currentValue": value,
                "currentAverageValue": average,
            }
        else:
            out[kind] = {
                "name": source.get("name", ""),
                "currentAverageUtilization": current.get("averageUtilization"),
                "currentAverageValue": average or "0",
                "container": source.get("container"),
            }
        out[kind] = _without_none(out[kind])
    return out


def status_v2(metric: Json) -> Json:
    out: Json = {"type": metric.get("type", "")}
    for kind in _SPEC_V1:
        source = metric.get(kind)
        if not isinstance(source, dict):
            continue
        average = source.get("averageValue") or source.get("currentAverageValue")
        current = _without_none(
            {
                "value": source.get("currentValue"),
                "averageValue": average,
                "averageUtilization": source.get("currentAverageUtilization"),
            }
        )
        if kind in ("resource", "containerResource"):
            out[kind] = _without_none(
                {
                    "name": source.get("name", ""),
                    "current": current,
                    "container": source.get("container"),
                }
            )
            continue
        key = "metricSelector" if kind == "external" else "selector"
        converted: Json = {"metric": _metric(source, key), "current": current}
        if kind == "object":
            converted["describedObject"] = source.get("target") or {}
        out[kind] = converted
    return out
