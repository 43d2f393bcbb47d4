"""HorizontalPodAutoscaler v1 ↔ v2: what v1 cannot say travels in its annotations.

Called through `CONVERSIONS` in `autoscaling.py`; v2 is the stored form. v1 knows one metric, the
utilization of CPU; all others, the behaviour and conditions stand as JSON in annotations that exist
in v1 only, so nothing is lost on the way.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.kinds import go_view
from kapi.kinds.autoscaling_metrics import spec_v1, spec_v2, status_v1, status_v2

Json = dict[str, Any]

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_OURS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)
_BEHAVIOR_TYPE = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior"


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
    metrics = [spec_v2(m) for m in _list(annotations.get(METRICS))]
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
    current = [status_v2(m) for m in _list(annotations.get(CURRENT_METRICS))]
    usage = status.get("currentCPUUtilizationPercentage")
    if not current and usage is not None:
        current = [_cpu_usage(usage)]
    new_status["currentMetrics"] = current or None
    conditions = _list(annotations.get(CONDITIONS))
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


def _list(text: str | None) -> list[Json]:
    """What an annotation holds; nothing where it is absent or no list of objects."""
    if not text:
        return []
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


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
    for go, name in (("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")):
        rules = found.get(go) if isinstance(found, dict) else None
        if isinstance(rules, dict):
            out[name] = _rules(rules)
    return out


def _rules(rules: Json) -> Json:
    out: Json = {}
    for go, name in (
        ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
        ("SelectPolicy", "selectPolicy"),
    ):
        if rules.get(go) is not None:
            out[name] = rules[go]
    policies = rules.get("Policies")
    if isinstance(policies, list):
        out["policies"] = [
            {
                "type": p.get("Type", ""),
                "value": p.get("Value", 0),
                "periodSeconds": p.get("PeriodSeconds", 0),
            }
            for p in policies
            if isinstance(p, dict)
        ]
    if rules.get("Tolerance") is not None:
        out["tolerance"] = rules["Tolerance"]
    return out
