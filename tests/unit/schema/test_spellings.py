"""Which fields keep their text, and how they are spelled after what went through a map in Go."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kapi.codec.json_spans import EACH
from kapi.codec.spelled import text_of
from kapi.kinds.catalog import Catalog
from kapi.kinds.shared.types import TypeTable
from kapi.schema.spellings import Spellings

TYPES = TypeTable()
SPELLINGS = Spellings()
REVISION = TYPES.schema("io.k8s.api.apps.v1.ControllerRevision")
CLAIM = TYPES.schema("io.k8s.api.resource.v1.ResourceClaim")
CONFIGURATION = ("devices", "config", EACH, "opaque", "parameters")
Json = dict[str, Any]


def read(text: bytes) -> Json:
    obj: Json = orjson.loads(text)
    SPELLINGS.keep(REVISION, obj, text)
    return obj


def test_the_fields_of_devices() -> None:
    assert set(SPELLINGS.places(CLAIM)) == {
        ("spec", *CONFIGURATION),
        ("status", "allocation", *CONFIGURATION),
        ("status", "devices", EACH, "data"),
    }


def test_few_kinds_have_such_fields() -> None:
    kinds = {
        version.kind.kind
        for resource in Catalog().resources({"api/all": True})
        if resource.stored_in_store
        for version in resource.versions.values()
        if SPELLINGS.any(version.schema())
    }
    assert kinds == {"ControllerRevision", "DeviceClass", "ResourceClaim", "ResourceClaimTemplate"}


def test_the_text_of_the_body_is_kept() -> None:
    assert text_of(read(b'{"data": {"a": 1 },"revision":1}')["data"]) == b'{"a": 1 }'
    assert read(b'{"data": {"a":1},"revision":1}')["data"].__class__ is dict
    assert read(b'{"data": null}') == {"data": None}
    assert read(b'{"data": 5 }') == {"data": 5}
    assert read(b'{"revision":1}') == {"revision": 1}


def test_broken_texts_are_spelled_as_they_were_repaired() -> None:
    obj: Json = {"data": {"a": "\ufffd"}}
    SPELLINGS.keep(REVISION, obj, b'{"data": {"a":"\\ud800"}}')
    assert text_of(obj["data"]) == '{"a":"\ufffd"}'.encode()


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (b'{"b": 1, "a": [2.0, {"d":1,"c":1e2}]}', b'{"a":[2,{"c":100,"d":1}],"b":1}'),
        (b'{"a": "<&"}', b'{"a":"\\u003c\\u0026"}'),
    ],
)
def test_spelled_anew_as_go_writes_a_map(text: bytes, spelled: bytes) -> None:
    obj = read(b'{"data": ' + text + b"}")
    SPELLINGS.anew(REVISION, obj)
    assert text_of(obj["data"]) == spelled


def test_an_apply_that_changes_owners_only_leaves_the_text() -> None:
    live = read(b'{"data": {"a": 1},"metadata":{"managedFields":[]}}')
    obj: Json = {"data": {"a": 1}, "metadata": {}}
    SPELLINGS.applied(REVISION, obj, live)
    assert text_of(obj["data"]) == b'{"a": 1}'
    other: Json = {"data": {"a": 1}, "metadata": {"labels": {"x": "y"}}}
    SPELLINGS.applied(REVISION, other, live)
    assert text_of(other["data"]) == b'{"a":1}'
    SPELLINGS.applied(REVISION, other, None)
    assert text_of(other["data"]) == b'{"a":1}'
