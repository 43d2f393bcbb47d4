"""What counts as unchanged in an update: by field, by key, and never with metadata or unknown
fields in it."""

from typing import Any

import pytest

from kapi.kinds.shared.types import TypeTable
from kapi.schema.correlation import Past
from kapi.schema.custom_parsing import parse, parse_node

Json = dict[str, Any]
META = TypeTable().schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
PAIR: Json = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}


def listed(list_type: str) -> Json:
    keys = {"x-kubernetes-list-map-keys": ["k"]} if list_type == "map" else {}
    return {"type": "array", "x-kubernetes-list-type": list_type, "items": PAIR, **keys}


A, B = {"k": "a", "v": 1}, {"k": "b", "v": 2}


@pytest.mark.parametrize(
    ("props", "old", "new", "unchanged"),
    [
        ({"type": "integer"}, 1, 1, True),
        ({"type": "number"}, 1, 1.0, False),
        (listed("map"), [A, B], [B, A], True),
        (listed("map"), [A, B], [A], False),
        (listed("map"), [A], [{"k": "a", "v": 2}], False),
        (listed("map"), [A, B], [A, {"k": "c", "v": 2}], False),
        (listed("atomic"), [A, B], [B, A], False),
        (listed("atomic"), [A, B], [A, B], True),
        (listed("set"), [A, B], [A, B], True),
        (PAIR, {"k": "a"}, {"k": "a"}, True),
        (PAIR, {"k": "a"}, {"k": "a", "v": 1}, False),
        (PAIR, {"k": "a", "u": 1}, {"k": "a", "u": 1}, False),
        ({**PAIR, "x-kubernetes-map-type": "atomic"}, {"k": "a"}, {"k": "a"}, True),
        ({"type": "object", "additionalProperties": PAIR}, {"x": A}, {"x": A}, True),
        (PAIR, {}, {}, True),
        (PAIR, [], {}, False),
    ],
)
def test_what_is_unchanged(props: Json, old: Any, new: Any, *, unchanged: bool) -> None:
    assert Past(parse_node(props, META), new, old).unchanged is unchanged


def test_an_object_with_metadata_is_never_unchanged() -> None:
    schema = parse({"type": "object", "properties": {"spec": PAIR}}, META)
    obj = {"metadata": {"name": "a"}, "spec": {"k": "a"}}
    past = Past(schema, obj, obj)
    assert not past.unchanged
    below = past.field("spec")
    assert below is not None
    assert below.unchanged


def test_items_are_found_by_their_keys() -> None:
    past = Past(parse_node(listed("map"), META), [B, A], [A, B])
    found = past.item(0)
    assert found is not None
    assert found.old == B
    assert Past(parse_node(listed("map"), META), [{"k": "z"}], [A]).item(0) is None
    assert Past(parse_node(listed("map"), META), ["odd"], [A]).item(0) is None
