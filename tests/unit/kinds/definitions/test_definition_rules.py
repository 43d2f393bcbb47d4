"""Rules about definitions that few definitions break, in tables: a change to a good one, and what
is said of it."""

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from kapi.kinds.definitions import conversion_rules, go_form
from kapi.kinds.definitions import schemas as definition_schemas
from kapi.kinds.definitions import spec as definition_spec
from kapi.kinds.definitions.apiextensions import DefinitionStrategy
from kapi.kinds.definitions.field_paths import PathError, field_at
from kapi.kinds.definitions.schemas import Requirements
from kapi.kinds.shared.types import TypeTable
from kapi.messages import UserInfo
from kapi.registry.strategy import Context

Json = dict[str, Any]
META = TypeTable().schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
NEEDED = Requirements(object_meta=lambda: META)
AT = "spec.validation.openAPIV3Schema"
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


def with_schema(props: Json, **version: Any) -> Json:
    spec = copy.deepcopy(SPEC)
    spec["versions"][0] |= {"schema": {"openAPIV3Schema": props}, **version}
    return spec


def said(spec: Json, needed: Requirements = NEEDED) -> list[str]:
    return [str(f) for f in definition_spec.findings(spec, needed)]


# -- schemas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "'schema'"),
        ({"properties": {"a": {"type": "string", "$schema": "x"}}}, "'schema'"),
    ],
)
def test_a_named_dialect_is_told_of_where_all_else_is_right(props: Json, expected: str) -> None:
    text = f'{AT}: Invalid value: "": OpenAPIV3Schema {expected} is not supported'
    assert said(with_schema({"type": "object", **props})) == [text]
    wrong = {"type": "object", "uniqueItems": True, **props}
    assert [t for t in said(with_schema(wrong)) if "OpenAPIV3Schema" in t] == []


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ({"definitions": {"a": {"id": "x"}}}, ["definitions", "definitions[a].id"]),
        ({"dependencies": {"a": {"id": "x"}}}, ["dependencies", "dependencies[a].id"]),
        ({"dependencies": {}}, ["dependencies"]),
        ({"$ref": ""}, ["$ref"]),
        ({"additionalItems": False}, ["additionalItems"]),
        ({"patternProperties": {}}, []),
        ({"items": []}, []),
    ],
)
def test_what_is_not_supported(props: Json, expected: list[str]) -> None:
    texts = said(with_schema({"type": "object", **props}))
    assert [t.partition(": ")[0].removeprefix(f"{AT}.") for t in texts] == expected


def test_a_false_extension_keeps_the_structure_from_being_looked_at() -> None:
    props = {"type": "object", "properties": {"a": {"x-kubernetes-preserve-unknown-fields": False}}}
    where = f"{AT}.properties[a].x-kubernetes-preserve-unknown-fields"
    assert said(with_schema(props)) == [f"{where}: Invalid value: false: must be true or undefined"]


@pytest.mark.parametrize("field", ["default", "additionalProperties"])
@pytest.mark.parametrize("value", [False, {}])
def test_in_a_junctor_the_presence_of_some_fields_counts(field: str, value: Any) -> None:
    props = {"type": "object", "allOf": [{field: value}]}
    text = f"{AT}.allOf[0].{field}: Forbidden: must be undefined to be structural"
    assert text in said(with_schema(props))


@pytest.mark.parametrize(
    ("metadata", "refused"),
    [
        ({"type": "object", "properties": {"name": {"type": "string"}}}, False),
        ({"type": "object", "enum": [], "externalDocs": {"url": "x"}}, False),
        ({"type": "object", "minProperties": 0}, True),
        ({"type": "object", "required": []}, True),
        ({"type": "object", "properties": {"labels": {"type": "object"}}}, True),
        ({"type": "object", "nullable": False, "title": ""}, False),
    ],
)
def test_what_may_be_said_of_metadata(metadata: Json, *, refused: bool) -> None:
    props = {"type": "object", "properties": {"metadata": metadata}}
    assert any("implicitly specified" in t for t in said(with_schema(props))) is refused


@pytest.mark.parametrize(
    ("either", "refused"),
    [
        ([{"type": "integer"}, {"type": "string"}], False),
        ([{"type": "integer", "nullable": False}, {"type": "string", "title": ""}], False),
        ([{"type": "string"}, {"type": "integer"}], True),
        ([{"type": "integer", "minimum": 0}, {"type": "string"}], True),
        ([{"type": "integer"}], True),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_one_way_to_say_integer_or_string(
    either: list[Json], *, refused: bool, wrapped: bool
) -> None:
    field: Json = {"x-kubernetes-int-or-string": True, "anyOf": either}
    if wrapped:
        field = {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": either}, {"pattern": "x"}]}
    texts = said(with_schema({"type": "object", "properties": {"a": field}}))
    assert any("must be empty to be structural" in t for t in texts) is refused


@pytest.mark.parametrize(
    ("props", "refused"),
    [
        ({}, False),
        ({"description": "d", "maxLength": 0, "required": [], "uniqueItems": False}, False),
        ({"minProperties": 0}, True),
        ({"not": {}}, True),
        ({"default": False}, True),
        ({"allOf": []}, True),
        ({"x-kubernetes-list-type": ""}, True),
        ({"nullable": False}, False),
    ],
)
def test_what_a_root_with_a_status_may_say(props: Json, *, refused: bool) -> None:
    texts = said(with_schema({"type": "object", **props}, subresources={"status": {}}))
    assert any("allowed at the root" in t for t in texts) is refused


def test_the_first_field_of_a_root_counts() -> None:
    def words(props: Json) -> str:
        return said(with_schema(props, subresources={"status": {}}))[0]

    assert words({"type": "string", "nullable": True}).startswith(f"{AT}.type: Invalid value")
    assert words({"type": "string", "id": "x"}).startswith(f'{AT}: Invalid value: {{"ID":"x",')


def test_schemas_are_printed_with_every_field() -> None:
    props = {
        "type": "array",
        "maximum": 5.0,
        "items": {"type": "string"},
        "additionalProperties": True,
        "default": {"b": "<", "a": 1},
        "x-kubernetes-validations": [{"rule": "self > 1"}],
    }
    text = go_form.shown(go_form.schema(props))
    assert text.startswith('{"ID":"","Schema":"","Ref":null,"Description":"","Type":"array",')
    assert '"Default":{"a":1,"b":"\\u003c"},"Maximum":5,' in text
    assert '"Items":{"Schema":{"ID":"",' in text
    assert '"AdditionalProperties":{"Allows":true,"Schema":null}' in text
    assert text.endswith(
        '"XValidations":[{"Rule":"self \\u003e 1","Message":"","MessageExpression":"",'
        '"Reason":null,"FieldPath":"","OptionalOldSelf":null}]}'
    )
    version = go_form.version(
        {
            "name": "v1",
            "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}],
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.r"}},
            "selectableFields": [{"jsonPath": ".a"}],
        }
    )
    assert version["AdditionalPrinterColumns"] == [
        {"Name": "A", "Type": "string", "Format": "", "Description": "", "Priority": 0,
         "JSONPath": ".a"}
    ]  # fmt: skip
    assert version["Subresources"] == {
        "Status": {},
        "Scale": {"SpecReplicasPath": ".spec.r", "StatusReplicasPath": "",
                  "LabelSelectorPath": None},
    }  # fmt: skip
    assert version["SelectableFields"] == [{"JSONPath": ".a"}]


def test_formats_that_nobody_checks_are_warned_of_once() -> None:
    def thing(*found: str) -> Json:
        fields = {f"f{i}": {"type": "string", "format": f} for i, f in enumerate(found)}
        props = {"type": "object", "properties": {**fields, "n": {"type": "number", "format": "z"}}}
        return {"metadata": {"name": "things.example.com"}, "spec": with_schema(props)}

    strategy = DefinitionStrategy(lambda: META)
    context = Context(operation="CREATE", subresource="", version="v1", user=UserInfo("u"), now=0)
    new = thing("date-time", "k8s-short-name", "x-y", "x-y", "a")
    told = ['unrecognized format "x-y"', 'unrecognized format "a"']
    assert strategy.warnings(new, None, context) == told
    assert strategy.warnings(new, thing("x-y"), context) == told[1:]


# -- defaults -------------------------------------------------------------------------------------

RESOURCE: Json = {"type": "object", "x-kubernetes-embedded-resource": True}
OPEN: Json = {**RESOURCE, "x-kubernetes-preserve-unknown-fields": True}
TEXT: Json = {"type": "string"}
HELD = f"{AT}.properties[e]"
BAD_META = "must result in valid metadata: "


def metadata(**fields: Json) -> Json:
    return {**RESOURCE, "properties": {"metadata": {"type": "object", "properties": fields}}}


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        (
            metadata(name={**TEXT, "default": "a/b"}),
            [f'.properties[metadata].properties[name].default: Invalid value: "a/b": {BAD_META}'
             'metadata.name: Invalid value: "a/b": may not contain \'/\''],
        ),
        (metadata(name={**TEXT, "default": "ab"}), []),
        (
            {**RESOURCE, "properties": {"kind": {**TEXT, "default": ""}}},
            [f'.properties[kind].default: Invalid value: "": {BAD_META}kind: Invalid value: "": '
             "must not be empty"],
        ),
        (
            {**RESOURCE, "properties": {"metadata": {"type": "object", "default": {"foo": 1}}}},
            [],
        ),
        (
            metadata(labels={"type": "object", "default": {"a b": ""}}),
            [".properties[metadata].properties[labels].default: Invalid value: "
             f'{{"a b":""}}: {BAD_META}metadata.labels: Invalid value: "a b": name part must '
             "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
             "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
             "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"],
        ),
        ({**OPEN, "default": {"kind": "K"}}, [".default.apiVersion: Required value"]),
        (
            {**OPEN, "default": {"kind": "K", "apiVersion": "v1", "metadata": {"name": 5}}},
            ['.default.metadata: Invalid value: {"name":5}: json: cannot unmarshal number into Go '
             "struct field ObjectMeta.name of type string"],
        ),
        (
            {"type": "object", "properties": {"in": OPEN},
             "default": {"in": {"kind": "K", "apiVersion": "v1", "metadata": {"foo": 1}}}},
            [],
        ),
        (
            {"type": "object", "properties": {"a": TEXT}, "default": {"b": 1}},
            ['.default: Invalid value: {"b":1}: must not have unknown fields'],
        ),
    ],
)  # fmt: skip
def test_defaults(props: Json, expected: list[str]) -> None:
    spec = with_schema({"type": "object", "properties": {"e": props}})
    assert said(spec) == [f"{HELD}{e}" for e in expected]


# -- paths to fields ------------------------------------------------------------------------------

FIELDS: Json = {
    "properties": {
        "spec": {
            "properties": {
                "a-b": {"type": "string"},
                "it's": {"type": "string"},
                "map": {"additionalProperties": {"properties": {"x": {"type": "integer"}}}},
                "bare": {"type": "object"},
            }
        }
    }
}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        (".spec", ("spec",)),
        (".spec.a-b", ("spec", "a-b")),
        (".spec['a-b']", ("spec", "a-b")),
        ("['spec']['it\\'s']", ("spec", "it's")),
        (".spec.map.key.x", ("spec", "map", "key", "x")),
        (".spec.map['k.y'].x", ("spec", "map", "k.y", "x")),
    ],
)
def test_paths_that_lead_to_a_field(path: str, steps: tuple[str, ...]) -> None:
    assert field_at(FIELDS, path).steps == steps


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec", "expected [ or . but got: spec"),
        (".", "unexpected end of JSON path"),
        (".spec.", "unexpected end of JSON path"),
        (".spec..a-b", "does not refer to a valid field"),
        (".spec.none", "does not refer to a valid field"),
        (".spec.bare.x", "does not refer to a valid field"),
        (".spec[0]", "expected single quoted string but got 0"),
        (".spec['a-b'", "unexpected end of JSON path"),
        (".spec['a-b'.", "expected ] but got ."),
        (".spec['\\q']", "invalid string literal: invalid escape char \\q"),
        (".spec]", "expected [ or . but got: ]"),
    ],
)
def test_paths_that_lead_nowhere(path: str, words: str) -> None:
    with pytest.raises(PathError) as caught:
        field_at(FIELDS, path)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([".spec.a"], []),
        (["['spec'].a"], ["[0].jsonPath: Invalid value: \"['spec'].a\": is an invalid path: array "
                          "notation is not allowed"]),
        ([".metadata.name"], ['[0].jsonPath: Invalid value: ".metadata.name": must not point to '
                              "fields in metadata"]),
        ([".spec.a", ".spec.a"], ['[1].jsonPath: Duplicate value: ".spec.a"']),
        ([""], ["[0].jsonPath: Required value"]),
        ([f".spec.f{i}" for i in range(9)], [": Too many: 9: must have at most 8 items"]),
    ],
)  # fmt: skip
def test_selectable_fields(paths: list[str], expected: list[str]) -> None:
    text = {"type": "string"}
    spec_fields = {"a": text, **{f"f{i}": text for i in range(9)}}
    props = {
        "type": "object",
        "properties": {
            "metadata": {"type": "object", "properties": {"name": text}},
            "spec": {"type": "object", "properties": spec_fields},
        },
    }
    spec = with_schema(props, selectableFields=[{"jsonPath": p} for p in paths])
    assert said(spec) == [f"spec.selectableFields{e}" for e in expected]


# -- versions together ----------------------------------------------------------------------------


def test_empty_lists_do_not_make_versions_different() -> None:
    spec = with_schema({"type": "object", "required": [], "default": {"a": []}})
    second = {"type": "object", "default": {"a": []}}
    spec["versions"].append(
        {"name": "v2", "additionalPrinterColumns": [], "schema": {"openAPIV3Schema": second}}
    )
    out = definition_spec.hoisted(spec)
    assert out["validation"]["openAPIV3Schema"]["required"] == []
    assert all("schema" not in v for v in out["versions"])
    second["default"] = {}
    assert "validation" not in definition_spec.hoisted(spec)


# -- what the old way of keeping fields allows ----------------------------------------------------


def preserving(change: Callable[[Json], Any] = lambda spec: None) -> Json:
    spec = with_schema({"type": "object", "properties": {"a": {"type": "string"}}})
    spec["preserveUnknownFields"] = True
    change(spec)
    return spec


def default_of_a(spec: Json) -> None:
    spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"]["default"] = "x"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda spec: None, []),
        (
            default_of_a,
            ["spec.preserveUnknownFields: Invalid value: true: must be false in order to use "
             "defaults in the schema"],
        ),
        (
            lambda spec: spec.update(conversion={"strategy": "Webhook", "webhook": {
                "clientConfig": {"url": "https://h"}, "conversionReviewVersions": ["v1"]}}),
            ['spec.conversion.strategy: Invalid value: "Webhook": must be None if '
             "spec.preserveUnknownFields is true"],
        ),
    ],
)  # fmt: skip
def test_with_unknown_fields_preserved(change: Callable[[Json], Any], expected: list[str]) -> None:
    assert said(preserving(change)) == expected


def test_versions_without_schema_are_let_be_where_they_were() -> None:
    before = preserving(lambda spec: spec["versions"][0].pop("schema"))
    needed = definition_spec.requirements(before, NEEDED, established=True)
    assert said(before, needed) == []
    where = "spec.versions[0].schema.openAPIV3Schema: Required value: "
    pruning = {**before, "preserveUnknownFields": False}
    assert said(pruning, needed) == [f"{where}because otherwise all fields are pruned"]
    assert said(pruning) == [f"{where}schemas are required"]


# -- bundles --------------------------------------------------------------------------------------

EMPTY_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n", "unable to parse bytes as PEM block"),
        (KEY, "no valid certificate authority data seen"),
        (KEY + "\n", "unable to parse bytes as PEM block"),
        (EMPTY_CERTIFICATE, "failed to parse certificate: x509: malformed certificate"),
    ],
)
def test_a_bundle_that_is_none_is_kept_but_not_taken_again(text: str, words: str) -> None:
    bundle = base64.b64encode(text.encode()).decode()
    spec = copy.deepcopy(SPEC)
    spec["conversion"] = {
        "strategy": "Webhook",
        "webhook": {
            "clientConfig": {"url": "https://h", "caBundle": bundle},
            "conversionReviewVersions": ["v1"],
        },
    }
    assert said(spec) == [], "not yet served"
    served = definition_spec.requirements(SPEC, NEEDED, established=True)
    where = "spec.conversion.webhookClientConfig.caBundle"
    assert said(spec, served) == [
        f'{where}: Invalid value: "{bundle}": unable to load root certificates: {words}'
    ]
    assert said(spec, definition_spec.requirements(spec, NEEDED, established=True)) == []
    assert said(spec, definition_spec.requirements(SPEC, NEEDED, established=False)) == []
    assert conversion_rules.has_bad_bundle(spec)


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "complaints"),
    [("things.example.com", 0), ("other.example.com", 1), ("Things.example.com", 2)],
)
def test_the_name_of_a_definition(name: str, complaints: int) -> None:
    rule = DefinitionStrategy(lambda: META).name_rule_of({"metadata": {}, "spec": SPEC})
    assert len(rule(name, False)) == complaints


def test_every_schema_is_found() -> None:
    leaf = {"type": "string", "format": "odd"}
    places: list[Json] = [
        {"items": leaf}, {"items": [leaf]}, {"allOf": [leaf]}, {"anyOf": [leaf]}, {"oneOf": [leaf]},
        {"not": leaf}, {"properties": {"a": leaf}}, {"additionalProperties": leaf},
        {"patternProperties": {"a": leaf}}, {"additionalItems": leaf}, {"definitions": {"a": leaf}},
        {"dependencies": {"a": leaf, "b": ["c"]}},
    ]  # fmt: skip
    for place in places:
        assert definition_schemas.unknown_formats([place]) == ["odd"], place
