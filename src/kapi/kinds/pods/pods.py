"""Pods, pod templates and replication controllers of the core group.

A group module: plain data and small strategies, put together by `kinds/groups.py`. Rules that every
pod spec obeys are in `validation.py`, what may change in `updates.py`, defaults in
`defaults.py`, status words in `cells.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi import errors
from kapi.clock import rfc3339
from kapi.errors import FieldError
from kapi.kinds.pods import cells as pod_cells
from kapi.kinds.pods import defaults as pod_defaults
from kapi.kinds.pods import status as pod_status
from kapi.kinds.pods import updates as pod_updates
from kapi.kinds.pods.profiles import app_armor_matches, seccomp_matches, take_app_armor
from kapi.kinds.pods.replicas import validate_replica_status
from kapi.kinds.pods.resources import qos_class
from kapi.kinds.pods.templates import (
    always_restarts,
    mismatch,
    template_columns,
    template_labels,
)
from kapi.kinds.pods.validation import validate_pod, validate_pod_template_spec
from kapi.kinds.pods.warnings import name_warnings, pod_warnings, template_warnings
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.texts import described
from kapi.kinds.shared.types import Defaults
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
_CORE = "io.k8s.api.core.v1."
_ENDED = ("Failed", "Succeeded")


class PodStrategy(Strategy):
    reset_status = (("spec",), ("metadata", "deletionTimestamp"), ("metadata", "ownerReferences"))
    sets: Mapping[str, tuple[tuple[str, ...], ...]] = {
        "ephemeralcontainers": (("spec", "ephemeralContainers"),),
        "resize": (("spec", "containers"), ("spec", "initContainers"), ("spec", "resources")),
    }

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        spec = obj.get("spec") or {}
        if old is None:
            status: Json = {"phase": "Pending"}
            if spec.get("schedulingGates"):
                status["conditions"] = [_gated(rfc3339(context.now))]
            status["qosClass"] = qos_class(spec)
            obj["status"] = status
            _merge_label_keys(obj)
            context.warned.extend(take_app_armor(obj))
        elif context.subresource == "resize":
            obj["spec"] = pod_updates.keep_only_resources(spec, old.get("spec") or {})
        elif context.subresource == "status":
            pod_status.keep(obj.setdefault("status", {}), old.get("status") or {})

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "binding":
            return []
        if context.subresource == "status":
            assert old is not None
            return pod_status.validate_status_change(obj, old)
        out = validate_pod(obj)
        if old is None:
            return out + _only_on_create(obj)
        if context.subresource == "ephemeralcontainers":
            return out + pod_updates.validate_ephemeral_change(obj, old)
        if context.subresource == "resize":
            return out + pod_updates.validate_resize(obj, old)
        return out + pod_updates.validate_pod_change(obj, old)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource == "status":
            return pod_status.address_warnings(obj.get("status") or {})
        if old is not None:
            return []
        return name_warnings(obj, old, "the Pod's hostname") + pod_warnings(obj)

    def grace_period(self, obj: Json, requested: int | None) -> int | None:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        period: int = spec.get("terminationGracePeriodSeconds", 0)
        if requested is not None:
            period = requested
        if not spec.get("nodeName") or status.get("phase") in _ENDED:
            return 0
        return 1 if period < 0 else period


def _gated(now: str) -> Json:
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _only_on_create(obj: Json) -> list[FieldError]:
    spec = obj.get("spec") or {}
    out: list[FieldError] = []
    if spec.get("ephemeralContainers"):
        where = "spec.ephemeralContainers"
        out.append(errors.field_forbidden(where, "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        out.append(errors.field_forbidden("spec.nodeName", text))
    annotations = obj["metadata"].get("annotations") or {}
    out += seccomp_matches(annotations, spec, "spec")
    return out + app_armor_matches(annotations, spec, "spec")


def _merge_label_keys(pod: Json) -> None:
    """`matchLabelKeys` of affinity terms and spread constraints become requirements with the
    values of the pod's own labels.
    """
    spec, labels = pod.get("spec") or {}, pod["metadata"].get("labels") or {}
    for constraint in spec.get("topologySpreadConstraints") or ():
        _add_requirements(constraint, labels)
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for term in terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            _add_requirements(term, labels)
        for preferred in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            if preferred.get("podAffinityTerm"):
                _add_requirements(preferred["podAffinityTerm"], labels)


def _add_requirements(term: Json, labels: Mapping[str, str]) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if key in labels:
                requirement = {"key": key, "operator": operator, "values": [labels[key]]}
                selector["matchExpressions"] = [
                    *(selector.get("matchExpressions") or ()),
                    requirement,
                ]


# -- pod templates --------------------------------------------------------------------------------


class PodTemplateStrategy(Strategy):
    reset_main = ()

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        return validate_pod_template_spec(obj.get("template") or {}, "template")

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        return template_warnings(obj, old, obj.get("template") or {}, "template")


# -- replication controllers ----------------------------------------------------------------------

_LONG_NAME = names.max_length(names.DNS_SUBDOMAIN_MAX)
_LONG_NAME_IN_BYTES = names.max_length(names.DNS_SUBDOMAIN_MAX, "bytes")


def _controller_name(name: str, prefix: bool = False) -> list[str]:
    """Names of these count bytes in complaints, unlike all others."""
    return [
        _LONG_NAME_IN_BYTES if c == _LONG_NAME else c for c in names.dns_subdomain(name, prefix)
    ]


class ReplicationControllerStrategy(Strategy):
    name_rule = staticmethod(_controller_name)
    reset_status = (("spec",),)
    orphans_by_default = True

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {"replicas": 0}

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return validate_replica_status(obj.get("status") or {})
        out, silent = _validate_controller(obj.get("spec") or {}, "spec")
        return out + ([] if old is None else _not_convertible(obj, old)) + silent

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        # An update is warned of what the old template says: so does the real server
        # (https://github.com/kubernetes/kubernetes/pull/142443).
        template = ((old or obj).get("spec") or {}).get("template") or {}
        return name_warnings(obj, old) + template_warnings(obj, old, template, "spec.template")


_NOT_CONVERTIBLE = "non-convertible.kubernetes.io"


def _not_convertible(obj: Json, old: Json) -> list[FieldError]:
    """What annotations of the stored object say that no version of the API can tell."""
    out: list[FieldError] = []
    for key, value in (old["metadata"].get("annotations") or {}).items():
        _, _, field = key.partition("/")
        if not key.startswith(_NOT_CONVERTIBLE) or not field or "/" in field:
            continue
        if "selector" not in field:
            text = "unknown non-convertible field"
            out.append(errors.field_not_found(field, value, text))
        elif (obj.get("spec") or {}).get("selector") != (old.get("spec") or {}).get("selector"):
            selector, text = obj["spec"].get("selector"), "cannot update non-convertible selector"
            out.append(errors.invalid_value("spec.selector", selector, text))
    return out


def _validate_controller(spec: Json, path: str) -> tuple[list[FieldError], list[FieldError]]:
    """Findings; and the schema's own, which come after all others."""
    out: list[FieldError] = []
    silent = [
        errors.invalid_value(f"{path}.{field}", spec[field], checks.NEGATIVE)
        for field in ("replicas", "minReadySeconds")
        if spec.get(field, 0) < 0
    ]
    selector = spec.get("selector") or {}
    if not selector:
        out.append(errors.required(f"{path}.selector"))
    template = spec.get("template")
    if template is None:
        out.append(errors.required(f"{path}.template"))
        return out, silent
    labels = template_labels(template)
    if selector and any((labels or {}).get(k) != v for k, v in selector.items()):
        out.append(mismatch(labels, f"{path}.template"))
    out += validate_pod_template_spec(template, f"{path}.template")
    out += always_restarts(template, f"{path}.template", "ReplicationController")
    return out, silent


def _controller_defaults(obj: Json) -> None:
    """The labels of the template select the pods and label the controller, where none are given."""
    spec = obj.get("spec") or {}
    labels = template_labels(spec.get("template") or {})
    if labels is not None:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)


# -- the tables -----------------------------------------------------------------------------------

DEFAULTS: Mapping[str, Defaults] = {
    **pod_defaults.DEFAULTS,
    _CORE + "ReplicationController": _controller_defaults,
    _CORE + "ReplicationControllerSpec": {"replicas": 1},
}

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "pods"): PodStrategy(),
    ("", "podtemplates"): PodTemplateStrategy(),
    ("", "replicationcontrollers"): ReplicationControllerStrategy(),
}


def _selector_cell(obj: Json, now: float) -> str:
    return cells.labels((obj.get("spec") or {}).get("selector"))


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): pod_cells.COLUMNS,
    ("", "podtemplates"): (
        cells.name_column(),
        *template_columns("template", wide=False),
        cells.column(
            "Pod Labels",
            "string",
            lambda obj, now: cells.labels(template_labels(obj.get("template") or {})),
            "The labels for the pod template.",
        ),
    ),
    ("", "replicationcontrollers"): (
        cells.name_column(),
        cells.column(
            "Desired",
            "integer",
            cells.field("spec", "replicas", default=0),
            described(_CORE + "ReplicationControllerSpec", "replicas"),
        ),
        cells.column(
            "Current",
            "integer",
            cells.field("status", "replicas", default=0),
            described(_CORE + "ReplicationControllerStatus", "replicas"),
        ),
        cells.column(
            "Ready",
            "integer",
            cells.field("status", "readyReplicas", default=0),
            described(_CORE + "ReplicationControllerStatus", "readyReplicas"),
        ),
        cells.age_column(),
        *template_columns("spec", "template"),
        cells.column(
            "Selector",
            "string",
            _selector_cell,
            described(_CORE + "ReplicationControllerSpec", "selector"),
            wide=True,
        ),
    ),
}

ROW_CONDITIONS: Mapping[tuple[str, str], Callable[[Json], list[Json]]] = {
    ("", "pods"): pod_cells.row_conditions,
}


def _text(*path: str) -> Callable[[Json], str]:
    cell = cells.field(*path)
    return lambda obj: cell(obj, 0.0)


def _pod_ip(obj: Json) -> str:
    addresses = (obj.get("status") or {}).get("podIPs")
    address: str = addresses[0].get("ip", "") if addresses else ""
    return address


def _host_network(obj: Json) -> str:
    return "true" if (obj.get("spec") or {}).get("hostNetwork") else "false"


FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Callable[[Json], str]]] = {
    ("", "pods"): {
        "spec.nodeName": _text("spec", "nodeName"),
        "spec.host": _text("spec", "nodeName"),
        "spec.restartPolicy": _text("spec", "restartPolicy"),
        "spec.schedulerName": _text("spec", "schedulerName"),
        "spec.serviceAccountName": _text("spec", "serviceAccountName"),
        "spec.hostNetwork": _host_network,
        "status.phase": _text("status", "phase"),
        "status.podIP": _pod_ip,
        "status.podIPs": _pod_ip,
        "status.nominatedNodeName": _text("status", "nominatedNodeName"),
    },
    ("", "replicationcontrollers"): {
        "status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0)),
    },
}
