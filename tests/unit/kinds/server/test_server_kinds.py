"""Kinds that the server itself acts on: admission, flow control, API services, definitions,
migrations; and devices.
"""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import cells, changed, defaulted, findings, kind, made, places

Json = dict[str, Any]
ADMISSION = "admissionregistration.k8s.io"
FLOW = "flowcontrol.apiserver.k8s.io"
DEVICES = "resource.k8s.io"


# -- admissionregistration.k8s.io ---------------------------------------------------------------


def webhook(**more: Any) -> Json:
    base: Json = {
        "name": "a.example.com",
        "clientConfig": {"service": {"name": "a", "namespace": "b"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    return {"webhooks": [{**base, **more}]}


def test_webhook_defaults() -> None:
    obj = defaulted(f"mutatingwebhookconfigurations.{ADMISSION}", webhook(rules=[{}]))
    (hook,) = obj["webhooks"]
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook["rules"] == [{"scope": "*"}]
    assert (hook["namespaceSelector"], hook["objectSelector"]) == ({}, {})
    assert (hook["failurePolicy"], hook["matchPolicy"]) == ("Fail", "Equivalent")
    assert (hook["timeoutSeconds"], hook["reinvocationPolicy"]) == (10, "Never")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        (
            {"name": "x"},
            [
                '.name: Invalid value: "x": should be a domain with at least three segments '
                "separated by dots"
            ],
        ),
        (
            {"rules": [{"operations": ["X"], "apiGroups": ["*", "a"], "resources": ["a"]}]},
            [
                '.rules[0].operations[0]: Unsupported value: "X": supported values: "*", '
                '"CONNECT", "CREATE", "DELETE", "UPDATE"',
                '.rules[0].apiGroups: Invalid value: ["*","a"]: if \'*\' is present, must not '
                "specify other API groups",
                ".rules[0].apiVersions: Required value",
            ],
        ),
        (
            {"failurePolicy": "Z", "sideEffects": "Some", "timeoutSeconds": 50},
            [
                '.failurePolicy: Unsupported value: "Z": supported values: "Fail", "Ignore"',
                '.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
                ".timeoutSeconds: Invalid value: 50: the timeout value must be between 1 and 30 "
                "seconds",
            ],
        ),
        (
            {"clientConfig": {}},
            [".clientConfig: Required value: exactly one of url or service is required"],
        ),
        (
            {"admissionReviewVersions": ["v1", "v1"]},
            ['.admissionReviewVersions[1]: Invalid value: "v1": duplicate version'],
        ),
        (
            {"admissionReviewVersions": []},
            [".admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
    ],
)
def test_webhooks(more: Json, expected: list[str]) -> None:
    found = findings(f"validatingwebhookconfigurations.{ADMISSION}", webhook(**more))
    assert found == [f"webhooks[0]{text}" for text in expected]


def test_admission_policies() -> None:
    name = f"validatingadmissionpolicies.{ADMISSION}"
    rule = {
        "operations": ["CREATE"],
        "apiGroups": ["a"],
        "apiVersions": ["v1"],
        "resources": ["b"],
    }
    constraints = {"resourceRules": [rule]}
    good = {"matchConstraints": constraints, "validations": [{"expression": "true"}]}
    assert findings(name, {"spec": good}) == []
    bad = {"failurePolicy": "X", "variables": [{"name": "1a", "expression": "1"}]}
    assert findings(name, {"spec": {**good, **bad}}) == [
        'spec.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"',
        'spec.variables[0].name: Invalid value: "1a": name is not a valid CEL identifier',
    ]
    none = "validations or auditAnnotations must contain at least one item"
    assert findings(name, {"spec": {}}) == [
        "spec.matchConstraints: Required value",
        f"spec.validations: Required value: {none}",
        f"spec.auditAnnotations: Required value: {none}",
    ]


def test_expressions() -> None:
    name = f"validatingadmissionpolicies.{ADMISSION}"
    expressions = [{"expression": ""}, {"expression": "foo"}]
    found = findings(name, {"spec": {"matchConstraints": {}, "validations": expressions}})
    assert "spec.validations[0].expression: Required value: expression is not specified" in found
    assert (
        'spec.validations[1].expression: Invalid value: "foo": compilation failed: ERROR: '
        "<input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"
    ) in found


def test_admission_bindings() -> None:
    spec = {"policyName": "a", "validationActions": ["Deny", "Warn", "Deny"]}
    first, second = findings(f"validatingadmissionpolicybindings.{ADMISSION}", {"spec": spec})
    assert first == 'spec.validationActions[2]: Duplicate value: "Deny"'
    assert second.startswith(
        'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: must not contain both'
    )


# -- flowcontrol.apiserver.k8s.io ---------------------------------------------------------------


def test_level_defaults() -> None:
    response = {"type": "Queue", "queuing": {}}
    spec = {"type": "Limited", "limited": {"limitResponse": response}}
    assert defaulted(f"prioritylevelconfigurations.{FLOW}", {"spec": spec})["spec"] == {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 30,
            "limitResponse": {
                "type": "Queue",
                "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50},
            },
            "lendablePercent": 0,
        },
    }
    zero = {"type": "Limited", "limited": {"nominalConcurrencyShares": 0}}
    made = defaulted(f"prioritylevelconfigurations.{FLOW}", {"spec": zero})
    assert made["spec"]["limited"]["nominalConcurrencyShares"] == 0


def test_levels() -> None:
    def level(**spec: Any) -> list[str]:
        return findings(f"prioritylevelconfigurations.{FLOW}", {"spec": spec})

    response = {"type": "Queue", "queuing": {"handSize": 9, "queues": 5}}
    assert level(type="Limited", limited={"limitResponse": response}) == [
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 9: should not be greater "
        "than queues (5)"
    ]
    assert level(type="Exempt") == [
        "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"
    ]
    assert level() == ["spec.type: Required value"]
    assert level(type="Limited") == ["spec.limited: Required value"]


def test_flow_schemas() -> None:
    rules: list[Json] = [
        {},
        {
            "subjects": [{"kind": "X"}, {"kind": "User", "group": {"name": "a"}}],
            "resourceRules": [{"verbs": ["get", "*"], "apiGroups": ["a"], "resources": ["a"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["a", "/a*b"]}],
        },
    ]
    spec = {"priorityLevelConfiguration": {"name": ""}, "rules": rules}
    rule = "spec.rules[1]"
    assert findings(f"flowschemas.{FLOW}", {"spec": spec}) == [
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        "spec.rules[0].subjects: Required value: subjects must contain at least one value",
        "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has "
        "to be non-empty",
        f'{rule}.subjects[0].kind: Unsupported value: "X": supported values: "Group", '
        '"ServiceAccount", "User"',
        f"{rule}.subjects[1].user: Required value: user is required when subject kind is 'User'",
        f"{rule}.subjects[1].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        f'{rule}.resourceRules[0].verbs: Invalid value: ["get","*"]: if \'*\' is present, must '
        "not specify other verbs",
        f"{rule}.resourceRules[0].namespaces: Required value: resource rules that are not "
        "cluster scoped must supply at least one namespace",
        f'{rule}.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash',
        f'{rule}.nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can '
        "only do suffix matching",
    ]
    assert defaulted(f"flowschemas.{FLOW}", {})["spec"]["matchingPrecedence"] == 1000


def test_a_schema_without_its_level() -> None:
    obj = made(f"flowschemas.{FLOW}", {})
    assert cells(f"flowschemas.{FLOW}", obj)["MissingPL"] == "?"
    obj["status"] = {"conditions": [{"type": "Dangling", "status": "True"}]}
    assert cells(f"flowschemas.{FLOW}", obj)["MissingPL"] == "True"


# -- API services, definitions, migrations ------------------------------------------------------


def test_api_services() -> None:
    spec = {"group": "b", "version": "v1", "service": {"name": "", "namespace": "", "port": 0}}
    obj = {"metadata": {"name": "v1.a"}, "spec": {**spec, "versionPriority": 2000}}
    assert findings("apiservices.apiregistration.k8s.io", obj) == [
        'metadata.name: Invalid value: "v1.a": must be `spec.version+"."+spec.group`: "v1.b"',
        "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
        "spec.versionPriority: Invalid value: 2000: must be positive and less than 1000",
        "spec.service.namespace: Required value",
        "spec.service.name: Required value",
        "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, "
        "inclusive",
    ]


def test_definitions() -> None:
    name = "customresourcedefinitions.apiextensions.k8s.io"
    generated = {"metadata": {"generateName": "g-", "name": "g-x"}, "spec": {}}
    rule = kind(name).strategy.name_rule_of(generated)
    for given, prefix in (("g-", True), ("g-x", False)):
        assert rule(given, prefix) == ['must be spec.names.plural+"."+spec.group']
    assert findings(name, generated)[0] == "spec.group: Required value"
    names = {"spec": {"group": "a.example", "names": {"plural": "bs"}}}
    assert kind(name).strategy.name_rule_of(names)("bs.a.example", False) == []


def test_migrations() -> None:
    name = "storageversionmigrations.storagemigration.k8s.io"
    assert findings(name, {"spec": {}}) == [
        "spec.resource.resource: Required value: resource is required to be set"
    ]


# -- resource.k8s.io ----------------------------------------------------------------------------


def claim(*requests: Json, **devices: Any) -> Json:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


EXACT: Json = {"name": "a", "exactly": {"deviceClassName": "x"}}


def test_claims() -> None:
    name = f"resourceclaims.{DEVICES}"
    assert findings(name, claim(EXACT)) == []
    both = {**EXACT, "name": "b", "firstAvailable": [{"name": "s", "deviceClassName": "x"}]}
    assert findings(name, claim({"name": "a"}, both, constraints=[{"requests": ["q"]}])) == [
        "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` "
        "is required",
        "spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or "
        "`firstAvailable` is required, but multiple fields are set",
        'spec.devices.constraints[0].requests[0]: Invalid value: "q": must be the name of a '
        "request in the claim or the name of a request and a subrequest separated by '/'",
        "spec.devices.constraints[0]: Required value: exactly one of "
        '"matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
    ]
    (finding,) = changed(name, claim(EXACT), claim({**EXACT, "name": "b"}))
    assert finding.startswith("spec: Invalid value: ")
    assert finding.endswith(": field is immutable")


def test_the_oldest_form_of_claims() -> None:
    flat = {"name": "a", "deviceClassName": "x"}
    stored = made(f"resourceclaims.{DEVICES}", claim(flat), version="v1beta1")
    (request,) = stored["spec"]["devices"]["requests"]
    exactly = {"deviceClassName": "x", "allocationMode": "ExactCount", "count": 1}
    assert request == {"name": "a", "exactly": exactly}
    version = kind(f"resourceclaims.{DEVICES}").versions["v1beta1"]
    assert version.from_stored is not None
    (back,) = version.from_stored(stored)["spec"]["devices"]["requests"]
    assert back == {"name": "a", **exactly}
    subs = [{"name": "s", **exactly}]
    either = made(
        f"resourceclaims.{DEVICES}",
        claim({"name": "a", "firstAvailable": subs}),
        version="v1beta1",
    )
    assert either["spec"]["devices"]["requests"] == [{"name": "a", "firstAvailable": subs}]


def test_the_oldest_form_of_slices() -> None:
    device = {"name": "d", "basic": {"attributes": {"a": {"int": 1}}}}
    spec = {"driver": "a.b", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"}
    obj = {"spec": {**spec, "devices": [device]}}
    stored = made(f"resourceslices.{DEVICES}", obj, version="v1beta1")
    assert stored["spec"]["devices"] == [{"name": "d", "attributes": {"a": {"int": 1}}}]
    version = kind(f"resourceslices.{DEVICES}").versions["v1beta1"]
    assert version.from_stored is not None
    assert version.from_stored(stored)["spec"]["devices"] == [device]


def test_slices() -> None:
    spec = {"driver": "", "pool": {"name": "", "resourceSliceCount": 0}}
    assert findings(f"resourceslices.{DEVICES}", {"spec": spec}) == [
        "spec.driver: Required value",
        "spec.pool.name: Required value",
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
        "`perDeviceNodeSelection` is required",
    ]


def test_what_flow_control_cannot_do_without_is_as_it_was_made() -> None:
    level = {"metadata": {"name": "exempt"}, "spec": {"type": "Limited", "limited": {}}}
    assert places(findings(f"prioritylevelconfigurations.{FLOW}", level)) == [
        "spec.type: Invalid value",
        "spec: Invalid value",
        "spec.limited.limitResponse.type: Required value",
    ]
    schema = {
        "metadata": {"name": "catch-all"},
        "spec": {"priorityLevelConfiguration": {"name": "x"}},
    }
    assert findings(f"flowschemas.{FLOW}", schema)[0].endswith(
        "spec of 'catch-all' must equal the fixed value"
    )


def test_verbs_and_paths_of_flow_schemas() -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "u"}}],
        "resourceRules": [
            {"verbs": ["*", "get"], "apiGroups": ["a"], "resources": ["b"], "namespaces": [""]}
        ],
        "nonResourceRules": [{"verbs": ["x"], "nonResourceURLs": ["a"]}],
    }
    schema = {"spec": {"priorityLevelConfiguration": {"name": "x"}, "rules": [rule]}}
    assert places(findings(f"flowschemas.{FLOW}", schema)) == [
        "spec.rules[0].resourceRules[0].verbs: Invalid value",
        "spec.rules[0].resourceRules[0].namespaces[0]: Invalid value",
        "spec.rules[0].nonResourceRules[0].verbs: Unsupported value",
        "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value",
    ]


def test_a_migration_ends_once() -> None:
    name = "storageversionmigrations.storagemigration.k8s.io"
    before = {"spec": {"resource": {"group": "apps", "resource": "deployments"}}}
    done = {"status": "True", "reason": "a", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    both = [{"type": "Succeeded", **done}, {"type": "Failed", **done}]
    after = {**before, "status": {"resourceVersion": "1", "conditions": both}}
    seen = changed(name, before, after, "status")
    assert places(seen) == ["status.conditions: Invalid value"]


def test_a_migration_may_fail_before_it_knows_a_version() -> None:
    name = "storageversionmigrations.storagemigration.k8s.io"
    spec = {"spec": {"resource": {"group": "apps", "resource": "gone"}}}
    failed = {"type": "Failed", "status": "True", "reason": "a"}
    failed["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    assert not changed(name, spec, {**spec, "status": {"conditions": [failed]}}, "status")
    wrong = {**spec, "status": {"resourceVersion": "0", "conditions": [failed]}}
    assert places(changed(name, spec, wrong, "status")) == ["status.resourceVersion: Invalid value"]
    known = {**spec, "status": {"resourceVersion": "7"}}
    assert places(changed(name, known, {**spec, "status": {}}, "status")) == [
        "status.resourceVersion: Invalid value"
    ]
