"""What the status of a job may say. Controllers outside the server write it, so its promises are
kept here: a job that ended stays so, counters do not shrink, times and conditions agree.

Called by the job strategy in `batch.py` on writes of the status subresource. A rule looks only when
something that it is about changed, so a status that was wrong before can still be written.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi import errors
from kapi.errors import NO_VALUE, FieldError
from kapi.kinds.shared import cells, checks, go_view
from kapi.kinds.workloads.job_indexes import Malformed, count_indexes, first_shared_index

Json = dict[str, Any]
Findings = list[FieldError]

_UNCOUNTED = "io.k8s.api.batch.v1.UncountedTerminatedPods"
_COUNTERS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


class _Change:
    """A job's status before and after, and what of it changed."""

    def __init__(self, job: Json, old: Json) -> None:
        self.spec: Json = job.get("spec") or {}
        self.new: Json = job.get("status") or {}
        self.old: Json = old.get("status") or {}
        self.true, self.was_true = _true(self.new), _true(self.old)
        self.indexed = self.spec.get("completionMode") == "Indexed"

    def changed(self, *fields: str) -> bool:
        return any(self.new.get(f) != self.old.get(f) for f in fields)

    def ended(self, field: str) -> bool:
        """Whether the job is over, since now or with a change in the field."""
        over = _finished(self.true)
        return over and (not _finished(self.was_true) or self.changed(field))

    def turned(self, *conditions: str) -> bool:
        return any((c in self.true) != (c in self.was_true) for c in conditions)


def _true(status: Json) -> frozenset[str]:
    conditions = status.get("conditions") or ()
    return frozenset(c.get("type", "") for c in conditions if c.get("status") == "True")


def _finished(true: frozenset[str]) -> bool:
    return "Complete" in true or "Failed" in true


def validate_job_status(job: Json, old: Json) -> Findings:
    change = _Change(job, old)
    out = [
        errors.invalid_value(f"status.{field}", change.new[field], checks.NEGATIVE)
        for field in _COUNTERS
        if (change.new.get(field) or 0) < 0
    ]
    out += _uncounted(change.new.get("uncountedTerminatedPods") or {})
    out += _end(change)
    out += _indexes(change)
    out += _pods(change)
    out += [_condition(text) for text in _success(change)]
    return out + _transition(change)


def _condition(text: str) -> FieldError:
    return errors.invalid_value("status.conditions", NO_VALUE, text)


def _uncounted(pods: Json) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for i, uid in enumerate(pods.get(field) or ()):
            where = f"status.uncountedTerminatedPods.{field}[{i}]"
            if not uid:
                out.append(errors.invalid_value(where, uid, "must not be empty"))
            elif uid in seen:
                out.append(errors.duplicate(where, uid))
            seen.add(uid)
    return out


def _end(change: _Change) -> Findings:
    """Conditions and times of a job that ended."""
    out: Findings = []
    new, true = change.new, change.true
    began, ended = new.get("startTime"), new.get("completionTime")
    where = "status.completionTime"
    complete = "Complete" in true
    if complete and "Failed" in true and change.turned("Complete", "Failed"):
        out.append(_condition("cannot set Complete=True and Failed=true conditions"))
    if complete and "FailureTarget" in true and change.turned("Complete", "FailureTarget"):
        out.append(_condition("cannot set Complete=True and FailureTarget=true conditions"))
    if change.turned("Complete") or change.changed("completionTime"):
        if ended is not None and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            out.append(errors.invalid_value(where, ended, text))
        if ended is None and complete:
            out.append(errors.required(where, "completionTime is required for Complete jobs"))
    moved = change.changed("startTime", "completionTime")
    if moved and began and ended and cells.parse_time(ended) < cells.parse_time(began):
        text = "completionTime cannot be set before startTime"
        out.append(errors.invalid_value(where, ended, text))
    failed = change.turned("Failed", "FailureTarget") and "Failed" in true
    if failed and "FailureTarget" not in true:
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        out.append(_condition(text))
    if complete and "SuccessCriteriaMet" not in true and change.turned("Complete"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        out.append(_condition(text))
    return out + _remains(change)


def _remains(change: _Change) -> Findings:
    """A job that ended has begun, and has nothing that still runs."""
    out: Findings = []
    new = change.new
    if change.ended("active") and new.get("active", 0) > 0:
        text = "active>0 is invalid for finished job"
        out.append(errors.invalid_value("status.active", new["active"], text))
    unused = change.spec.get("suspend") is True and change.spec.get("completions") == 0
    if change.ended("startTime") and not new.get("startTime") and not unused:
        text = "startTime is required for finished job"
        out.append(errors.required("status.startTime", text))
    pods = new.get("uncountedTerminatedPods") or {}
    remain = any(pods.get(f) for f in ("succeeded", "failed"))
    if remain and change.ended("uncountedTerminatedPods"):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        shown = go_view.struct(_UNCOUNTED, pods)
        out.append(errors.invalid_value("status.uncountedTerminatedPods", shown, text))
    return out


def _indexes(change: _Change) -> Findings:
    completed, failed = change.new.get("completedIndexes", ""), change.new.get("failedIndexes")
    completions: int | None = change.spec.get("completions")
    per_index = change.spec.get("backoffLimitPerIndex") is not None
    out: Findings = []
    sets = (("completedIndexes", completed), ("failedIndexes", failed if per_index else None))
    for field, text in sets:
        if text and completions is not None and change.changed(field):
            try:
                count_indexes(text, completions)
            except Malformed as wrong:
                why = f"error parsing {field}: {wrong}"
                out.append(errors.invalid_value(f"status.{field}", text, why))
    if completed and not change.indexed and change.changed("completedIndexes"):
        why = "cannot set non-empty completedIndexes when non-indexed completion mode"
        out.append(errors.invalid_value("status.completedIndexes", completed, why))
    if failed is not None and not per_index and change.changed("failedIndexes"):
        why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        out.append(errors.invalid_value("status.failedIndexes", failed, why))
    if failed and completions is not None and change.changed("completedIndexes", "failedIndexes"):
        shared = first_shared_index(completed, failed, completions)
        if shared is not None:
            why = f"failedIndexes and completedIndexes overlap at index: {shared}"
            out.append(errors.invalid_value("status.failedIndexes", failed, why))
    return out


def _pods(change: _Change) -> Findings:
    out: Findings = []
    new = change.new
    terminating, ready = new.get("terminating") or 0, new.get("ready")
    if terminating > 0 and change.ended("terminating"):
        text = "terminating>0 is invalid for finished job"
        out.append(errors.invalid_value("status.terminating", terminating, text))
    if ready is not None and ready > new.get("active", 0) and change.changed("ready", "active"):
        text = "cannot set more ready pods than active"
        out.append(errors.invalid_value("status.ready", ready, text))
    return out


def _success(change: _Change) -> Iterator[str]:
    true = change.true
    met = "SuccessCriteriaMet" in true
    if met and "Failed" in true:
        yield "cannot set SuccessCriteriaMet=True and Failed=true conditions"
    if met and "FailureTarget" in true:
        yield "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"
    if change.spec.get("successPolicy") is not None and not met and "Complete" in true:
        yield "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"


def _transition(change: _Change) -> Findings:
    """What was said once is not taken back."""
    new, old = change.new, change.old
    out = [
        _condition(f"cannot disable the terminal {kind}=True condition")
        for kind in _TERMINAL
        if kind in change.was_true and kind not in change.true
    ]
    # A job whose width is its length may be scaled down, and then loses indexes.
    scalable = change.indexed and change.spec.get("completions") == change.spec.get("parallelism")
    for field in ("failed", "succeeded"):
        if field == "succeeded" and scalable:
            continue
        if new.get(field, 0) < old.get(field, 0):
            text = f"cannot decrease the {field} counter"
            out.append(errors.invalid_value(f"status.{field}", new.get(field, 0), text))
    ended = new.get("completionTime")
    if ended and old.get("completionTime") and change.changed("completionTime"):
        text = "completionTime cannot be mutated"
        out.append(errors.invalid_value("status.completionTime", ended, text))
    if old.get("startTime") and change.changed("startTime") and not change.spec.get("suspend"):
        text = "startTime cannot be removed for unsuspended job"
        out.append(errors.required("status.startTime", text))
    met, was_met = (
        "SuccessCriteriaMet" in change.true,
        "SuccessCriteriaMet" in change.was_true,
    )
    if was_met and not met:
        out.append(_condition("cannot disable the SuccessCriteriaMet=True condition"))
    if "Complete" in change.was_true and not was_met and met:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        out.append(_condition(text))
    return out
