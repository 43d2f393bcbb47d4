"""HorizontalPodAutoscaler v1 ↔ v2: what v1 cannot say travels in its annotations.

Called through `CONVERSIONS` in `autoscaling.py`; v2 is the stored form. v1 knows one metric, the
utilization of CPU; all others, the behaviour and conditions stand as JSON in annotations that exist
in v1 only, so nothing is lost on the way. A client may write them, too: what does not decode is as
if it were absent.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import orjson

from kapi.kinds.shared import go_view
from kapi.kinds.shared.types import TypeTable
from kapi.kinds.workloads.autoscaling_metrics import spec_v1, spec_v2, status_v1, status_v2
from kapi.schema.decoding import Decoders
from kapi.schema.scalars import Mismatch

Json = dict[str, Any]

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_OURS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)
_V2 = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"
_BEHAVIOR_TYPE = _V2 + "Behavior"


def from_v2(obj: Json) -> Json:
    """The v1 form of a stored autoscaler."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metrics = spec.get("metrics") or []
    current = status.get("currentMetrics") or []
    ours: Json = {}
    others = [spec_v1(m) for m in metrics if not _is_utilization(m)]
    if others:
        ours[METRICS] = _text(others)
    if current:
        ours[CURRENT_METRICS] = _text([status_v1(m) for m in current])
    if spec.get("behavior") is not None:
        ours[BEHAVIOR] = _text(go_view.view(_BEHAVIOR_TYPE, spec["behavior"]))
    if status.get("conditions"):
        ours[CONDITIONS] = _text(status["conditions"])
    new_spec = _picked(spec, "scaleTargetRef", "minReplicas", "maxReplicas")
    target = next((m for m in metrics if _is_cpu(m)), None)
    if target is not None and _is_utilization(target):
        new_spec["targetCPUUtilizationPercentage"] = target["resource"]["target"][
            "averageUtilization"
        ]
    new_status = _picked(status, "observedGeneration", "lastScaleTime")
    new_status["currentReplicas"] = status.get("currentReplicas", 0)
    new_status["desiredReplicas"] = status.get("desiredReplicas", 0)
    for metric in current:
        if _is_cpu(metric):
            usage = (metric["resource"].get("current") or {}).get("averageUtilization")
            if usage is not None:
                new_status["currentCPUUtilizationPercentage"] = usage
    return {
        "kind": obj.get("kind", "HorizontalPodAutoscaler"),
        "apiVersion": "autoscaling/v1",
        "metadata": _annotated(obj.get("metadata") or {}, ours),
        "spec": new_spec,
        "status": new_status,
    }


def to_v2(obj: Json) -> Json:
    """The stored form of a v1 autoscaler."""
    spec, status, meta = obj.get("spec") or {}, obj.get("status") or {}, obj.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    new_spec = _picked(spec, "scaleTargetRef", "minReplicas", "maxReplicas")
    metrics = _read(annotations.get(METRICS), "Spec", "metrics", spec_v2)
    if spec.get("targetCPUUtilizationPercentage") is not None:
        target = {
            "type": "Utilization",
            "averageUtilization": spec["targetCPUUtilizationPercentage"],
        }
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        new_spec["metrics"] = metrics
    behavior = _behavior(annotations.get(BEHAVIOR))
    if behavior:
        new_spec["behavior"] = behavior
    new_status = _picked(status, "observedGeneration", "lastScaleTime")
    if status.get("currentReplicas"):
        new_status["currentReplicas"] = status["currentReplicas"]
    new_status["desiredReplicas"] = status.get("desiredReplicas", 0)
    current = _read(annotations.get(CURRENT_METRICS), "Status", "currentMetrics", status_v2)
    usage = status.get("currentCPUUtilizationPercentage")
    if not current and usage is not None:
        current = [_cpu_usage(usage)]
    new_status["currentMetrics"] = current or None
    conditions = _read(annotations.get(CONDITIONS), "Status", "conditions", dict)
    if conditions:
        new_status["conditions"] = conditions
    return {
        "kind": obj.get("kind", "HorizontalPodAutoscaler"),
        "apiVersion": "autoscaling/v2",
        "metadata": _annotated(meta, {}),
        "spec": new_spec,
        "status": new_status,
    }


def _cpu_usage(percent: int) -> Json:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": percent}},
    }


def _picked(obj: Json, *fields: str) -> Json:
    return {field: obj[field] for field in fields if field in obj}


def _text(value: Any) -> str:
    """JSON as Go writes it: `<`, `>` and `&` escaped."""
    text = orjson.dumps(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _decoder(type_name: str) -> Callable[[Any], Any]:
    decoders, schema = Decoders(), TypeTable().schema(type_name)
    return lambda value: decoders.decode(schema, value)[0]


def _read(text: str | None, part: str, field: str, convert: Callable[[Json], Json]) -> list[Json]:
    """The list that an annotation holds for a field of the spec or of the status."""
    try:
        found = orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(found, list) or any(not isinstance(i, dict | None) for i in found):
        return []
    try:
        decoded = _decoder(_V2 + part)({field: [convert(item or {}) for item in found]})
    except Mismatch:
        return []
    out: list[Json] = decoded.get(field) or []
    return out


def _annotated(meta: Json, ours: Json) -> Json:
    """Metadata with our annotations and no older ones of ours."""
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in _OURS}
    annotations.update(ours)
    out = dict(meta)
    if annotations:
        ordered = {key: annotations[key] for key in sorted(annotations)}
        if "annotations" in out:
            out["annotations"] = ordered
        else:
            out = _before_owners(out, ordered)
    else:
        out.pop("annotations", None)
    return out


_AFTER_ANNOTATIONS = ("ownerReferences", "finalizers", "managedFields")


def _before_owners(meta: Json, annotations: Json) -> Json:
    out = {k: v for k, v in meta.items() if k not in _AFTER_ANNOTATIONS}
    out["annotations"] = annotations
    out.update({k: meta[k] for k in _AFTER_ANNOTATIONS if k in meta})
    return out


def _is_cpu(metric: Json) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _is_utilization(metric: Json) -> bool:
    target = (metric.get("resource") or {}).get("target") or {}
    return _is_cpu(metric) and target.get("averageUtilization") is not None


# -- behaviour: the annotation holds the server's own type, with Go names -------------------------


def _behavior(text: str | None) -> Json:
    try:
        found = orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return {}
    out: Json = {}
    for name in ("scaleUp", "scaleDown"):
        rules = _any_case(found, name)
        if rules is not None:
            out[name] = _rules(rules)
    try:
        behavior: Json = _decoder(_BEHAVIOR_TYPE)(out)
    except Mismatch:
        return {}
    return behavior


def _any_case(obj: Any, name: str) -> Any:
    """A field whose name Go compares without regard to case."""
    if not isinstance(obj, dict):
        return None
    return next((obj[key] for key in reversed(obj) if key.lower() == name.lower()), None)


def _rules(rules: Any) -> Any:
    if not isinstance(rules, dict):
        return rules
    out: Json = {}
    for name in ("stabilizationWindowSeconds", "selectPolicy", "tolerance"):
        value = _any_case(rules, name)
        if value is not None:
            out[name] = value
    policies = _any_case(rules, "policies")
    if isinstance(policies, list):
        fields = ("type", "value", "periodSeconds")
        policies = [
            {field: _any_case(p, field) for field in fields} if isinstance(p, dict) else p
            for p in policies
        ]
    if policies is not None:
        out["policies"] = policies
    return out
