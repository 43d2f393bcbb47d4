"""Admission policies without a server: their expressions, what they match, when they are compiled,
what an evaluation costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kapi.admission.plugin import Attributes
from kapi.admission.policies.compiled import validating_policy
from kapi.admission.policies.metrics import error_type
from kapi.admission.policies.source import PolicySource, excluded
from kapi.admission.requests.evaluation import (
    Asker,
    ConditionsFailed,
    OutOfBudget,
    Scene,
    access_values,
    conditions_hold,
    namespace_fields,
)
from kapi.admission.requests.expressions import (
    APPLY_CONFIGURATION,
    CONDITION,
    JSON_PATCHES,
    MESSAGE,
    Composer,
    Expression,
    compiled,
    environment,
)
from kapi.admission.requests.matching import Match, Matcher
from kapi.admission.requests.rules import Kind, Place
from kapi.authorization import authorizer as access
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
MAP = Place("", "v1", "configmaps", "", Kind("", "v1", "ConfigMap"))
POD = Place("", "v1", "pods", "", Kind("", "v1", "Pod"))
OLD = Place("extensions", "v1beta1", "deployments", "", Kind("extensions", "v1beta1", "Deployment"))
NEW = Place("apps", "v1", "deployments", "", Kind("apps", "v1", "Deployment"))
USER = UserInfo(name="alice")


class Kinds:
    """ConfigMaps, and deployments in two groups."""

    generation = 1

    def place(self, attributes: Attributes) -> Place:
        return MAP

    def places(self, group: str, resource: str, subresource: str) -> Sequence[Place]:
        return (OLD, NEW) if resource == "deployments" else (MAP,)

    async def shown(self, obj: Json, place: Place) -> Json:
        return obj

    async def patched(self, obj: Json, operations: Any, place: Place, whole: Json) -> Json:
        return obj


class Listed:
    def __init__(self, *objects: Json) -> None:
        self.objects = list(objects)
        self.changed = 1

    def list(self, namespace: str = "") -> list[Json]:
        return self.objects

    def get(self, namespace: str, name: str) -> Json | None:
        return next((o for o in self.objects if o["metadata"]["name"] == name), None)

    def put(self, *objects: Json) -> None:
        self.objects = list(objects)
        self.changed += 1


class Access:
    """Allows one verb, and remembers what it was asked."""

    def __init__(self, verb: str = "get") -> None:
        self.verb = verb
        self.asked: list[access.Attributes] = []

    async def authorize(self, attributes: access.Attributes) -> tuple[access.Decision, str]:
        self.asked.append(attributes)
        if attributes.verb == self.verb:
            return access.Decision.ALLOW, "because"
        return access.Decision.NO_OPINION, ""


def attributes(place: Place = MAP, namespace: str = "ns", **more: Any) -> Attributes:
    given: Json = {
        "operation": "CREATE",
        "name": "a",
        "object": {"metadata": {"name": "a", "labels": {"x": "y"}}},
        "old": None,
        **more,
    }
    return Attributes(
        group=place.group,
        version=place.version,
        kind=place.kind.kind,
        resource=place.resource,
        subresource="",
        namespace=namespace,
        user=USER,
        dry_run=False,
        **given,
    )


def expression(text: str, *variables: tuple[str, str]) -> tuple[Expression, Scene, Access]:
    """An expression with variables, in a scene of its own."""
    composer = Composer(params=True, composes=bool(variables))
    made = [(name, composer.variable(name, of)) for name, of in variables]
    gate = Access()
    asker = Asker(gate, USER)
    values: Json = {
        "object": {"a": 1, "text": "x", "list": [1, 2, 3]},
        "params": None,
        **access_values(attributes(), MAP, asker),
    }
    out = composer.compiled(text, ())
    assert out.program is not None, out.problem
    return out, Scene(values, asker, made), gate


# -- compilation ----------------------------------------------------------------------------------

ALL = environment(params=True, authorizer=True)


@pytest.mark.parametrize(
    ("text", "returns", "problem"),
    [
        ("object.a == 1", CONDITION, ""),
        ("object.a", CONDITION, "must evaluate to bool but got dyn"),
        ("1", CONDITION, "must evaluate to bool but got int"),
        ("[1]", MESSAGE, "must evaluate to string but got list(int)"),
        ("request.nope == ''", CONDITION, "undefined field 'nope'"),
        ("request.userInfo.groups.exists(g, g == 'a')", CONDITION, ""),
        ("namespaceObject.metadata.labels['a'] == 'b'", CONDITION, ""),
        ("zz", CONDITION, "undeclared reference to 'zz' (in container '')"),
        ("Object{}", APPLY_CONFIGURATION, "undeclared reference to 'Object'"),
    ],
)
def test_what_compiles(text: str, returns: Any, problem: str) -> None:
    out = compiled(text, ALL, returns)
    assert problem in out.problem
    assert (out.program is None) is bool(problem)


@pytest.mark.parametrize(
    ("text", "returns", "good"),
    [
        ("Object{spec: Object.spec{a: 1, b: [Object.spec.b{c: ''}]}}", APPLY_CONFIGURATION, True),
        ("object.a ? Object{} : Object{x: 1}", APPLY_CONFIGURATION, True),
        ("Object.spec{}", APPLY_CONFIGURATION, False),
        ("[JSONPatch{op: 'add', path: '/a', value: {'x': [1]}}]", JSON_PATCHES, True),
        ("[JSONPatch{op: 'add', path: '/a', value: Object.a{b: 1}}]", JSON_PATCHES, True),
        ("has(object.a) ? [] : [JSONPatch{}]", JSON_PATCHES, True),
        ("[JSONPatch{path: '/' + jsonpatch.escapeKey('a/b~')}]", JSON_PATCHES, True),
        ("[JSONPatch{op: 1}]", JSON_PATCHES, False),
    ],
)
def test_patches_are_values_of_their_own_types(text: str, returns: Any, good: bool) -> None:
    where = environment(params=False, authorizer=False, patches=True)
    assert (compiled(text, where, returns).program is not None) is good


def test_a_variable_is_known_to_what_comes_after_it_with_its_type() -> None:
    composer = Composer(params=False, composes=True)
    assert "undefined field 'b'" in composer.variable("a", "variables.b").problem
    assert composer.variable("b", "[1, 2]").program is not None
    assert composer.variable("c", "variables.b.map(x, x + 1)").program is not None
    words = composer.compiled("variables.b == 'x'", CONDITION).problem
    assert "found no matching overload for '_==_' applied to '(list(int), string)'" in words


# -- evaluation -----------------------------------------------------------------------------------


async def test_variables_are_evaluated_when_asked_for_and_once() -> None:
    out, scene, gate = expression(
        "variables.asks && variables.asks || variables.never",
        ("asks", "authorizer.path('/x').check('get').allowed()"),
        ("never", "object.zz"),
    )
    run = scene.begin()
    assert (await run.run(out)).value is True
    assert (await run.run(out)).value is True
    assert len(gate.asked) == 1
    assert await run.run(out) == await scene.begin().run(out)


async def test_questions_to_the_authorizer() -> None:
    out, scene, gate = expression(
        "authorizer.group('g').resource('r').subresource('s').namespace('n').name('o')"
        ".check('get').reason() + '|' + string(authorizer.requestResource.check('list').allowed())"
    )
    assert (await scene.begin().run(out)).value == "because|false"
    first, second = gate.asked
    assert (first.group, first.resource, first.subresource, first.name) == ("g", "r", "s", "o")
    assert (second.resource, second.namespace, second.name) == ("configmaps", "ns", "a")


async def test_questions_about_a_service_account() -> None:
    out, scene, gate = expression(
        "authorizer.serviceAccount('n', 's').path('/p').check('get').allowed()"
    )
    assert (await scene.begin().run(out)).value is True
    (asked,) = gate.asked
    assert (asked.user.name, asked.path) == ("system:serviceaccount:n:s", "/p")
    assert not asked.is_resource


async def test_a_pass_has_a_budget() -> None:
    out, scene, _ = expression("object.list.all(a, a > 0)")
    run = scene.begin()
    await run.run(out)
    cost = 10_000_000 - run.budget
    assert cost > 0
    small = scene.begin(cost * 2)
    await small.run(out)
    await small.run(out)
    with pytest.raises(OutOfBudget):
        await small.run(out)


async def test_what_variables_take_counts() -> None:
    plain, scene, _ = expression("object.list.all(a, a > 0)")
    run = scene.begin()
    await run.run(plain)
    alone = 10_000_000 - run.budget
    by_name, scene, _ = expression("variables.v", ("v", "object.list.all(a, a > 0)"))
    run = scene.begin()
    await run.run(by_name)
    assert 10_000_000 - run.budget > alone


async def test_what_does_not_compile_fails_where_it_is_used() -> None:
    bad = compiled("zz", ALL, CONDITION)
    _, scene, _ = expression("true")
    result = await scene.begin().run(bad)
    assert result.error.startswith("compilation error: compilation failed: ERROR: <input>:1:1:")
    assert error_type(result.error) == "compile_error"


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        (["true", "true"], True),
        (["object.zz == 1", "false"], False),
        (["object.zz == 1", "true"], "expression 'object.zz == 1' resulted in error: "
                                     "no such key: zz"),
        (["object.zz == 1", "object.yy"], "[expression 'object.zz == 1' resulted in error: "
                                          "no such key: zz, expression 'object.yy' resulted in "
                                          "error: no such key: yy]"),
    ],
)  # fmt: skip
async def test_conditions(texts: list[str], outcome: Any) -> None:
    _, scene, _ = expression("true")
    conditions = [compiled(text, ALL, ()) for text in texts]
    if isinstance(outcome, bool):
        assert await conditions_hold(conditions, scene, refuses=True) is outcome
        return
    with pytest.raises(ConditionsFailed) as caught:
        await conditions_hold(conditions, scene, refuses=True)
    assert str(caught.value) == outcome
    assert await conditions_hold(conditions, scene, refuses=False) is False


def test_a_namespace_shows_only_what_it_must() -> None:
    namespace = {"metadata": {"name": "n", "managedFields": [], "labels": {"a": "b"}}, "spec": {}}
    shown = namespace_fields(namespace)
    assert shown == {
        "metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {}, "status": {},
    }  # fmt: skip
    assert namespace_fields(None) is None


# -- matching -------------------------------------------------------------------------------------


def matcher(*namespaces: Json) -> Matcher:
    async def live(plural: str, namespace: str, name: str) -> Json | None:
        return None

    return Matcher(Listed(*namespaces), live, Kinds())


NAMESPACE: Json = {"metadata": {"name": "ns", "labels": {"team": "blue"}}}
CREATE_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
               "operations": ["CREATE"]}  # fmt: skip


@pytest.mark.parametrize(
    ("resources", "matches"),
    [
        ({}, True),
        ({"resourceRules": [CREATE_MAPS]}, True),
        ({"resourceRules": [{**CREATE_MAPS, "operations": ["UPDATE"]}]}, False),
        ({"excludeResourceRules": [CREATE_MAPS]}, False),
        ({"resourceRules": [CREATE_MAPS], "excludeResourceRules": [
            {**CREATE_MAPS, "resourceNames": ["b"]}]}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
        ({"objectSelector": {"matchLabels": {"x": "y"}}}, True),
        ({"objectSelector": {"matchLabels": {"x": "z"}}}, False),
    ],
)  # fmt: skip
async def test_a_match(resources: Json, matches: bool) -> None:
    place = await matcher(NAMESPACE).place(Match.parse(resources), attributes(), MAP)
    assert (place is not None) is matches


async def test_an_equivalent_place_is_where_the_policy_sees_the_object() -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
            "operations": ["*"]}  # fmt: skip
    exact = {"resourceRules": [rule], "matchPolicy": "Exact"}
    equivalent = {**exact, "matchPolicy": "Equivalent"}
    asked = attributes(OLD)
    assert await matcher(NAMESPACE).place(Match.parse(exact), asked, OLD) is None
    assert await matcher(NAMESPACE).place(Match.parse(equivalent), asked, OLD) == NEW


async def test_a_namespace_that_is_gone() -> None:
    selects = Match.parse({"namespaceSelector": {"matchLabels": {"a": "b"}}})
    with pytest.raises(ApiError) as caught:
        await matcher().place(selects, attributes(), MAP)
    assert caught.value.code == 404
    assert await matcher().place(selects, attributes(namespace=""), MAP) == MAP


# -- the source -----------------------------------------------------------------------------------


def policy(name: str, version: str = "1") -> Json:
    spec = {
        "matchConstraints": {"resourceRules": [CREATE_MAPS]},
        "validations": [{"expression": "true"}],
    }
    return {"metadata": {"name": name, "resourceVersion": version}, "spec": spec}


def binding(name: str, of: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"policyName": of, "validationActions": ["Deny"]}}


def test_a_policy_is_compiled_once_per_change_and_only_if_it_is_bound() -> None:
    made: list[str] = []

    def compile_policy(obj: Json) -> Any:
        made.append(obj["metadata"]["name"])
        return validating_policy(obj)

    policies, bindings = Listed(policy("a"), policy("b")), Listed(binding("x", "a"))
    source: PolicySource[Any] = PolicySource(policies, bindings, Kinds(), compile_policy)

    def names() -> list[str]:
        found = source.bound("CREATE", "", "configmaps", "")
        return [bound.policy.common.name for bound in found]

    assert names() == ["a"]
    assert names() == ["a"]
    assert made == ["a"]
    bindings.put(binding("x", "a"), binding("y", "b"))
    assert names() == ["a", "b"]
    assert made == ["a", "b"]
    policies.put(policy("a", "2"), policy("b"))
    assert names() == ["a", "b"]
    assert made == ["a", "b", "a"]
    policies.put(policy("b"))
    assert names() == ["b"]
    assert source.bound("DELETE", "", "configmaps", "") == ()
    bindings.put()
    assert names() == []


def test_what_no_policy_is_asked_about() -> None:
    assert excluded("admissionregistration.k8s.io", "mutatingadmissionpolicies")
    assert excluded("authorization.k8s.io", "subjectaccessreviews")
    assert not excluded("admissionregistration.k8s.io", "validatingwebhookconfigurations")
    assert not excluded("", "configmaps")
