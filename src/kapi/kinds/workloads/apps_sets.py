"""Stateful sets and daemon sets: their strategies and defaults, listed in `apps.py`.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.controllers import (
    MORE_THAN_ALL,
    PodController,
    collisions,
    negative,
    shown_strategy,
)
from kapi.kinds.pods.replicas import at_most, counts
from kapi.kinds.pods.templates import (
    is_empty,
    mismatch,
    selects,
    shown_selector,
    template_labels,
    unchanged_selector,
)
from kapi.kinds.pods.volume_warnings import claim_warnings
from kapi.kinds.shared import checks
from kapi.kinds.shared.claim_specs import validate_claim_spec
from kapi.kinds.shared.int_or_percent import amount, at_most_all, not_negative
from kapi.registry import names
from kapi.registry.strategy import Context

Json = dict[str, Any]
Findings = list[FieldError]

# -- stateful sets --------------------------------------------------------------------------------

_FIXED_SET = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
    "'minReadySeconds' are forbidden"
)
_FREE_SET = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)
_RETENTION = ("Retain", "Delete")


class StatefulSetStrategy(PodController):
    name_rule = staticmethod(names.dns_label)
    word = "StatefulSet"
    reset_status = (("spec",),)
    new_status = MappingProxyType({"replicas": 0, "availableReplicas": 0})

    def validate_spec(self, spec: Json) -> Findings:
        out: Findings = []
        policy = spec.get("podManagementPolicy")
        where = "spec.podManagementPolicy"
        if not policy:
            out.append(errors.required(where))
        elif policy not in ("OrderedReady", "Parallel"):
            text = "must be 'OrderedReady' or 'Parallel'"
            out.append(errors.invalid_value(where, policy, text))
        out += _set_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
        retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for field in ("whenDeleted", "whenScaled"):
            value = retention.get(field, "Retain")
            if value not in _RETENTION:
                inner = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
                out.append(errors.not_supported(inner, value, _RETENTION))
        out += negative(spec, "replicas", "minReadySeconds")
        start = (spec.get("ordinals") or {}).get("start", 0)
        if start < 0:
            out += checks.non_negative(start, "spec.ordinals.start")
        for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            out += validate_claim_spec(
                claim.get("spec") or {}, f"spec.volumeClaimTemplates[{i}].spec"
            )
        if spec.get("serviceName"):
            out += checks.dns_label(spec["serviceName"], "spec.serviceName")
        return out + self.selector_and_template(spec, "statefulset", "")

    def template(self, spec: Json, template: Json, path: str) -> Findings:
        claims = spec.get("volumeClaimTemplates")
        if claims:
            template = _with_claims(template, claims)
        return super().template(spec, template, path)

    def validate_change(self, spec: Json, old: Json) -> Findings:
        out = self.validate_spec(spec)
        if any(
            spec.get(field) != old.get(field)
            for field in spec.keys() | old.keys()
            if field not in _FREE_SET
        ):
            out.append(errors.field_forbidden("spec", _FIXED_SET))
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        out, spec = super().warnings(obj, old, context), obj.get("spec") or {}
        for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            where = f"spec.volumeClaimTemplates[{i}]" + ("" if old is None else ".Spec")
            out += claim_warnings(claim.get("spec") or {}, where)
        if spec.get("revisionHistoryLimit", 0) < 0:
            text = "a negative value retains all historical revisions; a value >= 0 is recommended"
            out.append(f"spec.revisionHistoryLimit: {text}")
        return out

    def validate_status(self, status: Json, old: Json) -> Findings:
        parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        out = counts(status, "replicas", *parts, "observedGeneration", "collisionCount")
        for field in parts:
            out += at_most(status, field, "replicas", MORE_THAN_ALL)
        text = "cannot be greater than status.readyReplicas"
        out += at_most(status, "availableReplicas", "readyReplicas", text)
        return out + collisions(status, old)


def _with_claims(template: Json, claims: list[Json]) -> Json:
    """The template with the volumes that its claim templates become."""
    pod = template.get("spec") or {}
    volumes = list(pod.get("volumes") or ())
    seen = {v.get("name", "") for v in volumes}
    for claim in claims:
        name = (claim.get("metadata") or {}).get("name", "")
        if name not in seen:
            seen.add(name)
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    return {**template, "spec": {**pod, "volumes": volumes}}


def _set_strategy(strategy: Json, path: str) -> Findings:
    kind, update = strategy.get("type", ""), strategy.get("rollingUpdate")
    where = f"{path}.rollingUpdate"
    if not kind:
        return [errors.required(path)]
    rolling = None
    if update is not None:
        rolling = {
            "Partition": update.get("partition", 0),
            "MaxUnavailable": update.get("maxUnavailable"),
        }
    if kind == "OnDelete":
        if update is None:
            return []
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [errors.invalid_value(where, checks.go_json(rolling), text)]
    if kind != "RollingUpdate":
        shown = checks.go_json({"Type": kind, "RollingUpdate": rolling})
        text = "must be 'RollingUpdate' or 'OnDelete'"
        return [errors.invalid_value(path, shown, text)]
    if update is None:
        return []
    out = checks.non_negative(update.get("partition", 0), f"{where}.partition")
    unavailable = update.get("maxUnavailable")
    if unavailable is not None:
        inner = f"{where}.maxUnavailable"
        out += not_negative(unavailable, inner)
        if amount(unavailable) == 0:
            out.append(errors.invalid_value(inner, unavailable, "cannot be 0"))
        out += at_most_all(unavailable, inner)
    return out


def set_defaults(obj: Json) -> None:
    spec = obj.get("spec") or {}
    strategy = spec.setdefault("updateStrategy", {})
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    update = strategy.get("rollingUpdate")
    if strategy["type"] == "RollingUpdate" and update is not None:
        update.setdefault("partition", 0)
        update.setdefault("maxUnavailable", 1)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"


# -- daemon sets ----------------------------------------------------------------------------------

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}", re.ASCII)


class DaemonSetStrategy(PodController):
    word = "DaemonSet"
    reset_status = (("spec",),)
    new_status = MappingProxyType(
        {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }
    )

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        super().prepare(obj, old, context)
        wanted = _generation(obj)
        if old is None:
            generation = max(wanted, 1)
        else:
            before, after = old.get("spec") or {}, obj.get("spec") or {}
            changed = before.get("template") != after.get("template")
            generation = _generation(old) + (changed and not context.subresource)
        meta = obj["metadata"]
        meta["annotations"] = _with_generation(meta.get("annotations") or {}, generation)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        """Only another template is looked at."""
        before = (old or {}).get("spec") or {}
        if old is not None and before.get("template") == (obj.get("spec") or {}).get("template"):
            return []
        return super().warnings(obj, old, context)

    def validate_spec(self, spec: Json) -> Findings:
        selector, template = spec.get("selector"), spec.get("template") or {}
        out = checks.label_selector(selector, "spec.selector")
        if not out and not selects(selector, template_labels(template) or {}):
            out.append(mismatch(template_labels(template), "spec.template"))
        if selector is not None and is_empty(selector):
            text = "empty selector is invalid for daemonset"
            out.append(errors.invalid_value("spec.selector", shown_selector(selector), text))
        out += self.template(spec, template, "spec.template")
        out += negative(spec, "minReadySeconds")
        out += _daemon_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
        return out + negative(spec, "revisionHistoryLimit")

    def validate_change(self, spec: Json, old: Json) -> Findings:
        selector = spec.get("selector")
        out = unchanged_selector(selector, old.get("selector"), "spec.selector")
        return out + self.validate_spec(spec)

    def validate_status(self, status: Json, old: Json) -> Findings:
        out = counts(
            status,
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
        )
        return out + collisions(status, old)


def _with_generation(annotations: Json, generation: int) -> Json:
    out = {**annotations, TEMPLATE_GENERATION: str(generation)}
    return {key: out[key] for key in sorted(out)}


def _generation(obj: Json) -> int:
    """Raises ApiError 400 for an annotation that is no number: one is made of it on decoding."""
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0")
    number = int(text) if _WHOLE.fullmatch(text) else None
    if number is None or not -(2**63) <= number < 2**63:
        why = "invalid syntax" if number is None else "value out of range"
        raise errors.bad_request(
            'DaemonSet in version "v1" cannot be handled as a DaemonSet: '
            f"strconv.ParseInt: parsing {errors.quote(text)}: {why}"
        )
    return number


def _daemon_strategy(strategy: Json, path: str) -> Findings:
    kind, update = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = shown_strategy(strategy)
        return [errors.not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    where = f"{path}.rollingUpdate"
    if update is None:
        return [errors.required(where)]
    unavailable, surge = update.get("maxUnavailable", 0), update.get("maxSurge", 0)
    out = not_negative(unavailable, f"{where}.maxUnavailable")
    out += not_negative(surge, f"{where}.maxSurge")
    out += at_most_all(unavailable, f"{where}.maxUnavailable")
    out += at_most_all(surge, f"{where}.maxSurge")
    if amount(unavailable) and amount(surge):
        text = "may not be set when maxUnavailable is non-zero"
        out.append(errors.invalid_value(f"{where}.maxSurge", surge, text))
    elif not amount(unavailable) and not amount(surge):
        text = "cannot be 0 when maxSurge is 0"
        out.append(errors.required(f"{where}.maxUnavailable", text))
    return out


def daemon_defaults(obj: Json) -> None:
    meta = obj["metadata"]
    if TEMPLATE_GENERATION not in (meta.get("annotations") or {}):
        # A number inside the server, an annotation outside: it is there, and owned, from the first.
        meta["annotations"] = _with_generation(meta.get("annotations") or {}, 0)
    spec = obj.get("spec") or {}
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        update = strategy.setdefault("rollingUpdate", {})
        update.setdefault("maxUnavailable", 1)
        update.setdefault("maxSurge", 0)
