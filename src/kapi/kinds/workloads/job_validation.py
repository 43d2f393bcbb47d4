"""What a job must say and what of it may change; its template alone is what a CronJob holds.

Called by the strategies in `batch.py`.
https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.templates import (
    IMMUTABLE,
    mismatch,
    selects,
    shown_selector,
    template_labels,
    unchanged_selector,
)
from kapi.kinds.pods.validation import validate_pod_template_spec
from kapi.kinds.shared import checks, go_view
from kapi.kinds.workloads.job_indexes import validate_success_policy
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]

_BATCH = "io.k8s.api.batch.v1."
COMPLETION_MODES = ("NonIndexed", "Indexed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
LEGACY_UID, LEGACY_NAME = "controller-uid", "job-name"
LABELS, LEGACY_LABELS = (CONTROLLER_UID, JOB_NAME), (LEGACY_UID, LEGACY_NAME)
_RULES_MAX = 20
_PATTERNS_MAX = 20
_EXIT_CODES_MAX = 255
_INDEXED_PARALLELISM_MAX = 100_000
_MANAGED_BY_MAX = 63
# An indexed job may fail in so many indexes ...
_FAILED_INDEXES_MAX = 100_000
# ... and one of more completions than this, with a limit for each index, in fewer, at less a time.
_MANY_COMPLETIONS = 100_000
_PARALLELISM_OF_MANY_MAX = _FAILED_INDEXES_OF_MANY_MAX = 10_000


def listed(words: Sequence[str]) -> str:
    """`["In" "NotIn"]`: a list as Go's %q prints it."""
    return "[" + " ".join(errors.quote(w) for w in words) + "]"


def validate_job_spec(spec: Json, path: str) -> Findings:
    """The spec of a job or of a job template, but for the selector."""
    out: Findings = []
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        value = spec.get(field)
        if value is not None and value < 0:
            out.append(errors.invalid_value(f"{path}.{field}", value, checks.NEGATIVE))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        out.append(errors.required(f"{path}.backoffLimitPerIndex", text))
    if spec.get("managedBy") is not None:
        out += _managed_by(spec["managedBy"], f"{path}.managedBy")
    out += _completion_mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        out += _failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        out += validate_success_policy(spec, f"{path}.successPolicy")
    out += _replacement(spec, f"{path}.podReplacementPolicy")
    template = spec.get("template") or {}
    out += validate_pod_template_spec(template, f"{path}.template")
    return out + _restart_policy(spec, template, f"{path}.template.spec.restartPolicy")


def _managed_by(value: str, path: str) -> Findings:
    out = checks.domain_prefixed_path(value, path)
    if len(value) > _MANAGED_BY_MAX:
        out.append(errors.too_long(path, _MANAGED_BY_MAX))
    return out


def _completion_mode(spec: Json, path: str) -> Findings:
    mode = spec.get("completionMode")
    if mode == "Indexed":
        return _indexed(spec, path)
    if mode not in (None, "NonIndexed"):
        return [errors.not_supported(f"{path}.completionMode", mode, COMPLETION_MODES)]
    text = "requires indexed completion mode"
    return [
        errors.invalid_value(f"{path}.{field}", spec[field], text)
        for field in ("backoffLimitPerIndex", "maxFailedIndexes")
        if spec.get(field) is not None
    ]


def _indexed(spec: Json, path: str) -> Findings:
    out: Findings = []
    completions, most = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0

    def bounded(field: str, value: int, bound: int, when: str = "") -> None:
        if value > bound:
            text = f"must be less than or equal to {bound}{when}"
            out.append(errors.invalid_value(f"{path}.{field}", value, text))

    if completions is None:
        out.append(errors.required(f"{path}.completions", "when completion mode is Indexed"))
    when = " when completion mode is Indexed"
    bounded("parallelism", parallelism, _INDEXED_PARALLELISM_MAX, when)
    if completions is not None and most is not None and most > completions:
        text = "must be less than or equal to completions"
        out.append(errors.invalid_value(f"{path}.maxFailedIndexes", most, text))
    bounded("maxFailedIndexes", most or 0, _FAILED_INDEXES_MAX)
    if (completions or 0) <= _MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return out
    if most is None:
        text = f"must be specified when completions is above {_MANY_COMPLETIONS}"
        out.append(errors.required(f"{path}.maxFailedIndexes", text))
    when = f" when completions are above {_MANY_COMPLETIONS} and used with backoff limit per index"
    bounded("parallelism", parallelism, _PARALLELISM_OF_MANY_MAX, when)
    bounded("maxFailedIndexes", most or 0, _FAILED_INDEXES_OF_MANY_MAX, when)
    return out


def _replacement(spec: Json, path: str) -> Findings:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    supported = ("Failed",)
    if spec.get("podFailurePolicy") is None:
        supported = ("Failed", "TerminatingOrFailed")  # type: ignore[assignment]
    return [] if policy in supported else [errors.not_supported(path, policy, supported)]


def _restart_policy(spec: Json, template: Json, path: str) -> Findings:
    policy = (template.get("spec") or {}).get("restartPolicy", "")
    out: Findings = []
    if policy in ("Always", ""):
        out.append(errors.required(path, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        out.append(errors.not_supported(path, policy, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        out.append(errors.invalid_value(path, policy, text))
    return out


# -- pod failure policy ---------------------------------------------------------------------------


def _failure_policy(spec: Json, path: str) -> Findings:
    out: Findings = []
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _RULES_MAX:
        out.append(errors.too_many(f"{path}.rules", len(rules), _RULES_MAX))
    pod = (spec.get("template") or {}).get("spec") or {}
    known = {
        c.get("name") for c in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ()))
    }
    for i, rule in enumerate(rules):
        out += _rule(rule, spec, known, f"{path}.rules[{i}]")
    return out


def _rule(rule: Json, spec: Json, known: set[Any], path: str) -> Findings:
    out: Findings = []
    action, codes, patterns = (
        rule.get("action"),
        rule.get("onExitCodes"),
        rule.get("onPodConditions"),
    )
    where = f"{path}.action"
    if not action:
        out.append(errors.required(where, f"valid values: {listed(ACTIONS)}"))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            text = "requires the backoffLimitPerIndex to be set"
            out.append(errors.invalid_value(where, action, text))
    elif action not in ACTIONS:
        out.append(errors.not_supported(where, action, ACTIONS))
    if codes is not None:
        out += _exit_codes(codes, known, f"{path}.onExitCodes")
    if patterns:
        out += _conditions(patterns, f"{path}.onPodConditions")
    if codes is not None and patterns:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        out.append(errors.invalid_value(path, errors.NO_VALUE, text))
    if codes is None and not patterns:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        out.append(errors.invalid_value(path, errors.NO_VALUE, text))
    return out


def _exit_codes(codes: Json, known: set[Any], path: str) -> Findings:
    out: Findings = []
    operator, values = codes.get("operator"), codes.get("values")
    where = f"{path}.operator"
    if not operator:
        out.append(errors.required(where, f"valid values: {listed(OPERATORS)}"))
    elif operator not in OPERATORS:
        out.append(errors.not_supported(where, operator, OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in known:
        text = "must be one of the container or initContainer names in the pod template"
        out.append(errors.invalid_value(f"{path}.containerName", name, text))
    where = f"{path}.values"
    if not values:
        out.append(errors.invalid_value(where, values, "at least one value is required"))
        return out
    if len(values) > _EXIT_CODES_MAX:
        out.append(errors.too_many(where, len(values), _EXIT_CODES_MAX))
    seen: set[int] = set()
    for i, value in enumerate(values):
        if operator == "In" and value == 0:
            text = "must not be 0 for the In operator"
            out.append(errors.invalid_value(f"{where}[{i}]", value, text))
        if value in seen:
            out.append(errors.duplicate(f"{where}[{i}]", value))
        seen.add(value)
    if any(a > b for a, b in pairwise(values)):
        out.append(errors.invalid_value(where, list(values), "must be ordered"))
    return out


def _conditions(patterns: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    if len(patterns) > _PATTERNS_MAX:
        out.append(errors.too_many(path, len(patterns), _PATTERNS_MAX))
    for i, pattern in enumerate(patterns):
        out += checks.qualified_name(pattern.get("type", ""), f"{path}[{i}].type")
        status, where = pattern.get("status"), f"{path}[{i}].status"
        if not status:
            out.append(errors.required(where, f"valid values: {listed(STATUSES)}"))
        elif status not in STATUSES:
            out.append(errors.not_supported(where, status, STATUSES))
    return out


# -- jobs -----------------------------------------------------------------------------------------


def validate_job(job: Json) -> Findings:
    """A job with its selector, on create and on update."""
    spec = job.get("spec") or {}
    out = validate_job_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        out.append(errors.required("spec.selector"))
        wrong = False
    else:
        found = checks.label_selector(selector, "spec.selector")
        out += found
        wrong = bool(found)
    labels = template_labels(spec.get("template") or {})
    if not wrong and not selects(selector, labels or {}):
        out.append(mismatch(labels, "spec.template"))
    return out + _hostnames(job["metadata"].get("name", ""), spec)


def _hostnames(name: str, spec: Json) -> Findings:
    """The pods of an indexed job have its name and their index for a host name."""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return []
    last = f"{name}-{completions - 1}"
    if not names.dns_label(last):
        return []
    text = f"will not able to create pod with invalid DNS label: {last}"
    return [errors.invalid_value("metadata.name", name, text)]


def validate_generated_selector(job: Json, keys: Sequence[str]) -> Findings:
    """Labels (of these keys) and selector that the server made must be those of this job."""
    spec, meta = job.get("spec") or {}, job["metadata"]
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    out: Findings = []
    labels = template_labels(spec.get("template") or {}) or {}
    uid, name = meta.get("uid", ""), meta.get("name", "")
    own = {CONTROLLER_UID: uid, JOB_NAME: name, LEGACY_UID: uid, LEGACY_NAME: name}
    own = {key: own[key] for key in keys}
    for key, value in own.items():
        where = f"spec.template.metadata.labels[{key}]"
        text = f"must be '{value}'"
        if key not in labels:
            out.append(errors.required(where, text))
        elif labels[key] != value:
            out.append(errors.invalid_value(where, dict(labels), text))
    if not selects(selector, own):
        text = "`selector` not auto-generated"
        out.append(errors.invalid_value("spec.selector", shown_selector(selector), text))
    return out


def validate_job_change(new: Json, old: Json, old_status: Json) -> Findings:
    """What may not change in the spec of a job."""
    out = _completions(new, old, "spec.completions")
    out += unchanged_selector(new.get("selector"), old.get("selector"), "spec.selector")
    waiting = bool(old.get("suspend")) and _stands_still(old_status)
    out += _template(new.get("template") or {}, old.get("template") or {}, waiting)
    for field, kind in (
        ("completionMode", ""),
        ("podFailurePolicy", "PodFailurePolicy"),
        ("backoffLimitPerIndex", ""),
        ("managedBy", ""),
        ("successPolicy", "SuccessPolicy"),
    ):
        value = new.get(field)
        if value != old.get(field):
            shown = go_view.struct(_BATCH + kind, value) if kind else value
            out.append(errors.invalid_value(f"spec.{field}", shown, IMMUTABLE))
    return out


def _stands_still(status: Json) -> bool:
    """Whether a suspended job has no pods: it never began, or its suspension was carried out."""
    suspended = any(
        c.get("type") == "Suspended" and c.get("status") == "True"
        for c in status.get("conditions") or ()
    )
    return not status.get("active") and (status.get("startTime") is None or suspended)


def _completions(new: Json, old: Json, path: str) -> Findings:
    after, before = new.get("completions"), old.get("completions")
    if after == before:
        return []
    if new.get("completionMode") != "Indexed":
        return [errors.invalid_value(path, after, IMMUTABLE)]
    if after is None or after == new.get("parallelism"):
        return []
    text = "can only be modified in tandem with spec.parallelism"
    return [errors.invalid_value(path, after, text)]


_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")


def _template(new: Json, old: Json, waiting: bool) -> Findings:
    """The template is fixed; but for where its pods go, while the job has not begun."""
    if new == old:
        return []
    pod = go_view.view("io.k8s.api.core.v1.PodSpec", new.get("spec") or {})
    if not waiting:
        shown = checks.go_json({**(new.get("metadata") or {}), "Spec": pod})
        return [errors.invalid_value("spec.template", shown, IMMUTABLE)]
    after, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    for spec in (after, before):
        for field in _SCHEDULING:
            spec.pop(field, None)
        affinity = {k: v for k, v in (spec.get("affinity") or {}).items() if k != "nodeAffinity"}
        spec.pop("affinity", None)
        if affinity:
            spec["affinity"] = affinity
        for field in ("containers", "initContainers"):
            if spec.get(field):
                spec[field] = [
                    {k: v for k, v in c.items() if k != "resources"} for c in spec[field]
                ]
    if after == before:
        return []
    return [errors.invalid_value("spec.template.spec", checks.go_json(pod), IMMUTABLE)]
