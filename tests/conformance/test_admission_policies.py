"""Admission policies against a whole server: what they see, what they refuse, what they change."""

from __future__ import annotations

from typing import Any

import pytest
from server_harness import APPLY_PATCH, Answer, Running, eventually, running

Json = dict[str, Any]
REG = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
WRITES = ["CREATE", "UPDATE"]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LIMITS = "/apis/example.com/v1/limits"


def rules(operations: list[str] | None = None, **rule: Any) -> Json:
    return {"resourceRules": [{**CONFIG_MAPS, "operations": operations or WRITES, **rule}]}


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def bound(
    run: Running,
    spec: Json,
    *bindings: Json,
    kind: str = "validating",
    name: str = "p",
    match: Json | None = None,
) -> None:
    """A policy with its bindings, in force."""
    full = {"matchConstraints": match or rules(), **spec}
    if kind == "mutating":
        full = {"reinvocationPolicy": "Never", **full}
    policy = {"metadata": {"name": name}, "spec": full}
    await run.client.post(f"{REG}/{kind}admissionpolicies", policy)
    for i, binding in enumerate(bindings or ({},)):
        actions = {"validationActions": ["Deny"]} if kind == "validating" else {}
        body = {
            "metadata": {"name": f"{name}-{i}"},
            "spec": {"policyName": name, **actions, **binding},
        }
        await run.client.post(f"{REG}/{kind}admissionpolicybindings", body)
    await run.caught_up()


def rule(expression: str, **more: Any) -> Json:
    return {"validations": [{"expression": expression, **more}]}


def patches(expression: str) -> Json:
    return {"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]}


def applies(*expressions: str, **more: Any) -> Json:
    made = [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": e}}
        for e in expressions
    ]
    return {"mutations": made, **more}


def told(answer: Answer) -> str:
    """Why a policy refused."""
    return answer.message.partition("denied request: ")[2]


async def test_a_denial_says_policy_binding_and_message() -> None:
    async with running() as run:
        await bound(run, rule("object.data.n == '1'", message=" only one "))
        refused = await run.client("POST", MAPS, config_map("a", n="2"))
        message = "ValidatingAdmissionPolicy 'p' with binding 'p-0' denied request: only one"
        assert refused.expect(422) == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'configmaps "a" is forbidden: {message}',
            "reason": "Invalid",
            "details": {"name": "a", "kind": "configmaps", "causes": [{"message": message}]},
            "code": 422,
        }
        await run.client.post(MAPS, config_map("a", n="1"))
        changed = await run.client("PUT", f"{MAPS}/a", config_map("a", n="3"))
        assert told(changed) == "only one"


@pytest.mark.parametrize(
    ("reason", "code"),
    [("Forbidden", 403), ("RequestEntityTooLarge", 413), ("Invalid", 422)],
)
async def test_a_reason_has_its_code(reason: str, code: int) -> None:
    async with running() as run:
        await bound(run, rule("false", reason=reason))
        refused = await run.client("POST", MAPS, config_map("a"))
        assert (refused.status, refused.reason) == (code, reason)


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"messageExpression": "'n is ' + object.data.n"}, "n is 2"),
        ({"messageExpression": "'  '", "message": "fixed"}, "fixed"),
        ({"messageExpression": "object.data.zz + ''", "message": "fixed"}, "fixed"),
        ({"messageExpression": "'two\\nlines'", "message": "fixed"}, "fixed"),
        ({}, "failed expression: object.data.n == '1'"),
    ],
)
async def test_where_a_message_comes_from(validation: Json, words: str) -> None:
    async with running() as run:
        await bound(run, rule("object.data.n == '1'", **validation))
        assert told(await run.client("POST", MAPS, config_map("a", n="2"))) == words


async def test_an_error_counts_as_the_failure_policy_says() -> None:
    async with running() as run:
        await bound(run, rule("object.data.zz == '1'"), name="fails")
        refused = await run.client("POST", MAPS, config_map("a", n="1"))
        assert told(refused) == (
            "expression 'object.data.zz == '1'' resulted in error: no such key: zz"
        )
        await run.client.delete(f"{REG}/validatingadmissionpolicies/fails")
        spec = {**rule("object.data.zz == '1'"), "failurePolicy": "Ignore"}
        await bound(run, spec, name="ignores")
        await run.client.post(MAPS, config_map("a", n="1"))


async def test_warnings_and_a_binding_that_only_audits() -> None:
    async with running() as run:
        await bound(
            run,
            rule("false", message="no"),
            {"validationActions": ["Warn", "Audit"]},
            {"validationActions": ["Audit"]},
        )
        made = await run.client("POST", MAPS, config_map("a"))
        assert made.status == 201
        assert made.warnings == [
            "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-0': no"
        ]


async def test_variables_are_composed_and_lazy() -> None:
    variables = [
        {"name": "n", "expression": "int(object.data.n)"},
        {"name": "twice", "expression": "variables.n * 2"},
        {"name": "never", "expression": "object.data.zz"},
    ]
    async with running() as run:
        spec = rule("variables.n > 5 || variables.twice < 8 || variables.never == ''",
                    messageExpression="'twice is ' + string(variables.twice)")  # fmt: skip
        await bound(run, {**spec, "variables": variables})
        await run.client.post(MAPS, config_map("a", n="9"))
        await run.client.post(MAPS, config_map("b", n="3"))
        refused = await run.client("POST", MAPS, config_map("c", n="4"))
        assert told(refused).endswith(
            'composited variable "never" fails to evaluate: no such key: zz'
        )


async def test_match_conditions_come_before_everything() -> None:
    conditions = [
        {"name": "ours", "expression": "object.metadata.name.startsWith('a')"},
        {"name": "not-alice", "expression": "request.userInfo.username != 'alice'"},
    ]
    async with running() as run:
        await bound(run, {**rule("false", message="no"), "matchConditions": conditions})
        await run.client.post(MAPS, config_map("b"))
        assert told(await run.client("POST", MAPS, config_map("a"))) == "no"
        broken = [{"name": "x", "expression": "object.zz == 1"}, *conditions]
        await bound(run, {**rule("true"), "matchConditions": broken}, name="q")
        await run.client.post(MAPS, config_map("c"))  # one that is false settles it
        refused = await run.client("POST", MAPS, {**config_map("ab"), "data": None})
        assert told(refused) == "no"


@pytest.mark.parametrize(
    ("match", "name", "seen"),
    [
        (rules(["DELETE"]), "a", False),
        (rules(resourceNames=["a"]), "a", True),
        (rules(resourceNames=["b"]), "a", False),
        (rules(scope="Cluster"), "a", False),
        (rules(apiGroups=["*"], resources=["*"]), "a", True),
        ({**rules(), "excludeResourceRules": [{**CONFIG_MAPS, "operations": ["CREATE"]}]}, "a",
         False),
        ({**rules(), "objectSelector": {"matchLabels": {"x": "y"}}}, "a", False),
        ({**rules(), "namespaceSelector": {"matchLabels": {"x": "y"}}}, "a", False),
        ({**rules(), "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": "default"}}}, "a", True),
    ],
)  # fmt: skip
async def test_what_a_policy_matches(match: Json, name: str, seen: bool) -> None:
    async with running() as run:
        await bound(run, rule("false"), match=match)
        answer = await run.client("POST", MAPS, config_map(name))
        assert answer.status == (422 if seen else 201)


async def test_a_binding_narrows_its_policy() -> None:
    async with running() as run:
        other = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
        await bound(run, rule("false"), {"matchResources": {"namespaceSelector": other}})
        await run.client.post(MAPS, config_map("a"))
        system = "/api/v1/namespaces/kube-system/configmaps"
        assert (await run.client("POST", system, config_map("a"))).status == 422


async def test_what_a_policy_sees_of_a_request() -> None:
    checks = [
        "request.operation == 'CREATE' || request.operation == 'DELETE'",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'",
        "request.namespace == 'default' && request.name == 'a'",
        "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
        "request.dryRun == (request.operation == 'DELETE')",
        "namespaceObject.metadata.name == 'default'",
        "namespaceObject.status.phase == 'Active'",
        "request.operation == 'DELETE' ? object == null : oldObject == null",
        "request.operation == 'CREATE' || oldObject.data.n == '1'",
        "authorizer.group('').resource('pods').namespace('x').check('list').allowed()",
        "authorizer.requestResource.check('create').allowed()",
        "authorizer.path('/healthz').check('get').allowed()",
        "!authorizer.serviceAccount('default', 'default').group('').resource('secrets')"
        ".check('get').allowed()",
    ]
    async with running(authorization_mode=("RBAC",)) as run:
        spec = {"validations": [{"expression": e} for e in checks]}
        await bound(run, spec, match=rules(["CREATE", "DELETE"]))
        await run.client.post(MAPS, config_map("a", n="1"))
        await run.client.delete(f"{MAPS}/a?dryRun=All")


async def test_policies_are_not_subject_to_policies() -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    async with running() as run:
        await bound(run, rule("false"), match=rules(["*"], **everything))
        assert (await run.client("POST", MAPS, config_map("a"))).status == 422
        review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
        reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        await run.client.post(reviews, review)
        await run.client.delete(f"{REG}/validatingadmissionpolicies/p")
        await run.caught_up()
        await run.client.post(MAPS, config_map("a"))


# -- params ---------------------------------------------------------------------------------------

KIND = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
MAX = "!has(object.data.n) || int(object.data.n) <= int(params.data.max)"


def ref(action: str = "Deny", **more: Any) -> Json:
    return {"paramRef": {"parameterNotFoundAction": action, **more}}


async def test_params_by_name() -> None:
    async with running() as run:
        await run.client.post(MAPS, config_map("limits", max="10"))
        spec = {**KIND, **rule(MAX, messageExpression="'over ' + params.data.max")}
        await bound(run, spec, ref(name="limits"))
        await run.client.post(MAPS, config_map("a", n="10"))
        assert told(await run.client("POST", MAPS, config_map("b", n="11"))) == "over 10"
        await run.client.patch(f"{MAPS}/limits", {"data": {"max": "20"}})
        await run.caught_up()
        await run.client.post(MAPS, config_map("b", n="11"))


async def test_params_that_are_not_there() -> None:
    async with running() as run:
        await bound(run, {**KIND, **rule("params.data.x == ''")}, ref("Allow", name="none"))
        await run.client.post(MAPS, config_map("a"))
        await bound(run, {**KIND, **rule("true")}, ref("Deny", name="none"), name="q")
        assert told(await run.client("POST", MAPS, config_map("b"))) == (
            "failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )


async def test_a_binding_without_params_of_a_policy_with_a_kind_of_them() -> None:
    async with running() as run:
        await bound(run, {**KIND, **rule("params == null")})
        await run.client.post(MAPS, config_map("a"))


async def test_every_selected_param_is_a_limit() -> None:
    async with running() as run:
        for name, limit in (("low", "5"), ("high", "50")):
            labelled = config_map(name, max=limit)
            labelled["metadata"]["labels"] = {"limit": "yes"}
            await run.client.post(MAPS, labelled)
        chosen = ref(selector={"matchLabels": {"limit": "yes"}}, namespace="default")
        spec = {**KIND, **rule(MAX, messageExpression="'over ' + params.data.max")}
        await bound(run, spec, chosen)
        await run.client.post(MAPS, config_map("a", n="5"))
        assert told(await run.client("POST", MAPS, config_map("b", n="6"))) == "over 5"


def definition() -> Json:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"max": {"type": "integer"}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "limits", "singular": "limit", "kind": "Limit", "listKind": "LimitList"}
    return {
        "metadata": {"name": "limits.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }


async def served(run: Running, path: str) -> None:
    async def answers() -> bool:
        return (await run.client("GET", path)).status == 200

    await eventually(answers)


async def test_params_of_a_custom_kind() -> None:
    kind = {"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}}
    async with running() as run:
        await bound(run, {**kind, **rule("object.data.size() <= params.spec.max")}, ref(name="l"))
        refused = await run.client("POST", MAPS, config_map("a"))
        assert refused.message.endswith(
            "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to "
            "find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
        )
        await run.client.post(CRDS, definition())
        await served(run, LIMITS)
        limit = {"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "l"}}
        await run.client.post(LIMITS, {**limit, "spec": {"max": 1}})
        await run.client.post(MAPS, config_map("a", n="1"))
        assert (await run.client("POST", MAPS, config_map("b", n="1", m="2"))).status == 422


async def test_a_policy_for_a_custom_kind_and_its_old_object() -> None:
    async with running() as run:
        await run.client.post(CRDS, definition())
        await served(run, LIMITS)
        match = rules(apiGroups=["example.com"], resources=["limits"])
        grows = "oldObject == null || object.spec.max >= oldObject.spec.max"
        await bound(run, rule(grows, message="no less"), match=match)
        limit = {"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "l"}}
        await run.client.post(LIMITS, {**limit, "spec": {"max": 3}})
        await run.client.patch(f"{LIMITS}/l", {"spec": {"max": 4}})
        refused = await run.client("PATCH", f"{LIMITS}/l", {"spec": {"max": 1}},
                                   content_type="application/merge-patch+json")  # fmt: skip
        assert told(refused) == "no less"


# -- what is odd ----------------------------------------------------------------------------------

ODD_RULES = (
    "namespaceObject.metadata.creationTimestamp < timestamp('2090-01-01T00:00:00Z')",
    "oldObject.x == 1",
    "object.data['x'] == 1",
    "[1, 2].map(x, x / 0).size() == 2",
    "object.metadata.name.charAt(99) == ''",
    "quantity(object.data.x).isGreaterThan(quantity('0'))",
    "ip(object.data.x).family() == 4",
    "authorizer.group('').resource('pods').fieldSelector('bad===').check('get').allowed()",
    "(" * 60 + "true" + ")" * 60,
)
ODD_PATCHES = (
    "[JSONPatch{}]",
    "[JSONPatch{op: 'replace', path: '', value: 1}]",
    "[JSONPatch{op: 'remove', path: '/metadata'}]",
    "[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'kube-system'}]",
    "[JSONPatch{op: 'replace', path: '/kind', value: 'Pod'}]",
    "[JSONPatch{op: 'add', path: '/data', value: [1]}]",
    "[JSONPatch{op: 'add', path: '/data', value: {1: 'x'}}]",
    "[JSONPatch{op: 'add', path: '/data/t', value: type(1)}]",
    "[JSONPatch{op: 'add', path: '/data/t', value: optional.none()}]",
    "[JSONPatch{op: 'add', path: '/data/t', value: authorizer}]",
)
ODD_CONFIGURATIONS = (
    "Object{data: 1}",
    "Object{data: null}",
    "Object{data: {1: 'x'}}",
    "Object{data: {'a': 1}}",
    "Object{kind: 'Pod'}",
    "Object{metadata: Object.metadata{managedFields: []}}",
)


async def test_nothing_that_a_policy_says_makes_a_500() -> None:
    specs = [("validating", rule(text)) for text in ODD_RULES]
    specs += [("mutating", patches(text)) for text in ODD_PATCHES]
    specs += [("mutating", applies(text)) for text in ODD_CONFIGURATIONS]
    async with running() as run:
        for i, (kind, spec) in enumerate(specs):
            name = f"odd-{i}"
            await bound(run, spec, kind=kind, name=name)
            answer = await run.client("POST", MAPS, config_map(name, x="1"))
            assert answer.status in (201, 400, 403, 422), (spec, answer.body)
            await run.client.delete(f"{REG}/{kind}admissionpolicies/{name}")
            await run.caught_up()


# -- budgets --------------------------------------------------------------------------------------


async def test_an_expression_that_takes_too_much_is_an_error() -> None:
    heavy = "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != 'x')))"
    async with running() as run:
        await bound(run, rule(heavy))
        data = {f"key-{i}": "v" for i in range(120)}
        refused = await run.client("POST", MAPS, config_map("a", **data))
        assert "actual cost limit exceeded" in told(refused)
        await run.client.post(MAPS, config_map("b", k="v"))


async def test_expressions_together_have_a_budget() -> None:
    heavy = "object.data.all(a, object.data.all(b, a + b != 'x'))"
    async with running() as run:
        await bound(run, {"validations": [{"expression": heavy}] * 40})
        data = {f"key-{i}": "v" for i in range(250)}
        refused = await run.client("POST", MAPS, config_map("a", **data))
        assert told(refused) == (
            "validation failed due to running out of cost budget, no further validation rules "
            "will be run"
        )


# -- mutating -------------------------------------------------------------------------------------


async def test_an_apply_configuration_adds_without_owning() -> None:
    async with running() as run:
        labels = "Object{metadata: Object.metadata{labels: {'n': object.data.added}}}"
        spec = applies("Object{data: {'added': object.metadata.name}}", labels)
        await bound(run, spec, kind="mutating")
        made = await run.client.post(MAPS, config_map("a", x="1"))
        assert made["data"] == {"added": "a", "x": "1"}
        assert made["metadata"]["labels"] == {"n": "a"}
        (owner,) = made["metadata"]["managedFields"]
        assert owner["fieldsV1"] == {"f:data": {".": {}, "f:x": {}}}


async def test_json_patches() -> None:
    async with running() as run:
        expression = (
            "[JSONPatch{op: 'test', path: '/data/x', value: '1'},"
            " JSONPatch{op: 'add', path: '/metadata/labels', value: {'a/b': 'c'}},"
            " JSONPatch{op: 'copy', from: '/data/x', path: '/data/y'}]"
        )
        await bound(run, patches(expression), kind="mutating")
        made = await run.client.post(MAPS, config_map("a", x="1"))
        assert (made["data"], made["metadata"]["labels"]) == ({"x": "1", "y": "1"}, {"a/b": "c"})
        untouched = await run.client.post(MAPS, config_map("b", x="2"))
        assert untouched["data"] == {"x": "2"}, "a test that fails leaves the object alone"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            patches("[JSONPatch{op: 'remove', path: '/data/zz'}]"),
            "policy 'p' with binding 'p-0' denied request: JSONPath: ",
        ),
        (
            applies("Object{data: {'a': object.data.zz}}"),
            "policy 'p' with binding 'p-0' denied request: expression "
            "'Object{data: {'a': object.data.zz}}' resulted in error: no such key: zz",
        ),
        (
            applies("Object{nope: 1}"),
            "policy 'p' with binding 'p-0' denied request: error applying patch: failed to convert "
            "patch object to typed object: .nope: field not declared in schema",
        ),
        (
            applies("Object{metadata: Object.spec{name: 'x'}}"),
            "policy 'p' with binding 'p-0' denied request: type mismatch: unexpected type name "
            '"Object.spec", expected "Object.metadata", which matches field name path from root '
            "Object type",
        ),
        (
            applies("Object{metadata: Object.metadata{finalizers: ['a/b'],"
                    " ownerReferences: [Object.metadata.ownerReferences{uid: 'x'}]}}"),
            "policy 'p' with binding 'p-0' denied request: error applying patch: invalid "
            "ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            ".metadata.ownerReferences[0]",
        ),
    ],
)  # fmt: skip
async def test_mutations_that_fail(spec: Json, words: str) -> None:
    async with running() as run:
        await bound(run, spec, kind="mutating")
        answer = await run.client("POST", MAPS, config_map("a", x="1"))
        assert (answer.status, answer.reason) == (403, "Invalid")
        assert answer.message.startswith(words)
        assert answer.json["details"]["causes"] == [{"message": answer.message}]
        await run.client.delete(f"{REG}/mutatingadmissionpolicies/p")
        await bound(run, {**spec, "failurePolicy": "Ignore"}, kind="mutating", name="q")
        await run.client.post(MAPS, config_map("a", x="1"))


async def test_atomic_lists_are_not_replaced() -> None:
    pods = rules(resources=["pods"])
    command = (
        "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c',"
        " command: ['sh']}]}}"
    )
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]},
    }
    async with running(disable_admission_plugins=("ServiceAccount",)) as run:
        await bound(run, applies(command), kind="mutating", match=pods)
        refused = await run.client("POST", "/api/v1/namespaces/default/pods", pod)
        assert refused.message == (
            "policy 'p' with binding 'p-0' denied request: error applying patch: invalid "
            "ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            ".spec.containers[0].command"
        )
        await run.client.delete(f"{REG}/mutatingadmissionpolicies/p")
        image = command.replace("command: ['sh']", "image: 'other'")
        await bound(run, applies(image), kind="mutating", match=pods, name="q")
        made = await run.client.post("/api/v1/namespaces/default/pods", pod)
        assert [c["image"] for c in made["spec"]["containers"]] == ["other", "i"]


async def test_a_policy_sees_later_changes_if_it_asks_to() -> None:
    async with running() as run:
        counts = "Object{data: {'seen': string(object.data.size())}}"
        again = {"reinvocationPolicy": "IfNeeded"}
        await bound(run, applies(counts, **again), kind="mutating", name="a")
        await bound(run, applies("Object{data: {'late': 'x'}}"), kind="mutating", name="b")
        made = await run.client.post(MAPS, config_map("m", x="1"))
        assert made["data"] == {"x": "1", "late": "x", "seen": "3"}


async def test_mutations_come_before_validations_and_apply_keeps_working() -> None:
    async with running() as run:
        await bound(run, applies("Object{data: {'n': '1'}}"), kind="mutating", name="m")
        await bound(run, rule("object.data.n == '1'"), name="v")
        made = await run.client(
            "PATCH", f"{MAPS}/a?fieldManager=me", config_map("a", x="1"), content_type=APPLY_PATCH
        )
        assert made.expect(201)["data"] == {"n": "1", "x": "1"}
        again = await run.client(
            "PATCH", f"{MAPS}/a?fieldManager=me", config_map("a", x="1"), content_type=APPLY_PATCH
        )
        assert again.expect(200)["data"] == {"n": "1", "x": "1"}


# -- what is refused when it is created -----------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (rule("object.x >"), "spec.validations[0].expression"),
        (rule("1"), "spec.validations[0].expression"),
        (rule("object.x"), "spec.validations[0].expression"),
        (rule("true", messageExpression="authorizer.path('/').check('get').reason()"),
         "spec.validations[0].messageExpression"),
        ({**rule("variables.b"), "variables": [{"name": "a", "expression": "true"}]},
         "spec.validations[0].expression"),
        ({**rule("true"), "variables": [{"name": "a", "expression": "variables.a"}]},
         "spec.variables[0].expression"),
        ({**rule("true"), "auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
         "spec.auditAnnotations[0].valueExpression"),
    ],
)  # fmt: skip
async def test_expressions_are_compiled_at_once(spec: Json, found: str) -> None:
    async with running() as run:
        policy = {"metadata": {"name": "p"}, "spec": {"matchConstraints": rules(), **spec}}
        refused = await run.client("POST", f"{REG}/validatingadmissionpolicies", policy)
        assert refused.status == 422
        assert [c["field"] for c in refused.json["details"]["causes"]] == [found]


@pytest.mark.parametrize(
    "spec",
    [
        applies("Object{data: 1} == 2"),
        applies("object"),
        patches("JSONPatch{op: 'add'}"),
        patches("[JSONPatch{op: 1}]"),
        patches("[JSONPatch{nope: ''}]"),
        patches("[Object{}]"),
    ],
)
async def test_mutations_are_compiled_at_once(spec: Json) -> None:
    async with running() as run:
        full = {"matchConstraints": rules(), "reinvocationPolicy": "Never", **spec}
        policy = {"metadata": {"name": "p"}, "spec": full}
        refused = await run.client("POST", f"{REG}/mutatingadmissionpolicies", policy)
        assert refused.status == 422
        assert len(refused.json["details"]["causes"]) == 1


async def test_decisions_are_counted() -> None:
    async with running() as run:
        await bound(run, rule("object.data.n == '1'"))
        await run.client("POST", MAPS, config_map("a", n="2"))
        await run.client("POST", MAPS, config_map("a"))
        text = (await run.client("GET", "/metrics")).body.decode()
        name = "apiserver_validating_admission_policy_check_total"
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        assert len(lines) == 2
        for error in ("no_error", "invalid_error"):
            (line,) = [one for one in lines if f'error_type="{error}"' in one]
            assert 'policy="p"' in line
            assert 'enforcement_action="deny"' in line
            assert line.endswith(" 1")
