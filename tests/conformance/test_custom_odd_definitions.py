"""Definitions with values of odd types, at every place of their schemas: taken, or refused with a
Status that says why, never a 500; and what a whole server says of some that are only odd."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from server_harness import Client, running

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Json = dict[str, Any]
FULL: Json = {
    "type": "object",
    "description": "d",
    "properties": {
        "a": {
            "type": "array",
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "maxItems": 3,
        },
        "b": {"type": "object", "additionalProperties": {"type": "integer", "default": None}},
        "c": {"anyOf": [{"type": "integer"}, {"type": "string"}],
              "x-kubernetes-int-or-string": True},
        "d": {"type": "string", "default": "x", "enum": ["x"], "pattern": "x", "nullable": False},
        "e": {"type": "object", "x-kubernetes-embedded-resource": True,
              "x-kubernetes-preserve-unknown-fields": True},
    },
    "x-kubernetes-validations": [{"rule": "true", "message": "m", "fieldPath": ".a"}],
}  # fmt: skip
ODD: tuple[Any, ...] = (None, 5, "odd", True, [], {}, [5], {"x": 5}, [{}])


def definition(schema: Any, **version: Any) -> Json:
    names = {"plural": "things", "kind": "Thing"}
    only = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.odd.example.com"},
        "spec": {"group": "odd.example.com", "scope": "Namespaced", "names": names,
                 "versions": [{**only, **version}]},
    }  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as run:
        yield run.client


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in below:
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    out = copy.copy(value)
    out[path[0]] = put(value[path[0]], path[1:], odd)
    return out


async def test_a_value_of_an_odd_type_is_refused_or_taken(client: Client) -> None:
    codes = set()
    for path in places(FULL):
        for odd in ODD:
            made = definition(put(FULL, path, odd), subresources={"status": {}})
            answer = await client("POST", f"{CRDS}?dryRun=All", made)
            codes.add(answer.status)
            assert answer.status in (201, 400, 422), (path, odd, answer.body)
    assert codes == {201, 400, 422}


@pytest.mark.parametrize(
    "name",
    ["items", "additionalItems", "additionalProperties", "dependencies", "definitions", "not",
     "patternProperties", "externalDocs", "example", "allOf", "$ref", "$schema", "id"],
)  # fmt: skip
async def test_an_odd_field_is_refused_or_taken(client: Client, name: str) -> None:
    for odd in (*ODD, {"a": {"type": "string"}}, {"a": ["b"]}, [{"type": "null"}]):
        for inner in ({"type": "array", "x-kubernetes-list-type": "map"}, {"type": "object"}):
            schema = {"type": "object", "properties": {"a": {**inner, name: odd}}}
            answer = await client("POST", f"{CRDS}?dryRun=All", definition(schema))
            assert answer.status in (201, 400, 422), (odd, answer.body)


async def test_formats_that_nobody_checks_are_warned_of(client: Client) -> None:
    props = {"a": {"type": "string", "format": "color"}, "b": {"type": "integer", "format": "x"}}
    answer = await client("POST", CRDS, definition({"type": "object", "properties": props}))
    assert answer.status == 201
    assert answer.headers["warning"] == ['299 - "unrecognized format \\"color\\""']
