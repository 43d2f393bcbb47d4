"""admissionregistration.k8s.io: rules of policies, bindings and webhooks that are rarely met."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import changed, findings, places

Json = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
RULE: Json = {
    "operations": ["CREATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["pods"],
}
POLICY: Json = {
    "matchConstraints": {"resourceRules": [RULE]},
    "validations": [{"expression": "true"}],
}


def of_policy(**spec: Any) -> list[str]:
    name = f"validatingadmissionpolicies.{GROUP}"
    seen = findings(name, {"metadata": {"name": "p.example.com"}, "spec": {**POLICY, **spec}})
    return [text.removeprefix("spec.") for text in places(seen)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"validations": [{"expression": "true", "reason": "Unauthorized"}]},
            ["validations[0].reason: Unsupported value"],
        ),
        ({"validations": [{"expression": "true ||\nfalse"}]}, []),
        (
            {"validations": [{"expression": "true", "message": "a\rb"}]},
            ["validations[0].message: Invalid value"],
        ),
        (
            {"variables": [{"name": "namespace", "expression": "1"}]},
            ["variables[0].name: Invalid value"],
        ),
        (
            {"matchConditions": [{"name": f"c{i}", "expression": ""} for i in range(65)]},
            ["matchConditions: Too many"]
            + [f"matchConditions[{i}].expression: Required value" for i in range(65)],
        ),
        (
            {
                "matchConstraints": {
                    "resourceRules": [{**RULE, "resourceNames": ["%/"], "scope": "x"}]
                }
            },
            [
                "matchConstraints.resourceRules[0].resourceNames[0]: Invalid value",
                "matchConstraints.resourceRules[0].resourceNames[0]: Invalid value",
                "matchConstraints.resourceRules[0].scope: Unsupported value",
            ],
        ),
    ],
)
def test_policies(spec: Json, expected: list[str]) -> None:
    assert of_policy(**spec) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (["pods", "*"], []),  # the last one decides
        (["*", "pods"], ["resources: Invalid value"]),
        (["*/*", "pods/*"], ["resources[1]: Invalid value", "resources: Invalid value"]),
    ],
)
def test_resources_of_rules(resources: list[str], expected: list[str]) -> None:
    at = "matchConstraints.resourceRules[0]."
    seen = of_policy(matchConstraints={"resourceRules": [{**RULE, "resources": resources}]})
    assert seen == [at + place for place in expected]


def test_what_the_check_of_types_may_say() -> None:
    policy = {"metadata": {"name": "p"}, "spec": POLICY}
    status = {
        "typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]},
        "conditions": [{"type": "A", "status": "X", "reason": "r"}],
    }
    name = f"validatingadmissionpolicies.{GROUP}"
    seen = changed(name, policy, {**policy, "status": status}, "status")
    assert places(seen)[:3] == [
        "status.typeChecking.expressionWarnings[0].warning: Required value",
        "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
        "status.conditions[0].status: Unsupported value",
    ]


def test_bindings() -> None:
    delete = {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
    spec: Json = {"policyName": "", "matchResources": {**delete, "matchPolicy": "X"}}
    assert places(findings(f"validatingadmissionpolicybindings.{GROUP}", {"spec": spec})) == [
        "spec.matchResouces.matchPolicy: Unsupported value",
        "spec.policyName: Required value",
        "spec.validationActions: Required value",
    ]
    assert places(findings(f"mutatingadmissionpolicybindings.{GROUP}", {"spec": spec})) == [
        "spec.policyName: Required value",
        "spec.matchResources.matchPolicy: Unsupported value",
        "spec.matchResources.resourceRules.operations: Unsupported value",
    ]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "v1.a.b"}, []),
        ({"name": "v1.a"}, ["metadata.name: Invalid value"]),
        ({"name": "a/b%"}, ["metadata.name: Invalid value", "metadata.name: Invalid value"]),
        ({"name": "v1.a.b", "generateName": "v1.a.b"}, []),
        ({"name": "v1.a.b", "generateName": "v1."}, ["metadata.generateName: Invalid value"]),
    ],
)
def test_names_of_api_services(metadata: Json, expected: list[str]) -> None:
    spec = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    name = "apiservices.apiregistration.k8s.io"
    assert places(findings(name, {"metadata": metadata, "spec": spec})) == expected


def test_the_status_of_api_services() -> None:
    spec = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    before = {"metadata": {"name": "v1.a.b"}, "spec": spec}
    after = {**before, "status": {"conditions": [{"type": "Available", "status": "Maybe"}]}}
    assert changed("apiservices.apiregistration.k8s.io", before, after, "status") == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", '
        '"False", "Unknown"'
    ]


WEBHOOK: Json = {
    "name": "a.example.com",
    "clientConfig": {"service": {"name": "a", "namespace": "b"}},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
}
STALE: Json = {**WEBHOOK, "sideEffects": "Some", "admissionReviewVersions": ["v2"]}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            [WEBHOOK],
            [
                "webhooks[0].sideEffects: Unsupported value",
                "webhooks[0].admissionReviewVersions: Invalid value",
                "webhooks[1].sideEffects: Unsupported value",
                "webhooks[1].admissionReviewVersions: Invalid value",
                "webhooks[1].name: Duplicate value",
            ],
        ),
        ([STALE], ["webhooks[1].name: Duplicate value"]),
        ([STALE, STALE], []),
    ],
)
def test_webhooks_of_an_older_release(before: list[Json], expected: list[str]) -> None:
    name = f"validatingwebhookconfigurations.{GROUP}"
    seen = changed(name, {"webhooks": before}, {"webhooks": [STALE, STALE]})
    assert places(seen) == expected
