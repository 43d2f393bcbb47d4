"""Would the expressions of a policy fit the kinds it is about?"""

from __future__ import annotations

from typing import Any

import pytest

from kapi.admission.policies.type_checking import kinds_of, warnings
from kapi.admission.requests.rules import Kind
from kapi.kinds.shared.types import TypeTable
from kapi.schema.structural import Schema

Json = dict[str, Any]
TYPES = TypeTable()
DEPLOYMENT = (Kind("apps", "v1", "Deployment"), TYPES.schema("io.k8s.api.apps.v1.Deployment"))
POD = (Kind("", "v1", "Pod"), TYPES.schema("io.k8s.api.core.v1.Pod"))
CONFIG_MAP = TYPES.schema("io.k8s.api.core.v1.ConfigMap")
DEFINITION = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"


def served(group: str, version: str, plural: str) -> tuple[Kind, Schema] | None:
    known = {("apps", "v1", "deployments"): DEPLOYMENT, ("", "v1", "pods"): POD}
    return known.get((group, version, plural))


def found(text: str, *variables: tuple[str, str], params: Schema | None = None) -> list[Json]:
    spec = {
        "validations": [{"expression": text}],
        "variables": [{"name": n, "expression": e} for n, e in variables],
    }
    return warnings({"spec": spec}, [DEPLOYMENT], params)


def test_an_unknown_field_is_told_with_its_kind() -> None:
    assert found("object.spec.replicaz > 1") == [
        {
            "fieldRef": "spec.validations[0].expression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replicaz'\n"
            " | object.spec.replicaz > 1\n"
            " | ...........^\n",
        }
    ]


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("object.spec.replicas <= 3 && oldObject == null", True),
        ("object.spec.replicas == 'x'", False),
        ("object.metadata.labels['a'] == 'b' && has(object.metadata.annotations)", True),
        ("object.spec.template.spec.containers.all(c, c.image.startsWith('x'))", True),
        ("object.spec.template.spec.containers.all(c, c.imagee == '')", False),
        ("object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')", True),
        ("object.spec.strategy.rollingUpdate.maxSurge == '25%'", True),
        ("object.metadata.__namespace__ == 'x'", True),
        ("authorizer.requestResource.check('get').allowed()", False),
        ("params.data.x == ''", False),
    ],
)
def test_expressions_over_a_deployment(text: str, good: bool) -> None:
    assert (found(text) == []) is good


def test_params_and_variables_have_types() -> None:
    assert found("params.data['max'] == 'x'", params=CONFIG_MAP) == []
    assert found("params.dta['max'] == 'x'", params=CONFIG_MAP)
    assert found("variables.n > 1", ("n", "object.spec.replicas")) == []
    assert found("variables.n > 'x'", ("n", "object.spec.replicas"))


def test_a_recursive_kind() -> None:
    kind = (
        Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        TYPES.schema(DEFINITION),
    )
    text = "object.spec.versions.all(v, has(v.schema.openAPIV3Schema.items))"
    assert warnings({"spec": {"validations": [{"expression": text}]}}, [kind], None) == []


def test_what_a_policy_is_about() -> None:
    rules = [
        {"apiGroups": ["apps", ""], "apiVersions": ["v1"],
         "resources": ["pods", "deployments", "deployments/scale", "*/status"]},
        {"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["pods"]},
    ]  # fmt: skip
    policy = {"spec": {"matchConstraints": {"resourceRules": rules}}}
    assert [kind.kind for kind, _ in kinds_of(policy, served)] == ["Pod", "Deployment"]
    assert kinds_of({"spec": {}}, served) == []
