"""What a CustomResourceDefinition may say: names, versions, schemas, defaults, lists, columns,
conversion; what an update may leave as wrong as it was."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from kapi.errors import FieldError
from kapi.kinds.definitions import conditions as definition_conditions
from kapi.kinds.definitions import defaults as definition_defaults
from kapi.kinds.definitions import lists as definition_lists
from kapi.kinds.definitions import schemas as definition_schemas
from kapi.kinds.definitions import spec as definition_spec
from kapi.kinds.definitions import structural as definition_structural
from kapi.kinds.definitions.schemas import Requirements
from kapi.kinds.shared.types import TypeTable

Json = dict[str, Any]
META = TypeTable().schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
NEEDED = Requirements(object_meta=lambda: META)
SPEC: Json = {
    "group": "example.com",
    "scope": "Namespaced",
    "conversion": {"strategy": "None"},
    "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
    "versions": [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object"}},
        }
    ],
}


def found(change: Any) -> list[str]:
    """What is said of a good spec after a change to it."""
    spec = copy.deepcopy(SPEC)
    change(spec)
    return [str(f) for f in definition_spec.findings(spec, NEEDED)]


def in_schema(props: Json, **more: Any) -> list[str]:
    """What is said of a field of the schema."""

    def change(spec: Json) -> None:
        schema = {"type": "object", "properties": {"spec": props}, **more}
        spec["versions"][0]["schema"]["openAPIV3Schema"] = schema

    return found(change)


STORED, UNSTORED = '"Storage":true', '"Storage":false'
GO_V1 = (  # the version as the Go struct prints
    '{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,'
    '"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}'
)
AT = "spec.validation.openAPIV3Schema"
FIELD = f"{AT}.properties[spec]"


def test_a_good_definition_is_let_through() -> None:
    assert found(lambda spec: None) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.pop("group"), ["spec.group: Required value"]),
        (
            lambda s: s.update(group="example"),
            ['spec.group: Invalid value: "example": should be a domain with at least one dot'],
        ),
        (
            lambda s: s.update(scope="Planet"),
            ['spec.scope: Unsupported value: "Planet": supported values: "Cluster", "Namespaced"'],
        ),
        (lambda s: s["names"].pop("kind"), ["spec.names.kind: Required value"]),
        (
            lambda s: s["names"].update(listKind="Thing"),
            ['spec.names.listKind: Invalid value: "Thing": kind and listKind may not be the same'],
        ),
        (
            lambda s: s["versions"].append({**s["versions"][0], "storage": False}),
            [
                f"spec.versions: Invalid value: [{GO_V1},{GO_V1.replace(STORED, UNSTORED)}]: must "
                "contain unique version names"
            ],
        ),
        (
            lambda s: s["versions"][0].update(storage=False),
            [
                f"spec.versions: Invalid value: [{GO_V1.replace(STORED, UNSTORED)}]: must have "
                "exactly one version marked as storage version"
            ],
        ),
        (
            lambda s: s["versions"][0].pop("schema"),
            ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
        ),
        (
            lambda s: s["versions"][0].update(
                additionalPrinterColumns=[{"name": "A", "type": "date", "jsonPath": "x"}]
            ),
            [
                'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple '
                "json path starting with ."
            ],
        ),
        (
            lambda s: s["versions"][0].update(
                additionalPrinterColumns=[{"name": "A", "type": "color", "jsonPath": ".x"}]
            ),
            [
                'spec.additionalPrinterColumns[0].type: Invalid value: "color": must be one of '
                "boolean,date,integer,number,string"
            ],
        ),
        (
            lambda s: s["versions"][0].update(subresources={"scale": {"specReplicasPath": ".x"}}),
            [
                'spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json '
                "path under .spec",
                "spec.subresources.scale.statusReplicasPath: Required value",
            ],
        ),
        (
            lambda s: s["versions"][0].update(deprecationWarning="old"),
            [
                'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for '
                "deprecated versions"
            ],
        ),
        (
            lambda s: s.update(conversion={"strategy": "Magic"}),
            [
                'spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", '
                '"Webhook"'
            ],
        ),
        (
            lambda s: s.update(conversion={"strategy": "Webhook"}),
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is "
                "set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
    ],
)
def test_specs_with_one_mistake(change: Any, expected: list[str]) -> None:
    assert found(change) == expected


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ({}, [f"{FIELD}.type: Required value: must not be empty for specified object fields"]),
        (
            {"type": "list"},
            [
                f'{FIELD}.type: Unsupported value: "list": supported values: "array", "boolean", '
                '"integer", "number", "object", "string"'
            ],
        ),
        ({"type": "array"}, [f"{FIELD}.items: Required value: must be specified"]),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": False,
            },
            [
                f"{FIELD}.additionalProperties: Forbidden: additionalProperties and properties are "
                "mutual exclusive"
            ],
        ),
        (
            {"type": "object", "allOf": [{"type": "object"}]},
            [f"{FIELD}.allOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
            [
                f"{FIELD}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the "
                "runtime complexity becomes quadratic"
            ],
        ),
    ],
)
def test_schemas_that_are_not_structural(props: Json, expected: list[str]) -> None:
    assert in_schema(props) == expected


def test_what_a_junctor_at_the_root_names_must_have_a_type() -> None:
    any_of = [{"properties": {"spec": {"required": ["a"]}, "b": {"minLength": 1}}}]
    assert in_schema({"type": "object"}, anyOf=any_of) == [
        f"{AT}.properties[b]: Required value: because it is defined in {AT}.anyOf[0].properties[b]"
    ]


def test_the_order_of_structural_findings_is_that_of_their_texts() -> None:
    props = {"type": "object", "properties": {"b": {}, "a": {}}}
    texts = [str(f) for f in definition_structural.findings(props, "s")]
    assert texts == sorted(texts)
    assert len(texts) == 2


def test_defaults_must_fit_and_know_every_field() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 2}}}
    assert in_schema({**inner, "default": {"a": 2}}) == []
    assert in_schema({**inner, "default": {"a": 1}}) == [
        f"{FIELD}.default.a: Invalid value: 1: a in body should be greater than or equal to 2"
    ]
    assert in_schema({**inner, "default": {"b": 1}}) == [
        f'{FIELD}.default: Invalid value: {{"b":1}}: must not have unknown fields'
    ]
    assert definition_defaults.has_defaults({"items": {"default": 1}})
    assert not definition_defaults.has_defaults({"allOf": [{"default": 1}]})
    assert definition_defaults.unpruned({**inner, "default": {"b": 1}}, META)


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        (
            {"type": "object", "x-kubernetes-list-type": "set"},
            [
                'p.type: Invalid value: "object": must be array if x-kubernetes-list-type is '
                "specified"
            ],
        ),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"},
            [
                'p.x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", '
                '"set", "map"'
            ],
        ),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["a"]},
            [
                "p.x-kubernetes-list-type: Required value: must be map if "
                "x-kubernetes-list-map-keys is non-empty"
            ],
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "set",
                "items": {"type": "array", "items": {"type": "string"}},
            },
            [],
        ),
        ({"type": "object", "x-kubernetes-map-type": "granular"}, []),
    ],
)
def test_list_and_map_types(props: Json, expected: list[str]) -> None:
    texts = [str(f) for f in definition_lists.findings(props, "p", atomic_sets=True, map_keys=True)]
    assert texts == expected


def test_what_all_versions_share_is_said_once() -> None:
    spec = copy.deepcopy(SPEC)
    spec["versions"].append({**copy.deepcopy(spec["versions"][0]), "name": "v2"})
    spec["versions"][1]["subresources"] = {"status": {}}
    out = definition_spec.hoisted(spec)
    assert out["validation"] == SPEC["versions"][0]["schema"]
    assert "subresources" not in out
    assert [sorted(v) for v in out["versions"]] == [
        ["name", "served", "storage"], ["name", "served", "storage", "subresources"],
    ]  # fmt: skip
    assert "schema" in spec["versions"][0], "the definition itself is not changed"


def test_an_update_may_leave_what_was_wrong() -> None:
    before = copy.deepcopy(SPEC)
    before["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = {"spec": {}}
    before["preserveUnknownFields"] = True  # else fields are pruned, which takes a structure
    needed = definition_spec.requirements(before, NEEDED, established=True)
    assert not needed.structural
    assert [str(f) for f in definition_spec.findings(before, needed)] == []
    pruning = {**before, "preserveUnknownFields": False}
    assert len(definition_spec.findings(pruning, needed)) == 1
    assert needed.immutable_names
    renamed = copy.deepcopy(before)
    renamed["scope"], renamed["names"]["kind"] = "Cluster", "Other"
    texts = [str(f) for f in definition_spec.immutable(renamed, before, needed)]
    assert texts == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Other": field is immutable',
    ]


def test_rules_are_looked_at_only_where_all_else_is_right() -> None:
    asked: list[str] = []

    def rules(props: Json, path: str, wrong: Sequence[FieldError]) -> list[FieldError]:
        asked.append(path)
        return []

    needed = Requirements(object_meta=lambda: META, rules=rules)
    good, bad = {"type": "object"}, {"type": "object", "properties": {"a": {}}}
    definition_schemas.findings(good, "good", needed, has_status=False)
    definition_schemas.findings(bad, "bad", needed, has_status=False)
    assert asked == ["good"]


def test_a_condition_is_dated_when_its_status_moves() -> None:
    status: Json = {}
    wanted = definition_conditions.condition_of("Established", "True", "R", "m")
    definition_conditions.set_condition(status, wanted, "t1")
    definition_conditions.set_condition(status, {**wanted, "message": "n"}, "t2")
    assert status["conditions"] == [
        {"type": "Established", "status": "True", "lastTransitionTime": "t1", "reason": "R",
         "message": "n"},
    ]  # fmt: skip
    definition_conditions.set_condition(status, {**wanted, "status": "False"}, "t3")
    assert status["conditions"][0]["lastTransitionTime"] == "t3"


@pytest.mark.parametrize(
    ("annotation", "state"),
    [
        ("", "Missing"),
        ("unapproved, just a test", "Unapproved"),
        ("https://github.com/kubernetes/enhancements/pull/1", "Approved"),
        ("sure", "Invalid"),
    ],
)
def test_groups_of_kubernetes_need_an_approval(annotation: str, state: str) -> None:
    obj = {
        "metadata": {"annotations": {"api-approved.kubernetes.io": annotation}},
        "spec": {"group": "things.k8s.io"},
    }
    condition = definition_conditions.approval(obj)
    assert condition is not None
    assert condition["reason"] == f"{state}Annotation"
    refused = state in ("Missing", "Invalid")
    assert bool(definition_conditions.approval_finding(obj, None)) is refused
    assert definition_conditions.approval_finding(obj, obj) == []
    assert definition_conditions.approval({"metadata": {}, "spec": {"group": "a.com"}}) is None
