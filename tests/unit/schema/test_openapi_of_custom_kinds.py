"""What clients of OpenAPI v2 are shown of a schema that a user wrote."""

from __future__ import annotations

from typing import Any

from kapi.schema.openapi import for_old_clients, to_v2

Json = dict[str, Any]
OPEN = {"x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}


def obj(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def test_a_root_that_keeps_unknown_fields_is_any_object() -> None:
    given = {**obj(spec=TEXT), **OPEN, "description": "d"}
    assert for_old_clients(given) == {"type": "object"}


def test_below_the_root_the_fields_and_the_type_go() -> None:
    inner = {**obj(a=TEXT), **OPEN, "description": "d", "required": ["a"]}
    shown = for_old_clients(obj(spec=inner))["properties"]["spec"]
    assert shown == {**OPEN, "description": "d", "required": ["a"]}


def test_an_open_list_has_neither_items_nor_type() -> None:
    given = {"type": "array", "items": TEXT, **OPEN}
    assert for_old_clients(obj(l=given))["properties"]["l"] == OPEN


def test_junctors_go_everywhere() -> None:
    junctors: Json = {k: [TEXT] for k in ("allOf", "anyOf", "oneOf")}
    port = {"x-kubernetes-int-or-string": True, **junctors, "not": TEXT}
    shown = for_old_clients(obj(m={"type": "object", "additionalProperties": port}))
    assert shown["properties"]["m"]["additionalProperties"] == {"x-kubernetes-int-or-string": True}


def test_what_may_be_null_has_no_type_and_is_not_required() -> None:
    maybe = {**obj(x=TEXT), "nullable": True, "description": "d"}
    given = {**obj(maybe=maybe, sure=TEXT), "required": ["maybe", "sure"]}
    shown = for_old_clients(given)
    assert shown["required"] == ["sure"]
    assert shown["properties"]["maybe"] == {"description": "d"}
    only = {**obj(maybe=maybe), "required": ["maybe"]}
    assert "required" not in for_old_clients(only)


def test_a_map_of_what_may_be_null_requires_nothing() -> None:
    given = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": {**TEXT, "nullable": True},
    }
    assert for_old_clients(given) == {"type": "object", "additionalProperties": {}}


def test_defaults_stay_and_what_is_given_is_not_changed() -> None:
    given = obj(a={"type": "string", "default": "x"})
    assert to_v2(for_old_clients(given), defaults=True) == given
    assert to_v2(given)["properties"]["a"] == TEXT
