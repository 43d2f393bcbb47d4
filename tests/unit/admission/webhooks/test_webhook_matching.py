"""Rules of webhooks, the index of those that may concern a request, and AdmissionReviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from kapi.admission.plugin import Attributes
from kapi.admission.requests.review import (
    InvalidAnswer,
    read_answer,
    refusal,
    review_text,
    review_version,
)
from kapi.admission.requests.rules import Kind, Place, Rule, exempt, matching_place
from kapi.admission.webhooks.hooks import Conditions, HookSource
from kapi.messages import UserInfo

Json = dict[str, Any]
DEPLOYMENT = Kind("apps", "v1", "Deployment")


def place(resource: str = "deployments", sub: str = "", version: str = "v1") -> Place:
    return Place("apps", version, resource, sub, DEPLOYMENT)


def rule(**changes: Any) -> Rule:
    base = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
    }
    return Rule.parse({**base, **changes})


@pytest.mark.parametrize(
    ("changes", "operation", "where", "expected"),
    [
        ({}, "CREATE", place(), True),
        ({}, "UPDATE", place(), False),
        ({"operations": ["*"]}, "CONNECT", place(), True),
        ({}, "CREATE", place(sub="status"), False),
        ({"resources": ["*"]}, "CREATE", place(), True),
        ({"resources": ["*"]}, "CREATE", place(sub="status"), False),
        ({"resources": ["*/*"]}, "CREATE", place(sub="status"), True),
        ({"resources": ["*/*"]}, "CREATE", place(), True),
        ({"resources": ["deployments/*"]}, "CREATE", place(), True),
        ({"resources": ["deployments/*"]}, "CREATE", place(sub="scale"), True),
        ({"resources": ["*/scale"]}, "CREATE", place(sub="scale"), True),
        ({"resources": ["*/scale"]}, "CREATE", place(sub="status"), False),
        ({"resources": ["pods"]}, "CREATE", place(), False),
        ({"apiVersions": ["v2"]}, "CREATE", place(), False),
        ({"apiGroups": ["*"], "apiVersions": ["*"]}, "CREATE", place(version="v9"), True),
        ({"apiGroups": [""]}, "CREATE", place(), False),
    ],
)
def test_what_a_rule_concerns(changes: Json, operation: str, where: Place, expected: bool) -> None:
    assert rule(**changes).concerns(operation, where) is expected


@pytest.mark.parametrize(
    ("scope", "namespaced", "expected"),
    [
        ("*", True, True),
        ("*", False, True),
        ("Namespaced", True, True),
        ("Namespaced", False, False),
        ("Cluster", True, False),
        ("Cluster", False, True),
    ],
)
def test_scope(scope: str, namespaced: bool, expected: bool) -> None:
    assert rule(scope=scope).fits(namespaced=namespaced, name="a") is expected


def test_names_of_a_policys_rule() -> None:
    assert rule(resourceNames=["a"]).fits(namespaced=True, name="a")
    assert not rule(resourceNames=["a"]).fits(namespaced=True, name="b")


def attributes(**changes: Any) -> Attributes:
    base: Json = {
        "operation": "CREATE",
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
        "resource": "deployments",
        "subresource": "",
        "namespace": "default",
        "name": "a",
        "object": {"metadata": {"name": "a"}},
        "old": None,
        "user": UserInfo("me"),
        "dry_run": False,
    }
    return Attributes(**{**base, **changes})


def test_the_requests_own_place_comes_first_then_the_order_of_the_rules() -> None:
    own, second, third = place(), place(version="v2"), place(version="v3")
    others = [own, second, third]
    rules = [rule(apiVersions=["v3"]), rule(apiVersions=["v2"])]
    assert matching_place(rules, attributes(), own, others) == third
    assert matching_place([*rules, rule()], attributes(), own, others) == own
    assert matching_place(rules, attributes(), own, ()) is None


def test_what_configures_admission_is_exempt() -> None:
    group = "admissionregistration.k8s.io"
    assert exempt(group, "validatingwebhookconfigurations")
    assert exempt(group, "mutatingadmissionpolicybindings")
    assert not exempt(group, "others")
    assert not exempt("", "validatingwebhookconfigurations")


# -- the index ----------------------------------------------------------------------------------


class Configurations:
    def __init__(self) -> None:
        self.objects: list[Json] = []
        self.changed = 0
        self.lists = 0

    def list(self, namespace: str = "") -> list[Json]:
        self.lists += 1
        return self.objects

    def get(self, namespace: str, name: str) -> Json | None:
        return None


class OneKind:
    """Deployments, served in two versions."""

    def __init__(self) -> None:
        self.generation = 1

    def place(self, attributes: Attributes) -> Place:
        return place()

    def places(self, group: str, resource: str, subresource: str) -> Sequence[Place]:
        if resource != "deployments":
            return [Place(group, "v1", resource, subresource, Kind(group, "v1", resource))]
        return [place(sub=subresource), place(sub=subresource, version="v2")]

    async def shown(self, obj: Json, place: Place) -> Json:
        return obj

    async def patched(self, obj: Json, operations: Any, place: Place, whole: Json) -> Json:
        return obj


async def nothing(plural: str, namespace: str, name: str) -> Json | None:
    return None


def no_conditions(hook: Json) -> Conditions:
    raise AssertionError("there are none")


def configuration(name: str, *hooks: Json) -> Json:
    return {"metadata": {"name": name}, "webhooks": list(hooks)}


def named(name: str, **changes: Any) -> Json:
    given = {
        "apiGroups": ["apps"],
        "apiVersions": ["v2"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
        **changes,
    }
    return {"name": name, "matchPolicy": "Equivalent", "rules": [given]}


def test_the_index_follows_configurations_and_kinds() -> None:
    configurations, kinds = Configurations(), OneKind()
    started = [False]
    source = HookSource(
        configurations, configurations, nothing, kinds, no_conditions, lambda: started[0]
    )

    def found(operation: str = "CREATE", resource: str = "deployments") -> list[str]:
        return [hook.name for hook in source.hooks(operation, "apps", resource, "")]

    assert found() == []
    configurations.objects = [configuration("a", named("x"), named("y", resources=["pods"]))]
    configurations.changed = 5
    assert found() == []  # the server does not serve yet
    started[0] = True
    assert found() == ["x"]
    assert found("DELETE") == []
    lists = configurations.lists
    assert found() == ["x"]
    assert configurations.lists == lists  # nothing changed, nothing is read
    configurations.objects = [configuration("a", named("z")), *configurations.objects]
    configurations.changed = 6
    assert found() == ["z", "x"]
    configurations.objects = []
    configurations.changed = 7
    assert found() == []


# -- reviews ------------------------------------------------------------------------------------


def answered(version: str = "v1", *, mutating: bool = False, **response: Any) -> Any:
    body = {
        "apiVersion": f"admission.k8s.io/{version}",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True, **response},
    }
    return read_answer(orjson.dumps(body), "u", version, mutating=mutating)


def test_the_first_version_that_both_know() -> None:
    assert review_version(("v3", "v1beta1", "v1")) == "v1beta1"
    assert review_version(("v2",)) == ""


def test_a_request_is_put_behind_its_uid() -> None:
    text = review_text("v1", 'a"b', b'"operation":"CREATE"}}')
    assert orjson.loads(text) == {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {"uid": 'a"b', "operation": "CREATE"},
    }


def test_what_is_read_of_an_answer() -> None:
    verdict = answered(
        mutating=True,
        patch="W10=",
        patchType="JSONPatch",
        warnings=["w"] * 200,
        auditAnnotations={"k": "v"},
        status={"code": "no number", "message": "m", "more": 1},
    )
    assert verdict.patch == b"[]"
    assert len(verdict.warnings) == 100
    assert verdict.annotations == {"k": "v"}
    assert verdict.result == {"message": "m"}
    assert answered("v1beta1", mutating=True, uid="other", patch="W10=").patch_type == "JSONPatch"


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"warnings": [1]}, "cannot unmarshal number into Go struct field"),
        ({"auditAnnotations": {"a": []}}, "cannot unmarshal array into Go struct field"),
        ({"patch": "&"}, "illegal base64 data"),
        ({"patch": "W10="}, "validating webhook may not return response.patch"),
        ({"patchType": "JSONPatch"}, "validating webhook may not return response.patchType"),
        ({"uid": None}, 'expected response.uid="u", got ""'),
        ({"allowed": None, "status": "no"}, "cannot unmarshal string into Go struct field"),
    ],
)
def test_what_is_no_answer(response: Json, text: str) -> None:
    with pytest.raises(InvalidAnswer, match=text.replace(".", r"\.")):
        answered(**response)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"5",
        b"null",
        b'{"response":[]}',
        b"\xff\xfe",
        b'{"response":{"uid":"u"},"apiVersion":5,"kind":[]}',
        b"[" * 100_000,
        b'{"response":' * 400,
    ],
)
def test_hostile_answers(data: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        read_answer(data, "u", "v1", mutating=True)


def test_an_answer_of_another_kind() -> None:
    body = orjson.dumps({"response": {"uid": "u", "allowed": True}})
    with pytest.raises(InvalidAnswer, match="AdmissionReview, got /, Kind="):
        read_answer(body, "u", "v1", mutating=False)


@pytest.mark.parametrize("code", [-1, 0, 200, 399, 10**30])
def test_a_refusal_is_always_a_failure(code: int) -> None:
    assert 400 <= refusal("w", {"code": code}).code <= 999


def test_details_of_a_refusal_are_in_their_order() -> None:
    details = {
        "causes": [{"field": "f", "message": "m", "x": 1}, 5],
        "kind": "K",
        "name": "n",
        "y": 2,
    }
    assert list((refusal("w", {"details": details}).details or {}).items()) == [
        ("name", "n"),
        ("kind", "K"),
        ("causes", [{"message": "m", "field": "f"}]),
    ]
