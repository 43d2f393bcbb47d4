"""Pruning, defaulting and validation of custom kinds: their rules one by one, then what holds for
any structural schema and any object."""

import copy
from typing import Any

import custom_schemas as made
import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings

from kapi.codec import json_format
from kapi.kinds.definitions import structural as definition_structural
from kapi.kinds.shared.types import TypeTable
from kapi.schema import custom_parsing, pruning_errors
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.structural import Schema
from kapi.schema.validation import Validators
from kapi.schema.validation_errors import findings

Json = dict[str, Any]
META = TypeTable().schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
MANY = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def node(props: Json) -> Schema:
    return custom_parsing.parse_node(props, META)


def pruned(props: Json, value: Any) -> tuple[Any, bool]:
    return Decoders().decode(node(props), value)


def words(props: Json, value: Any) -> list[str]:
    root = node({"type": "object", "properties": {"spec": props}})
    return [str(f) for f in findings(root, {"spec": value})]


# -- pruning --------------------------------------------------------------------------------------

INNER: Json = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("props", "value", "kept"),
    [
        (INNER, {"a": "1", "b": "2"}, {"a": "1"}),
        (INNER, "not an object", "not an object"),  # for validation to tell
        ({"type": "array", "items": INNER}, [{"b": 1}, {"a": "1"}, 5], [{}, {"a": "1"}, 5]),
        ({"type": "object", "additionalProperties": INNER}, {"k": {"b": 1}}, {"k": {}}),
        ({"type": "object"}, {"k": 1}, {}),
        ({"type": "object", "additionalProperties": True}, {"k": {"l": 1}}, {"k": {}}),
        (
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"p": INNER},
            },
            {"k": {"l": 1}, "p": {"a": "1", "b": 2}},
            {"k": {"l": 1}, "p": {"a": "1"}},
        ),
        ({"x-kubernetes-int-or-string": True}, {"k": 1}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": None}, {}),
        (
            {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}},
            {"a": None},
            {"a": None},
        ),
        (
            {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True,
            },
            {"kind": "A", "metadata": {"name": "n", "nope": 1}, "spec": {"x": 1}},
            {"kind": "A", "metadata": {"name": "n"}, "spec": {"x": 1}},
        ),
    ],
)
def test_what_a_schema_does_not_know_goes(props: Json, value: Any, kept: Any) -> None:
    before = copy.deepcopy(value)
    found, unknown = pruned(props, value)
    assert found == kept
    assert unknown is (_without_nulls(found) != _without_nulls(value)), (
        "nulls that go are not told of"
    )
    assert value == before, "what is given is not changed"


def test_unknown_fields_are_told_sorted_after_those_that_come_twice() -> None:
    schema = custom_parsing.parse(
        {
            "type": "object",
            "properties": {"spec": INNER, "list": {"type": "array", "items": INNER}},
        },
        META,
    )
    text = b'{"kind":"K","metadata":{"zz":1},"spec":{"q":1,"a":"1","a":"2"},"list":[{},{"p":1}]}'
    assert pruning_errors.strict_errors(schema, json_format.loads_exact(text)) == [
        'duplicate field "spec.a"',
        'unknown field "metadata.zz"',
        'unknown field "list[1].p"',
        'unknown field "spec.q"',
    ]


@seed(1)
@MANY
@given(made.roots, made.objects)
def test_pruning_twice_is_pruning_once(props: Json, value: Json) -> None:
    decoders, schema = Decoders(), node(props)
    before = orjson.dumps(value)
    once, unknown = decoders.decode(schema, value)
    again, more = decoders.decode(schema, once)
    assert again == once
    assert not more
    assert orjson.dumps(value) == before
    if not unknown:  # then only nulls went
        assert _without_nulls(once) == _without_nulls(value)


@seed(2)
@MANY
@given(made.roots, made.objects)
def test_what_was_pruned_is_no_more_wrong_than_before(props: Json, value: Json) -> None:
    """Fields that no schema knows have no rules, but for how many there may be."""
    validators, schema = Validators(), node(props)
    kept, _ = Decoders().decode(schema, value)
    if validators.valid(schema, value) and not _counted(props):
        assert validators.valid(schema, kept)


# -- defaults -------------------------------------------------------------------------------------

DEFAULTS: Json = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "default": "x"},
        "n": {"type": "string", "nullable": True, "default": "y"},
        "o": {
            "type": "object",
            "default": {"q": 1},
            "properties": {"p": {"type": "integer", "default": 5}, "q": {"type": "integer"}},
        },
        "l": {
            "type": "array",
            "items": {"type": "object", "properties": {"z": {"type": "integer", "default": 1}}},
        },
        "m": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"z": {"default": 2}}},
        },
    },
}


@pytest.mark.parametrize(
    ("given_", "full"),
    [
        ({}, {"a": "x", "n": "y", "o": {"q": 1, "p": 5}}),
        ({"a": None, "n": None, "o": {}}, {"a": "x", "n": None, "o": {"p": 5}}),
        (
            {"l": [{}, {"z": 9}], "m": {"k": {}}, "o": "text"},
            {"a": "x", "n": "y", "o": "text", "l": [{"z": 1}, {"z": 9}], "m": {"k": {"z": 2}}},
        ),
    ],
)
def test_defaults_fill_what_nobody_said(given_: Json, full: Json) -> None:
    Defaulters().default(node(DEFAULTS), given_)
    assert given_ == full


def test_a_default_is_shared_with_nobody() -> None:
    schema, defaulters = node(DEFAULTS), Defaulters()
    first: Json = {}
    defaulters.default(schema, first)
    first["o"]["q"] = 7
    second: Json = {}
    defaulters.default(schema, second)
    assert second["o"]["q"] == 1


@seed(3)
@MANY
@given(made.roots, made.objects)
def test_defaulting_twice_is_defaulting_once(props: Json, value: Json) -> None:
    schema, defaulters = node(props), Defaulters()
    obj, _ = Decoders().decode(schema, value)
    obj = copy.deepcopy(obj)
    defaulters.default(schema, obj)
    once = copy.deepcopy(obj)
    defaulters.default(schema, obj)
    assert obj == once
    kept, unknown = Decoders().decode(schema, obj)
    assert not unknown, "what is filled in is known"
    assert kept == obj


# -- validation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("props", "value", "expected"),
    [
        (
            {"type": "string"},
            5,
            ['spec: Invalid value: "integer": spec in body must be of type string: "integer"'],
        ),
        ({"type": "integer"}, 2.0, []),
        (
            {"type": "integer"},
            2.5,
            [
                'spec: Invalid value: "number": spec in body must be of type integer: "number"',
                '<nil>: Invalid value: "": Checked value must be of type '
                "integer (default format) in spec",
            ],
        ),
        (
            {"type": "number", "minimum": 1, "exclusiveMinimum": True},
            1,
            ["spec: Invalid value: 1: spec in body should be greater than 1"],
        ),
        (
            {"type": "integer", "maximum": 3},
            4,
            ["spec: Invalid value: 4: spec in body should be less than or equal to 3"],
        ),
        (
            {"type": "integer", "multipleOf": 2},
            3,
            ["spec: Invalid value: 3: spec in body should be a multiple of 2"],
        ),
        (
            {"type": "string", "minLength": 2},
            "é",
            ['spec: Invalid value: "é": spec in body should be at least 2 chars long'],
        ),
        (
            {"type": "string", "maxLength": 2},
            "abc",
            ["spec: Too long: may not be more than 2 bytes"],
        ),
        (
            {"type": "string", "pattern": "^a+$"},
            "b",
            ["spec: Invalid value: \"b\": spec in body should match '^a+$'"],
        ),
        (
            {"type": "string", "enum": ["b", "a"]},
            "c",
            ['spec: Unsupported value: "c": supported values: "b", "a"'],
        ),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            ["a", "b"],
            ["spec: Too many: 2: must have at most 1 item"],
        ),
        (
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
            {},
            ["spec.a: Required value"],
        ),
        (
            {
                "type": "object",
                "required": ["a"],
                "properties": {"a": {"type": "string", "default": "x"}},
            },
            {},
            [],
        ),
        ({"type": "string", "nullable": True}, None, []),
        ({"x-kubernetes-int-or-string": True}, "50%", []),
        (
            {"type": "string", "format": "date-time"},
            "never",
            ['spec: Invalid value: "never": spec in body must be of type date-time: "never"'],
        ),
    ],
)
def test_a_value_and_what_is_said_of_it(props: Json, value: Any, expected: list[str]) -> None:
    assert words(props, value) == expected
    assert Validators().valid(node(props), value) is (not expected)


@seed(4)
@MANY
@given(made.roots, made.objects)
def test_the_fast_answer_and_the_words_agree(props: Json, value: Json) -> None:
    schema = node(props)
    kept, _ = Decoders().decode(schema, value)
    for obj in (value, kept):
        assert Validators().valid(schema, obj) is (not findings(schema, obj))


@seed(5)
@MANY
@given(made.roots)
def test_the_schemas_of_these_properties_are_structural(props: Json) -> None:
    assert definition_structural.findings(props, "s") == []


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _counted(props: Any) -> bool:
    """Whether a rule anywhere counts or asks for what a null stands for."""
    if isinstance(props, dict):
        return "maxProperties" in props or "required" in props or any(map(_counted, props.values()))
    return isinstance(props, list) and any(map(_counted, props))
