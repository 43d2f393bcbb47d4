"""Rules that types declare: what is skipped, what ends a field, in which order things are found."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.kinds.shared import declared, formats
from kapi.kinds.shared.declared import THEMSELVES, Field, Member, Struct

Json = dict[str, Any]

TYPES: declared.Types = {
    "Thing": Struct(
        fields=(
            Field(name="fixed", gates=(declared.required, declared.immutable)),
            Field(name="inner", type="Inner"),
            Field(name="maybe", type="Inner", pointer=True, gates=(declared.unmodified,)),
            Field(name="list", gates=(declared.max_items(2),), unique=("name",), each="Item"),
            Field(name="again", each="Item", match=("name",)),
            Field(name="words", unique=THEMSELVES, items=(formats.short_name,), match=THEMSELVES),
            Field(name="map", keys=(formats.short_name,), each="Item"),
            Field(name="number", checks=(declared.between(1, 9),)),
            Field(name="text", checks=(declared.max_bytes(3),)),
        )
    ),
    "Inner": Struct(fields=(Field(name="must", gates=(declared.required,)),)),
    "Item": Struct(
        fields=(Field(name="kind", checks=(declared.one_of("B", "A"),)),), union=("x", "y")
    ),
    "Moded": Struct(
        members=(
            Member(name="a", mode="mode", value="A", required=True),
            Member(name="b", mode="mode", value="B"),
        ),
        fields=(Field(name="mode", gates=(declared.required,)),),
    ),
}
GOOD: Json = {"fixed": "f", "inner": {"must": "m"}}


def found(obj: Json, old: Json | None = None, kind: str = "Thing") -> list[str]:
    before = None if old is None else {**GOOD, **old}
    made = {**GOOD, **obj} if kind == "Thing" else obj
    return [str(f) for f in declared.findings(TYPES, kind, made, before)]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({}, []),
        ({"fixed": ""}, ["fixed: Required value"]),
        # A struct is there even if nobody wrote it; a pointer to one is not.
        ({"inner": None}, ["inner.must: Required value"]),
        ({"maybe": {}}, ["maybe.must: Required value"]),
        # A gate that speaks ends the field: nothing is said of the items.
        (
            {"list": [{}, {}, {}]},
            ["list: Too many: 3: must have at most 2 items"],
        ),
        (
            {"list": [{"name": "a", "x": 1}, {"name": "a", "x": 1, "kind": "C"}]},
            [
                'list[1]: Duplicate value: {"name":"a","x":1,"kind":"C"}',
                'list[1].kind: Unsupported value: "C": supported values: "A", "B"',
            ],
        ),
        ({"list": [{}]}, ['list[0]: Invalid value: "": must specify one of: `x`, `y`']),
        (
            {"list": [{"x": 1, "y": 0}]},
            ['list[0]: Invalid value: "{x, y}": must specify exactly one of: `x`, `y`'],
        ),
        ({"words": ["a", "a"]}, ['words[1]: Duplicate value: "a"']),
        ({"words": ["a.b"]}, ['words[0]: Invalid value: "a.b": must not contain dots']),
        ({"map": {"a.b": {"x": 1}}}, ['map: Invalid value: "a.b": must not contain dots']),
        ({"map": {"a": {}}}, ['map[a]: Invalid value: "": must specify one of: `x`, `y`']),
        ({"number": -1}, ["number: Invalid value: -1: must be greater than or equal to 1"]),
        ({"number": 10}, ["number: Invalid value: 10: must be less than or equal to 9"]),
        ({"number": 0}, []),  # as good as absent
        ({"text": "äää"}, ["text: Too long: may not be more than 3 bytes"]),
    ],
)
def test_new_objects(obj: Json, expected: list[str]) -> None:
    assert found(obj) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"fixed": "g"}, ["fixed: Invalid value: null: field is immutable"]),
        (
            {},
            {"fixed": ""},
            ["fixed: Required value", "fixed: Invalid value: null: field is immutable"],
        ),
        # What did not change is not looked at, however wrong.
        ({"number": 99}, {"number": 99}, []),
        ({"number": 99}, {"number": 98}, ["number: Invalid value: 98: must be less than or equal"]),
        ({"words": ["A"]}, {"words": ["b", "A"]}, []),
        ({"map": {"A": {"x": 1}}}, {"map": {"A": {"x": 1}, "b": {"x": 1}}}, []),
        # Items that cannot be found again are all looked at.
        (
            {"list": [{"kind": "C", "x": 1}]},
            {"list": [{"kind": "C", "x": 1}, {"name": "n", "x": 1}]},
            ["list[0].kind: Unsupported value"],
        ),
        (
            {"again": [{"name": "a", "kind": "C", "x": 1}]},
            {"again": [{"name": "b", "x": 1}, {"name": "a", "kind": "C", "x": 1}]},
            [],
        ),
        (
            {"maybe": {"must": "m"}},
            {"maybe": {"must": "n"}},
            ["maybe: Invalid value: null: field cannot be modified once set"],
        ),
        ({"maybe": {"must": "m"}}, {"maybe": None}, []),
    ],
)
def test_changes(old: Json, new: Json, expected: list[str]) -> None:
    seen = found(new, old)
    assert len(seen) == len(expected)
    assert all(text.startswith(start) for text, start in zip(seen, expected, strict=True)), seen


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"mode": "A", "a": {}}, []),
        ({"mode": "A"}, ["a: Required value"]),
        ({"mode": "B", "a": {}}, ["a: Forbidden"]),
        ({"mode": "A", "a": {}, "b": {}}, ["b: Forbidden"]),
        ({"a": {}}, ["a: Forbidden", "mode: Required value"]),
    ],
)
def test_members_of_modes(obj: Json, expected: list[str]) -> None:
    assert found(obj, kind="Moded") == expected


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (formats.long_name, "a" * 254, "must be no more than 253 bytes"),
        (formats.short_name, "a" * 64, "must be no more than 63 bytes"),
        (formats.long_name_caseless, "A.b", ""),
        (formats.long_name_caseless, "A_b", "an RFC 1123 subdomain must consist of alphanumeric"),
        (formats.driver_length, "a" * 64, "may not be more than 63 characters"),
        (formats.uuid, "0" * 36, "must be a lowercase UUID in 8-4-4-4-12 format"),
        (formats.uuid, "2b1e6f6c-0000-4000-8000-000000000000", ""),
        (formats.pool_name, "a//b", "segment 1: must not be empty"),
        (formats.pool_name, "a/B", "segment 1: a lowercase RFC 1123 subdomain"),
        (formats.extended_resource, "gpu", "a name must be a domain-prefixed path"),
        (formats.extended_resource, "kubernetes.io/gpu", 'must not have "kubernetes.io/" domain'),
        (formats.extended_resource, "example.com/gpu", ""),
        (formats.attribute, "numa", "a fully qualified name must be a domain and a name"),
        (formats.attribute, "/numa", "prefix must not be empty"),
        (formats.attribute, "a.b/", "name must not be empty"),
        (formats.attribute, "A/numa", "prefix: a lowercase RFC 1123 subdomain"),
        (formats.attribute, "a.b/numa", ""),
    ],
)
def test_formats(check: declared.Check, value: str, expected: str) -> None:
    seen = [f.detail for f in check(value, "p")]
    assert seen == [] if not expected else any(text.startswith(expected) for text in seen)
