"""Objects in audit events: text made compact, owners of fields left out."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.audit.objects import compact, owners_removed, without_owners

OWNED = {"metadata": {"name": "a", "managedFields": [{"manager": "m"}]}, "data": {"k": "v"}}
FREE = {"metadata": {"name": "a"}, "data": {"k": "v"}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{ "a" : [ 1 , 2 ] }\n', '{"a":[1,2]}'),
        ('{"a b": " \\" { , } "}', '{"a b":" \\" { , } "}'),
        ('{"a":1.50, "a":2}', '{"a":1.50,"a":2}'),  # as it was sent
        ('["<&>\u2028"]', '["\\u003c\\u0026\\u003e\\u2028"]'),
        ("\t[]\r\n", "[]"),
    ],
)
def test_white_space_goes(text: str, wanted: str) -> None:
    assert compact(text.encode()) == wanted.encode()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@seed(7)
@given(_VALUES, st.sampled_from([None, 1, "\t"]))
def test_what_is_said_stays(value: object, indent: int | str | None) -> None:
    found = compact(json.dumps(value, indent=indent).encode())
    assert json.loads(found) == value
    assert compact(found) == found


def test_a_broken_text_harms_nobody() -> None:
    assert orjson.loads(compact(b'{"a": "\xff"}')) == {"a": "\ufffd"}


def test_owners_go_from_objects_lists_and_tables() -> None:
    assert without_owners(OWNED) == FREE
    assert OWNED["metadata"] != FREE["metadata"]
    assert orjson.loads(owners_removed(orjson.dumps(OWNED))) == FREE
    listed = {"kind": "ConfigMapList", "items": [OWNED, FREE]}
    assert orjson.loads(owners_removed(orjson.dumps(listed)))["items"] == [FREE, FREE]
    table = {"kind": "Table", "rows": [{"cells": [1], "object": OWNED}, {"object": None}]}
    found = orjson.loads(owners_removed(orjson.dumps(table)))
    assert found["rows"] == [{"cells": [1], "object": FREE}, {"object": None}]
    assert owners_removed(b"[1]") == b"[1]"
