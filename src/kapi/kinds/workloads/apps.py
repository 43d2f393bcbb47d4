"""The apps group: deployments, replica sets, stateful sets, daemon sets, controller revisions.

A group module: plain data and small strategies, put together by `kinds/groups.py`. Stateful and
daemon sets are in `apps_sets.py`, columns in `apps_columns.py`, what all of them share in
`kinds/pods/controllers.py`. https://kubernetes.io/docs/concepts/workloads/controllers/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from kapi import errors
from kapi.codec.spelled import same
from kapi.errors import FieldError
from kapi.kinds.pods.controllers import (
    MORE_THAN_ALL,
    PodController,
    collisions,
    negative,
    shown_strategy,
)
from kapi.kinds.pods.replicas import at_most, counts, validate_replica_status
from kapi.kinds.pods.templates import IMMUTABLE
from kapi.kinds.shared import checks
from kapi.kinds.shared.int_or_percent import amount, at_most_all, not_negative
from kapi.kinds.shared.types import Defaults
from kapi.kinds.workloads import apps_columns
from kapi.kinds.workloads.apps_sets import (
    TEMPLATE_GENERATION,
    DaemonSetStrategy,
    StatefulSetStrategy,
    daemon_defaults,
    set_defaults,
)
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
_APPS = "io.k8s.api.apps.v1."

# -- deployments ----------------------------------------------------------------------------------


class DeploymentStrategy(PodController):
    word = "ReplicaSet"
    warns_of_name = True
    reset_status = (("spec",), ("metadata", "labels"))

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        """Unlike for other kinds, a change of annotations counts as a new generation."""
        super().prepare(obj, old, context)
        if old is None or context.subresource:
            return
        before, meta = old["metadata"], obj["metadata"]
        if (before.get("annotations") or {}) != (meta.get("annotations") or {}):
            meta["generation"] = before.get("generation", 0) + 1

    def validate_spec(self, spec: Json) -> Findings:
        out = negative(spec, "replicas")
        out += self.selector_and_template(spec, "deployment", "invalid label selector")
        out += _deployment_strategy(spec.get("strategy") or {}, "spec.strategy")
        out += negative(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and spec.get("minReadySeconds", 0) >= deadline:
            where = "spec.progressDeadlineSeconds"
            text = "must be greater than minReadySeconds"
            out.append(errors.invalid_value(where, deadline, text))
        return out

    def validate_status(self, status: Json, old: Json) -> Findings:
        out = counts(
            status,
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        )
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas"):
            out += at_most(status, field, "replicas", MORE_THAN_ALL)
        text = "cannot be greater than readyReplicas"
        out += at_most(status, "availableReplicas", "readyReplicas", text)
        return out + collisions(status, old)


def _deployment_strategy(strategy: Json, path: str) -> Findings:
    kind, update = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if update is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            return [errors.field_forbidden(f"{path}.rollingUpdate", text)]
        return []
    if kind != "RollingUpdate":
        shown = shown_strategy(strategy)
        return [errors.not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    where = f"{path}.rollingUpdate"
    if update is None:
        return [errors.required(where, "this should be defaulted and never be nil")]
    unavailable, surge = update.get("maxUnavailable", 0), update.get("maxSurge", 0)
    out = not_negative(unavailable, f"{where}.maxUnavailable")
    out += not_negative(surge, f"{where}.maxSurge")
    if amount(unavailable) == 0 and amount(surge) == 0:
        text = "may not be 0 when `maxSurge` is 0"
        out.append(errors.invalid_value(f"{where}.maxUnavailable", unavailable, text))
    return out + at_most_all(unavailable, f"{where}.maxUnavailable")


def _deployment_defaults(obj: Json) -> None:
    spec = obj.get("spec") or {}
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        update = strategy.setdefault("rollingUpdate", {})
        update.setdefault("maxUnavailable", "25%")
        update.setdefault("maxSurge", "25%")


# -- replica sets ---------------------------------------------------------------------------------


class ReplicaSetStrategy(PodController):
    word = "ReplicaSet"
    warns_of_name = True
    reset_status = (("spec",),)
    new_status = MappingProxyType({"replicas": 0})

    def validate_spec(self, spec: Json) -> Findings:
        out = negative(spec, "replicas", "minReadySeconds")
        return out + self.selector_and_template(spec, "deployment", "invalid label selector")

    def validate_status(self, status: Json, old: Json) -> Findings:
        return validate_replica_status(status)


# -- controller revisions -------------------------------------------------------------------------


class ControllerRevisionStrategy(Strategy):
    reset_main = ()

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        out: Findings = []
        data, revision = obj.get("data"), obj.get("revision", 0)
        if old is None:
            if data is None:
                out.append(errors.required("data", "data is mandatory"))
            elif not isinstance(data, dict):
                out.append(errors.required("data", "data must be a valid JSON object"))
        out += checks.non_negative(revision, "revision")
        if old is not None and not same(data, old.get("data")):
            out.append(errors.invalid_value("data", checks.go_json(data), IMMUTABLE))
        return out


# -- the tables -----------------------------------------------------------------------------------

DEFAULTS: Mapping[str, Defaults] = {
    _APPS + "Deployment": _deployment_defaults,
    _APPS + "DeploymentSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    _APPS + "ReplicaSetSpec": {"replicas": 1},
    _APPS + "StatefulSet": set_defaults,
    _APPS + "StatefulSetSpec": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
    },
    _APPS + "DaemonSet": daemon_defaults,
    _APPS + "DaemonSetSpec": {"revisionHistoryLimit": 10},
}

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("apps", "deployments"): DeploymentStrategy(),
    ("apps", "replicasets"): ReplicaSetStrategy(),
    ("apps", "statefulsets"): StatefulSetStrategy(),
    ("apps", "daemonsets"): DaemonSetStrategy(),
    ("apps", "controllerrevisions"): ControllerRevisionStrategy(),
}

COLUMNS = apps_columns.COLUMNS

HIDDEN_ANNOTATIONS: Mapping[tuple[str, str], frozenset[str]] = {
    ("apps", "daemonsets"): frozenset({TEMPLATE_GENERATION}),
}

FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Callable[[Json], str]]] = {
    ("apps", "replicasets"): {
        "status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0)),
    },
}
