"""The batch group: jobs and cron jobs.

A group module: plain data and small strategies, put together by `kinds/groups.py`. The rules of
jobs are in `job_validation.py` and `job_status.py`, those of schedules in `cron_schedule.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.templates import shown_selector, template_columns, template_labels
from kapi.kinds.pods.warnings import name_warnings, template_warnings
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.texts import described
from kapi.kinds.shared.types import Defaults
from kapi.kinds.workloads import cron_schedule
from kapi.kinds.workloads.job_status import validate_job_status
from kapi.kinds.workloads.job_validation import (
    CONTROLLER_UID,
    JOB_NAME,
    LABELS,
    LEGACY_LABELS,
    LEGACY_NAME,
    LEGACY_UID,
    validate_generated_selector,
    validate_job,
    validate_job_change,
    validate_job_spec,
)
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
_BATCH = "io.k8s.api.batch.v1."
_INT32_MAX = 2**31 - 1
CRON_NAME_MAX = 52  # a job's name of 63 less the time that is appended to it
CONCURRENCY = ("Allow", "Forbid", "Replace")
# Above both, the indexes that failed may be too many for the status of an indexed job.
_MANY_COMPLETIONS, _MUCH_PARALLELISM = 100_000, 10_000
KEPT_PODS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)


class JobStrategy(Strategy):
    reset_status = (("spec",),)
    orphans_by_default = True
    deletion_warning = KEPT_PODS

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        spec.pop("scheduling", None)  # of the gate WorkloadWithJob, which is off
        if old is None:
            obj["status"] = {}
            if not spec.get("manualSelector"):
                _generate_selector(obj, spec)

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        if old is None:
            return validate_generated_selector(obj, (*LEGACY_LABELS, *LABELS)) + validate_job(obj)
        if context.subresource == "status":
            return validate_job_status(obj, old)
        change = validate_job_change(
            obj.get("spec") or {}, old.get("spec") or {}, old.get("status") or {}
        )
        return validate_job(obj) + change

    def complete(self, obj: Json, old: Json | None, context: Context) -> None:
        """A job without labels has those of its template."""
        labels = template_labels((obj.get("spec") or {}).get("template") or {})
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        return name_warnings(obj, old) + _job_warnings(obj, old, obj.get("spec") or {}, "spec")


def _job_warnings(obj: Json, old: Json | None, spec: Json, path: str) -> list[str]:
    """Of the spec of a job at a path in an object."""
    out = template_warnings(obj, old, spec.get("template") or {}, f"{path}.template")
    if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
        return out
    many = (spec.get("completions") or 0) > _MANY_COMPLETIONS
    much = (spec.get("parallelism") or 0) > _MUCH_PARALLELISM
    if spec.get("completionMode") == "Indexed" and many and much:
        text = (
            "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
            "higher than 10^4, Kubernetes might not be able to track completedIndexes when a "
            "big number of indexes fail"
        )
        out.insert(0, f"{path}: {text}")
    return out


def _generate_selector(job: Json, spec: Json) -> None:
    """Labels that only the pods of this job have, and a selector for them."""
    uid, name = job["metadata"].get("uid", ""), job["metadata"].get("name", "")
    template = spec.setdefault("template", {})
    meta = template.get("metadata")
    if meta is None:
        meta = {}
        spec["template"] = {"metadata": meta, **template}
    labels = dict(meta.get("labels") or {})
    for key, value in (
        (LEGACY_NAME, name),
        (JOB_NAME, name),
        (LEGACY_UID, uid),
        (CONTROLLER_UID, uid),
    ):
        labels.setdefault(key, value)
    meta["labels"] = {key: labels[key] for key in sorted(labels)}
    selector = spec.setdefault("selector", {})
    chosen = {CONTROLLER_UID: uid, **(selector.get("matchLabels") or {})}
    selector["matchLabels"] = {key: chosen[key] for key in sorted(chosen)}


def _job_defaults(obj: Json) -> None:
    spec = obj.get("spec") or {}
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", _INT32_MAX if per_index else 6)
    labels = template_labels(spec.get("template") or {})
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    replaced = "TerminatingOrFailed" if policy is None else "Failed"
    spec.setdefault("podReplacementPolicy", replaced)


# -- cron jobs ------------------------------------------------------------------------------------


class CronJobStrategy(Strategy):
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {}
        if not context.subresource:
            _job(obj.get("spec") or {}).pop("scheduling", None)  # as of a job

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        if context.subresource == "status":
            return []
        spec = obj.get("spec") or {}
        out = _validate_cron(spec, (old or {}).get("spec"), "spec")
        name = obj["metadata"].get("name", "")
        if old is None and len(name) > CRON_NAME_MAX:
            text = f"must be no more than {CRON_NAME_MAX} characters"
            out.append(errors.invalid_value("metadata.name", name, text))
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        spec = obj.get("spec") or {}
        out = name_warnings(obj, old)
        out += _job_warnings(obj, old, _job(spec), "spec.jobTemplate.spec")
        if old is not None and "TZ" in spec.get("schedule", ""):
            out.append(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
                "details"
            )
        return out


def _job(spec: Json) -> Json:
    """The spec of the jobs that a cron job makes."""
    job: Json = (spec.get("jobTemplate") or {}).get("spec") or {}
    return job


def _validate_cron(spec: Json, old: Json | None, path: str) -> Findings:
    out: Findings = []
    schedule = spec.get("schedule", "")
    zone = spec.get("timeZone")
    if schedule:
        zoned = "TZ" in (old or {}).get("schedule", "")
        out += _schedule(schedule, zone, f"{path}.schedule", zoned)
    out += _not_negative(spec, path, "startingDeadlineSeconds")
    if zone is not None and zone != (old or {}).get("timeZone"):
        out += _zone(zone, f"{path}.timeZone")
    out += checks.one_of(
        spec.get("concurrencyPolicy", ""), f"{path}.concurrencyPolicy", CONCURRENCY
    )
    out += _validate_template(_job(spec), f"{path}.jobTemplate.spec")
    out += _not_negative(spec, path, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    if not schedule:  # the schema's own finding, after the others
        out.append(errors.required(f"{path}.schedule"))
    return out


def _not_negative(spec: Json, path: str, *fields: str) -> Findings:
    return [
        errors.invalid_value(f"{path}.{field}", spec[field], checks.NEGATIVE)
        for field in fields
        if (spec.get(field) or 0) < 0
    ]


def _validate_template(job: Json, path: str) -> Findings:
    out = validate_job_spec(job, path)
    if job.get("selector") is not None:
        text = "`selector` will be auto-generated"
        shown = shown_selector(job["selector"])
        out.append(errors.invalid_value(f"{path}.selector", shown, text))
    if job.get("manualSelector"):
        where = f"{path}.manualSelector"
        out.append(errors.not_supported(where, True, ("nil", "false")))
    return out


def _schedule(schedule: str, zone: str | None, path: str, zoned: bool) -> Findings:
    """`zoned`: the schedule before this one named a zone, so this one may."""
    out: Findings = []
    complaint = cron_schedule.complaint(schedule)
    if complaint:
        out.append(errors.invalid_value(path, schedule, complaint))
    if "TZ" in schedule:
        if zoned and zone is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            out.append(errors.invalid_value(path, schedule, text))
        elif not zoned:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            out.append(errors.invalid_value(path, schedule, text))
    return out


def _zone(zone: str, path: str) -> Findings:
    if not zone:
        return [errors.invalid_value(path, zone, "timeZone must be nil or non-empty string")]
    unknown = errors.invalid_value(path, zone, f"unknown time zone {zone}")
    if not cron_schedule.zone_named(zone):
        return [unknown]
    out: Findings = []
    if zone.lower() == "local":
        text = (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        out.append(errors.invalid_value(path, zone, text))
    if zone != "Local" and not cron_schedule.zone_exists(zone):
        out.append(unknown)
    return out


# -- the tables -----------------------------------------------------------------------------------

DEFAULTS: Mapping[str, Defaults] = {
    _BATCH + "Job": _job_defaults,
    _BATCH + "CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
}

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("batch", "jobs"): JobStrategy(),
    ("batch", "cronjobs"): CronJobStrategy(),
}


def _completions(obj: Json, now: float) -> str:
    spec, succeeded = obj.get("spec") or {}, (obj.get("status") or {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(obj: Json, now: float) -> str:
    status = obj.get("status") or {}
    began, ended = status.get("startTime"), status.get("completionTime")
    if not began:
        return ""
    until = cells.parse_time(ended) if ended else now
    return cells.human_duration(until - cells.parse_time(began))


def _state(obj: Json, now: float) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    true = {c.get("type") for c in conditions if c.get("status") == "True"}
    for word in ("Complete", "Failed"):
        if word in true:
            return word
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if word in true:
            return word
    return "Running"


def _suspend(obj: Json, now: float) -> str:
    value = (obj.get("spec") or {}).get("suspend")
    return cells.UNSET if value is None else str(value)


def _last_schedule(obj: Json, now: float) -> str:
    time = (obj.get("status") or {}).get("lastScheduleTime")
    return cells.since(time, now) if time else cells.NONE


def _zone_cell(obj: Json, now: float) -> str:
    return (obj.get("spec") or {}).get("timeZone") or cells.NONE


def _selector(obj: Json, now: float) -> str:
    return cells.label_selector((obj.get("spec") or {}).get("selector"))


def _template_selector(obj: Json, now: float) -> str:
    job = ((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}
    return cells.label_selector(job.get("selector"))


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("batch", "jobs"): (
        cells.name_column(),
        cells.column("Status", "string", _state, "Status of the job."),
        cells.column(
            "Completions", "string", _completions, described(_BATCH + "JobStatus", "succeeded")
        ),
        cells.column("Duration", "string", _duration, "Time required to complete the job."),
        cells.age_column(),
        *template_columns("spec", "template"),
        cells.column(
            "Selector", "string", _selector, described(_BATCH + "JobSpec", "selector"), wide=True
        ),
    ),
    ("batch", "cronjobs"): (
        cells.name_column(),
        cells.column(
            "Schedule",
            "string",
            cells.field("spec", "schedule"),
            described(_BATCH + "CronJobSpec", "schedule"),
        ),
        cells.column(
            "Timezone", "string", _zone_cell, described(_BATCH + "CronJobSpec", "timeZone")
        ),
        cells.column("Suspend", "boolean", _suspend, described(_BATCH + "CronJobSpec", "suspend")),
        cells.column(
            "Active",
            "integer",
            lambda obj, now: len((obj.get("status") or {}).get("active") or ()),
            described(_BATCH + "CronJobStatus", "active"),
        ),
        cells.column(
            "Last Schedule",
            "string",
            _last_schedule,
            described(_BATCH + "CronJobStatus", "lastScheduleTime"),
        ),
        cells.age_column(),
        *template_columns("spec", "jobTemplate", "spec", "template"),
        cells.column(
            "Selector",
            "string",
            _template_selector,
            described(_BATCH + "JobSpec", "selector"),
            wide=True,
        ),
    ),
}

FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Callable[[Json], str]]] = {
    ("batch", "jobs"): {
        "status.successful": lambda obj: str((obj.get("status") or {}).get("succeeded", 0)),
    },
}
