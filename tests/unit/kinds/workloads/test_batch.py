"""Jobs and cron jobs: generated selectors, defaults, findings, what may change, cells."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import NOW, cells, changed, context, defaulted, findings, found, kind, made, pod

Json = dict[str, Any]
JOBS, CRONS = "jobs.batch", "cronjobs.batch"
UID = "2b1e6f6c-0000-4000-8000-000000000000"  # of every object on this bench


def template(container: Json | None = None, **spec: Any) -> Json:
    return pod(container, **{"restartPolicy": "Never", **spec})


def job(**spec: Any) -> Json:
    return {"spec": {"template": template(), **spec}}


def cron(**spec: Any) -> Json:
    given = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": template()}}}
    return {"spec": {**given, **spec}}


def policy(*rules: Json) -> Json:
    return {"podFailurePolicy": {"rules": list(rules)}}


class TestDefaults:
    def spec(self, **given: Any) -> Json:
        out: Json = defaulted(JOBS, job(**given))["spec"]
        return {k: v for k, v in out.items() if k != "template"}

    def test_the_smallest_job(self) -> None:
        assert self.spec() == {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "manualSelector": False,
            "podReplacementPolicy": "TerminatingOrFailed",
        }

    def test_a_work_queue_has_no_completions(self) -> None:
        assert "completions" not in self.spec(parallelism=3)

    def test_failures_per_index(self) -> None:
        spec = self.spec(completions=2, completionMode="Indexed", backoffLimitPerIndex=1)
        assert spec["backoffLimit"] == 2147483647

    def test_a_failure_policy_waits_for_the_end(self) -> None:
        rule = {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget"}]}
        spec = self.spec(**policy(rule))
        assert spec["podReplacementPolicy"] == "Failed"
        (pattern,) = spec["podFailurePolicy"]["rules"][0]["onPodConditions"]
        assert pattern["status"] == "True"

    def test_cron_jobs(self) -> None:
        spec = defaulted(CRONS, cron())["spec"]
        assert spec["concurrencyPolicy"] == "Allow"
        assert (spec["suspend"], spec["successfulJobsHistoryLimit"]) == (False, 3)
        assert spec["failedJobsHistoryLimit"] == 1
        assert "backoffLimit" not in spec["jobTemplate"]["spec"]  # that is for the job to come


class TestSelectors:
    OWN = "batch.kubernetes.io/controller-uid"

    def test_one_is_made(self) -> None:
        spec = made(JOBS, job())["spec"]
        assert spec["selector"] == {"matchLabels": {self.OWN: UID}}
        assert spec["template"]["metadata"]["labels"] == {
            "batch.kubernetes.io/controller-uid": UID,
            "batch.kubernetes.io/job-name": "a",
            "controller-uid": UID,
            "job-name": "a",
        }
        assert next(iter(spec["template"])) == "metadata"

    def test_a_job_without_labels_gets_those(self) -> None:
        obj = made(JOBS, job())
        strategy, version = kind(JOBS).strategy, next(iter(kind(JOBS).versions.values()))
        strategy.complete(obj, None, context("CREATE", version))
        assert obj["metadata"]["labels"] == obj["spec"]["template"]["metadata"]["labels"]

    def test_a_manual_one_is_left_alone(self) -> None:
        assert findings(JOBS, job(manualSelector=True)) == [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match "
            "template `labels`",
        ]
        labels = {"app": "x"}
        given = job(manualSelector=True, selector={"matchLabels": labels})
        given["spec"]["template"]["metadata"] = {"labels": labels}
        assert findings(JOBS, given) == []

    def test_labels_of_another_job(self) -> None:
        given = job()
        given["spec"]["template"]["metadata"] = {"labels": {"job-name": "other"}}
        (text, *_) = findings(JOBS, given)
        assert text.startswith("spec.template.metadata.labels[job-name]: Invalid value: {")
        assert text.endswith("must be 'a'")

    def test_a_selector_of_another_job(self) -> None:
        (text, *_) = findings(JOBS, job(selector={"matchLabels": {"x": "y"}}))
        assert text.startswith('spec.selector: Invalid value: {"matchLabels":{')
        assert text.endswith("`selector` not auto-generated")


RULE = "spec.podFailurePolicy.rules[0]"
EXIT: Json = {"operator": "In", "values": [1]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (policy({"action": "FailJob", "onExitCodes": EXIT}), []),
        (
            {"completions": -1, "parallelism": -1, "backoffLimit": -1},
            [
                "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
                "spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            {"template": template(restartPolicy="Always")},
            [
                "spec.template.spec.restartPolicy: Required value: valid values: "
                '"OnFailure", "Never"'
            ],
        ),
        (
            {"template": template(restartPolicy="Odd")},
            [
                'spec.template.spec.restartPolicy: Unsupported value: "Odd": supported values: '
                '"Always", "OnFailure", "Never"',
                'spec.template.spec.restartPolicy: Unsupported value: "Odd": supported values: '
                '"OnFailure", "Never"',
            ],
        ),
        (
            {"completionMode": "Odd"},
            [
                'spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", '
                '"Indexed"'
            ],
        ),
        (
            {"completionMode": "Indexed", "parallelism": 3},
            [
                "spec.completions: Required value: when completion mode is Indexed",
            ],
        ),
        (
            {"backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            policy({}),
            [
                f'{RULE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" '
                '"Ignore"]',
                f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is "
                "required",
            ],
        ),
        (
            policy({"action": "FailJob", "onExitCodes": {}}),
            [
                f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
                f"{RULE}.onExitCodes.values: Invalid value: null: at least one value is required",
            ],
        ),
        (
            policy({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 0, 2]}}),
            [
                f"{RULE}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In "
                "operator",
                f"{RULE}.onExitCodes.values[2]: Duplicate value: 2",
                f"{RULE}.onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
            ],
        ),
        (
            policy({"action": "FailIndex", "onExitCodes": EXIT}),
            [
                f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to '
                "be set"
            ],
        ),
    ],
)
def test_findings_in_jobs(spec: Json, expected: list[str]) -> None:
    assert findings(JOBS, job(**spec)) == expected


MANY: Json = {"completionMode": "Indexed", "completions": 200_000, "backoffLimitPerIndex": 1}
OF_MANY = "when completions are above 100000 and used with backoff limit per index"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({**MANY, "maxFailedIndexes": 10_000, "parallelism": 10_000}, []),
        (
            {**MANY, "parallelism": 10_001},
            [
                "spec.maxFailedIndexes: Required value: must be specified when completions is "
                "above 100000",
                "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 "
                f"{OF_MANY}",
            ],
        ),
        (
            {**MANY, "maxFailedIndexes": 100_001},
            [
                "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to "
                "100000",
                "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 10000 "
                f"{OF_MANY}",
            ],
        ),
        (
            {"completionMode": "Indexed", "parallelism": 100_001},
            [
                "spec.completions: Required value: when completion mode is Indexed",
                "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 "
                "when completion mode is Indexed",
            ],
        ),
    ],
)
def test_wide_jobs(spec: Json, expected: list[str]) -> None:
    assert findings(JOBS, job(**spec)) == expected


@pytest.mark.parametrize(("name", "last"), [("a.b", "a.b-4"), ("a" * 62, f"{'a' * 62}-4")])
def test_pods_of_an_indexed_job_have_host_names(name: str, last: str) -> None:
    given = {"metadata": {"name": name}, **job(**INDEXED)}
    assert findings(JOBS, given) == [
        f'metadata.name: Invalid value: "{name}": will not able to create pod with invalid DNS '
        f"label: {last}"
    ]
    assert findings(JOBS, {"metadata": {"name": name}, **job()}) == []


def warnings(name: str, given: Json, old: Json | None = None) -> list[str]:
    obj = made(name, given, old=old)
    of = next(iter(kind(name).versions.values()))
    about = context("CREATE" if old is None else "UPDATE", of)
    return kind(name).strategy.warnings(obj, old, about)


def test_warnings() -> None:
    dotted = {"metadata": {"name": "a.b"}}
    text = "can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
    of_name = f"metadata.name: this is used in Pod names and hostnames, which {text}"
    assert warnings(JOBS, {**dotted, **job()}) == [of_name]
    wide = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}
    of_width = (
        "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
        "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of "
        "indexes fail"
    )
    assert warnings(JOBS, job(**wide)) == [f"spec: {of_width}"]
    assert warnings(JOBS, job(**{**wide, "completions": 100_000})) == []
    given = cron(jobTemplate={"spec": {"template": template(), **wide}})
    assert warnings(CRONS, {**dotted, **given}) == [of_name, f"spec.jobTemplate.spec: {of_width}"]


def test_an_old_zone_in_a_schedule_is_warned_of() -> None:
    old = made(CRONS, cron(schedule="TZ=UTC * * * * *"))
    (text,) = warnings(CRONS, cron(schedule="TZ=UTC 1 * * * *"), old)
    assert text.startswith("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead")


def test_what_belongs_to_a_gate_that_is_off_is_dropped() -> None:
    assert "scheduling" not in made(JOBS, job(scheduling={"schedulingPolicy": {}}))["spec"]
    given = cron(jobTemplate={"spec": {"template": template(), "scheduling": {}}})
    assert "scheduling" not in made(CRONS, given)["spec"]["jobTemplate"]["spec"]


INDEXED: Json = {"completionMode": "Indexed", "completions": 5, "parallelism": 2}
SUCCESS = "spec.successPolicy.rules[0]"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"succeededIndexes": "0,2-4", "succeededCount": 4}], []),
        (
            [],
            [
                "spec.successPolicy.rules: Required value: at least one rules must be specified "
                "when the successPolicy is specified"
            ],
        ),
        (
            [{}],
            [
                f"{SUCCESS}: Required value: at least one of succeededCount or succeededIndexes "
                "must be specified"
            ],
        ),
        (
            [{"succeededIndexes": "0-1-2"}],
            [
                f'{SUCCESS}.succeededIndexes: Invalid value: "0-1-2": error parsing '
                'succeededIndexes: the fragment "0-1-2" violates the requirement that an index '
                "interval can have at most two parts separated by '-'"
            ],
        ),
        (
            [{"succeededIndexes": "x"}],
            [
                f'{SUCCESS}.succeededIndexes: Invalid value: "x": error parsing '
                'succeededIndexes: cannot convert string to integer for index: "x"'
            ],
        ),
        (
            [{"succeededIndexes": "5"}],
            [
                f'{SUCCESS}.succeededIndexes: Invalid value: "5": error parsing '
                'succeededIndexes: too large index: "5"'
            ],
        ),
        (
            [{"succeededIndexes": "2,1"}],
            [
                f'{SUCCESS}.succeededIndexes: Invalid value: "2,1": error parsing '
                "succeededIndexes: non-increasing order, previous: 2, current: 1"
            ],
        ),
        (
            [{"succeededIndexes": "0-1", "succeededCount": 6}],
            [
                f"{SUCCESS}.succeededCount: Invalid value: 6: must be less than or equal to 5 "
                "(the number of specified completions)",
                f"{SUCCESS}.succeededCount: Invalid value: 6: must be less than or equal to 2 "
                "(the number of indexes in the specified succeededIndexes field)",
            ],
        ),
    ],
)
def test_success_policies(rules: list[Json], expected: list[str]) -> None:
    assert findings(JOBS, job(**INDEXED, successPolicy={"rules": rules})) == expected


def test_a_success_policy_is_about_indexes() -> None:
    assert findings(JOBS, job(successPolicy={"rules": [{"succeededCount": 1}]})) == [
        'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,'
        '"SucceededCount":1}]}: requires indexed completion mode'
    ]


class TestStatus:
    BEGAN, ENDED = "2026-09-21T14:00:00Z", "2026-09-21T14:10:00Z"

    def found(self, new: Json, old: Json | None = None, **spec: Any) -> list[str]:
        before = made(JOBS, job(**spec))
        before["status"] = old or {}
        given = {**job(**spec), "status": new}
        after = made(JOBS, given, old=before, subresource="status")
        return [f.removeprefix("status.") for f in found(
            JOBS, after, old=before, subresource="status"
        )]  # fmt: skip

    def true(self, *kinds: str) -> list[Json]:
        return [{"type": kind, "status": "True"} for kind in kinds]

    def test_a_job_that_is_complete(self) -> None:
        done = self.true("SuccessCriteriaMet", "Complete")
        good = {"startTime": self.BEGAN, "completionTime": self.ENDED, "conditions": done}
        assert self.found(good) == []
        assert self.found({"conditions": self.true("Complete"), "active": 1, "terminating": 2}) == [
            "completionTime: Required value: completionTime is required for Complete jobs",
            "conditions: Invalid value: cannot set Complete=True condition without the "
            "SuccessCriteriaMet=true condition",
            "active: Invalid value: 1: active>0 is invalid for finished job",
            "startTime: Required value: startTime is required for finished job",
            "terminating: Invalid value: 2: terminating>0 is invalid for finished job",
        ]

    def test_a_job_that_failed(self) -> None:
        conditions = self.true("FailureTarget", "Failed")
        assert self.found({"startTime": self.BEGAN, "conditions": conditions}) == []
        assert self.found({"startTime": self.BEGAN, "conditions": self.true("Failed")}) == [
            "conditions: Invalid value: cannot set Failed=True condition without the "
            "FailureTarget=true condition"
        ]
        both = self.true("SuccessCriteriaMet", "FailureTarget")
        assert self.found({"conditions": both}) == [
            "conditions: Invalid value: cannot set SuccessCriteriaMet=True and "
            "FailureTarget=true conditions"
        ]

    def test_times(self) -> None:
        assert self.found({"startTime": self.ENDED, "completionTime": self.BEGAN}) == [
            f'completionTime: Invalid value: "{self.BEGAN}": cannot set completionTime when '
            "there is no Complete=True condition",
            f'completionTime: Invalid value: "{self.BEGAN}": completionTime cannot be set before '
            "startTime",
        ]
        assert self.found({}, {"startTime": self.BEGAN}) == [
            "startTime: Required value: startTime cannot be removed for unsuspended job"
        ]
        assert self.found({}, {"startTime": self.BEGAN}, suspend=True) == []

    def test_what_was_wrong_before_does_not_block(self) -> None:
        wrong = {"conditions": self.true("Complete"), "active": 1}
        assert self.found({**wrong, "succeeded": 1}, wrong) == []

    def test_indexes(self) -> None:
        spec = {**INDEXED, "backoffLimitPerIndex": 1}
        good = {"completedIndexes": "0,2-3", "failedIndexes": "1,4"}
        assert self.found(good, **spec) == []
        bad = {"completedIndexes": "0,2-3", "failedIndexes": "1,3-4"}
        assert self.found(bad, **spec) == [
            'failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at '
            "index: 3"
        ]
        assert self.found({"completedIndexes": "9"}, **spec) == [
            'completedIndexes: Invalid value: "9": error parsing completedIndexes: too large '
            'index: "9"'
        ]
        assert self.found({"completedIndexes": "0", "failedIndexes": ""}) == [
            'completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when '
            "non-indexed completion mode",
            'failedIndexes: Invalid value: "": cannot set non-null failedIndexes when '
            "backoffLimitPerIndex is null",
        ]

    def test_pods(self) -> None:
        assert self.found({"active": 1, "ready": 2}) == [
            "ready: Invalid value: 2: cannot set more ready pods than active"
        ]
        uncounted = {"succeeded": ["a", ""], "failed": ["a"]}
        assert self.found({"uncountedTerminatedPods": uncounted}) == [
            'uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
            'uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        ]

    def test_a_job_may_be_scaled_down(self) -> None:
        wide = {**INDEXED, "parallelism": 5}
        assert self.found({"succeeded": 1}, {"succeeded": 2}, **wide) == []
        assert self.found({"succeeded": 1}, {"succeeded": 2}, **INDEXED) == [
            "succeeded: Invalid value: 1: cannot decrease the succeeded counter"
        ]


class TestChanges:
    def change(self, before: Json, after: Json) -> list[str]:
        """What is found in a change of a job that kept its selector."""
        old = made(JOBS, job(**before))
        new = made(JOBS, job(**after), old=old)
        new["spec"]["selector"] = old["spec"]["selector"]
        new["spec"]["template"].setdefault("metadata", {})["labels"] = old["spec"]["template"][
            "metadata"
        ]["labels"]
        return found(JOBS, new, old=old)

    def test_what_may_change(self) -> None:
        after = {"parallelism": 4, "suspend": True, "activeDeadlineSeconds": 5, "completions": 1}
        assert self.change({}, {**after, "ttlSecondsAfterFinished": 9}) == []

    def test_completions_change_with_parallelism(self) -> None:
        indexed = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
        assert self.change(indexed, {**indexed, "completions": 3, "parallelism": 3}) == []
        assert self.change(indexed, {**indexed, "completions": 3}) == [
            "spec.completions: Invalid value: 3: can only be modified in tandem with "
            "spec.parallelism"
        ]
        assert self.change({"completions": 1}, {"completions": 2}) == [
            "spec.completions: Invalid value: 2: field is immutable"
        ]

    def test_the_template_is_fixed(self) -> None:
        (text,) = self.change({}, {"template": template({"image": "other:1"})})
        assert text.startswith("spec.template: Invalid value: {")
        assert text.endswith(": field is immutable")

    def test_where_a_waiting_job_goes_may_change(self) -> None:
        placed = {"suspend": True, "template": template(nodeSelector={"a": "b"})}
        assert self.change({"suspend": True}, placed) == []
        other = {"suspend": True, "template": template({"image": "other:1"})}
        (text,) = self.change({"suspend": True}, other)
        assert text.startswith('spec.template.spec: Invalid value: {"Volumes":null,')

    @pytest.mark.parametrize(
        ("status", "waits"),
        [
            ({}, True),
            ({"startTime": "2026-09-21T14:00:00Z"}, False),
            ({"active": 1}, False),
            ({"conditions": [{"type": "Suspended", "status": "True"}]}, True),
            (
                {
                    "startTime": "2026-09-21T14:00:00Z",
                    "conditions": [{"type": "Suspended", "status": "True"}],
                },
                True,
            ),
        ],
    )
    def test_a_job_waits_while_it_has_no_pods(self, status: Json, waits: bool) -> None:
        old = made(JOBS, job(suspend=True))
        old["status"] = status
        new = made(JOBS, job(suspend=True, template=template(nodeSelector={"a": "b"})), old=old)
        new["spec"]["selector"] = old["spec"]["selector"]
        new["spec"]["template"]["metadata"] = old["spec"]["template"]["metadata"]
        assert (found(JOBS, new, old=old) == []) is waits

    def test_generated_labels_are_looked_at_on_create_only(self) -> None:
        """As recorded: another uid is the only finding in a patch of it."""
        old = made(JOBS, job(suspend=True))
        new = made(JOBS, job(suspend=True), old=old)
        new["spec"] = old["spec"]
        new["metadata"]["uid"] = "other"
        assert found(JOBS, new, old=old) == []

    def test_selectors_are_fixed(self) -> None:
        assert changed(JOBS, job(), job()) == [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match "
            "template `labels`",
            "spec.selector: Invalid value: null: field is immutable",
            *changed(JOBS, job(), job())[3:],
        ]

    def test_status_is_not_taken_back(self) -> None:
        old = made(JOBS, job())
        done = {"type": "Complete", "status": "True"}
        old["status"] = {"succeeded": 2, "conditions": [done]}
        given = {**job(), "status": {"succeeded": 1, "failed": -1}}
        new = made(JOBS, given, old=old, subresource="status")
        assert found(JOBS, new, old=old, subresource="status") == [
            "status.failed: Invalid value: -1: must be greater than or equal to 0",
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.failed: Invalid value: -1: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
        ]


TEMPLATE = "spec.jobTemplate.spec.template.spec"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid"}, []),
        ({"schedule": ""}, ["spec.schedule: Required value"]),
        (
            {"schedule": "Upper_Case! x"},
            [
                'spec.schedule: Invalid value: "Upper_Case! x": expected exactly 5 fields, found '
                "2: [Upper_Case! x]"
            ],
        ),
        (
            {"schedule": "TZ=UTC 0 0 * * *"},
            [
                'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in '
                "schedule, use timeZone field instead"
            ],
        ),
        (
            {"timeZone": ""},
            ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
        ),
        (
            {"timeZone": "Local"},
            [
                'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as '
                "defined in https://www.iana.org/time-zones"
            ],
        ),
        (
            {"timeZone": "Mars/Base"},
            ['spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'],
        ),
        (
            {"concurrencyPolicy": "Odd"},
            [
                'spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", '
                '"Forbid", "Replace"'
            ],
        ),
        (
            {"startingDeadlineSeconds": -1, "failedJobsHistoryLimit": -1},
            [
                "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal "
                "to 0",
                "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal "
                "to 0",
            ],
        ),
        (
            {"jobTemplate": {}, "schedule": ""},
            [
                f"{TEMPLATE}.containers: Required value",
                f'{TEMPLATE}.restartPolicy: Required value: valid values: "OnFailure", "Never"',
                "spec.schedule: Required value",
            ],
        ),
        (
            {"jobTemplate": {"spec": {"template": template(), "manualSelector": True}}},
            [
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "
                '"nil", "false"'
            ],
        ),
    ],
)
def test_findings_in_cron_jobs(spec: Json, expected: list[str]) -> None:
    assert findings(CRONS, cron(**spec)) == expected


def test_names_of_cron_jobs_leave_room_for_a_time() -> None:
    name = "x" * 53
    assert findings(CRONS, {**cron(), "metadata": {"name": name}}) == [
        f'metadata.name: Invalid value: "{name}": must be no more than 52 characters'
    ]
    assert findings(CRONS, {**cron(), "metadata": {"name": name[:52]}}) == []


def test_an_old_schedule_with_a_zone_stays_as_it_is() -> None:
    old = made(CRONS, cron(schedule="TZ=UTC 0 0 * * *"))
    same = made(CRONS, cron(schedule="TZ=UTC 0 0 * * *"), old=old)
    assert found(CRONS, same, old=old) == []
    moved = made(CRONS, cron(schedule="TZ=UTC 0 1 * * *"), old=old)
    assert found(CRONS, moved, old=old) == []
    both = made(CRONS, cron(schedule="TZ=UTC 0 0 * * *", timeZone="UTC"), old=old)
    assert found(CRONS, both, old=old) == [
        'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use both timeZone field and TZ '
        "or CRON_TZ in schedule"
    ]


def test_deleting_a_job_keeps_its_pods() -> None:
    strategy = kind(JOBS).strategy
    assert strategy.orphans_by_default
    assert strategy.deletion_warning.startswith("child pods are preserved by default")


class TestCells:
    def job(self, status: Json, **spec: Any) -> Json:
        obj = made(JOBS, job(**spec))
        obj["status"] = status
        return cells(JOBS, obj)

    def test_completions(self) -> None:
        assert self.job({"succeeded": 2}, completions=5)["Completions"] == "2/5"
        assert self.job({}, parallelism=1)["Completions"] == "0/1"
        assert self.job({}, parallelism=3)["Completions"] == "0/1 of 3"

    def test_duration(self) -> None:
        assert self.job({})["Duration"] == ""
        began = {"startTime": "2026-09-21T14:12:20Z"}
        assert self.job(began)["Duration"] == "60s"
        assert self.job({**began, "completionTime": "2026-09-21T14:12:27Z"})["Duration"] == "7s"

    @pytest.mark.parametrize("word", ["Complete", "Failed", "Suspended", "FailureTarget"])
    def test_status(self, word: str) -> None:
        condition = {"type": word, "status": "True"}
        assert self.job({"conditions": [condition]})["Status"] == word
        assert self.job({"conditions": [{**condition, "status": "False"}]})["Status"] == "Running"

    def test_cron_jobs(self) -> None:
        obj = made(CRONS, cron(timeZone="Etc/UTC"))
        shown = cells(CRONS, obj)
        assert (shown["Schedule"], shown["Timezone"]) == ("*/5 * * * *", "Etc/UTC")
        assert (shown["Suspend"], shown["Active"], shown["Last Schedule"]) == ("False", 0, "<none>")
        obj["status"] = {"lastScheduleTime": "2026-09-21T14:10:00Z", "active": [{}, {}]}
        shown = cells(CRONS, obj, NOW)
        assert (shown["Active"], shown["Last Schedule"]) == (2, "3m20s")
