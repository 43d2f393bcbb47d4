"""Items are cut from stored bytes without decoding; what they say must be what decoding says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st
from served import THINGS, resource

from kapi.cacher.event import ADDED, DELETED, MODIFIED, Event, Item, Layout
from kapi.storage.interface import Corrupt

TYPED = Layout(resource())
SORTED = Layout(THINGS)
TEXT = st.text(max_size=8) | st.sampled_from(['"uid":"x"}', '{"labels":{', "\\", '"', "}}"])
UIDS = st.uuids().map(str)
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "x", "y"]), max_size=2)
OWNERS = st.lists(
    st.fixed_dictionaries(
        {"apiVersion": st.just("v1"), "kind": TEXT, "name": TEXT, "uid": UIDS},
        optional={"controller": st.booleans()},
    ),
    max_size=2,
)
ORDER = (
    "name generateName namespace uid generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields"
)


def in_order(meta: dict[str, Any]) -> dict[str, Any]:
    return {k: meta[k] for k in ORDER.split() if k in meta}


METADATA = st.fixed_dictionaries(
    {"name": TEXT, "uid": UIDS},
    optional={
        "generateName": TEXT,
        "namespace": TEXT,
        "generation": st.integers(0, 9),
        "creationTimestamp": st.none() | st.just("2026-01-01T00:00:00Z"),
        "deletionTimestamp": st.just("2026-01-01T00:00:00Z"),
        "deletionGracePeriodSeconds": st.integers(0, 30),
        "labels": LABELS,
        "annotations": st.dictionaries(TEXT, TEXT, max_size=2),
        "ownerReferences": OWNERS,
        "finalizers": st.lists(TEXT, max_size=2),
        "managedFields": st.lists(st.fixed_dictionaries({"fieldsV1": st.just({"f:uid": {}})})),
    },
)
OTHER = st.dictionaries(
    st.sampled_from(["aspec", "spec", "status", "zdata"]),
    st.dictionaries(TEXT, TEXT | st.dictionaries(st.just("uid"), UIDS), max_size=3),
    max_size=3,
)


def check(item: Item, obj: dict[str, Any]) -> None:
    expected = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "12"}}
    assert orjson.loads(item.stored_json()) == expected
    assert item.object() == expected
    assert item.labels == obj["metadata"].get("labels", {})
    assert item.uid == obj["metadata"].get("uid", "")
    assert item.stored_json().count(b'"resourceVersion":"12"') == 1


@seed(1)
@given(METADATA, OTHER)
def test_typed_items_say_what_decoding_says(meta: dict[str, Any], other: dict[str, Any]) -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": in_order(meta), **other}
    value = orjson.dumps(obj)
    item = TYPED.item("/registry/pods/a/b", "a", "b", value, 12)
    check(item, obj)
    assert item.value == value
    written = list(orjson.loads(item.stored_json())["metadata"])
    assert written.index("resourceVersion") == written.index("uid") + 1


@seed(2)
@given(METADATA, OTHER, st.booleans())
def test_sorted_items_say_what_decoding_says(
    meta: dict[str, Any], other: dict[str, Any], early: bool
) -> None:
    obj = {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": meta, **other}
    if early:
        obj["a"] = {"metadata": {"uid": meta["uid"]}, "b": [meta], "c": {"metadata": meta}}
    value = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    item = SORTED.item("/registry/example.com/things/a/b", "a", "b", value, 12)
    check(item, obj)
    assert item.value == value
    assert orjson.dumps(item.object(), option=orjson.OPT_SORT_KEYS) == item.stored_json()


@pytest.mark.parametrize("meta", [{}, {"name": "b"}, {"labels": {"a": "}"}}, {"uid": "u"}])
def test_sparse_metadata(meta: dict[str, Any]) -> None:
    for layout, kind, version in ((TYPED, "Pod", "v1"), (SORTED, "Thing", "example.com/v1")):
        obj = {"apiVersion": version, "kind": kind, "metadata": meta}
        check(layout.item("k", "", "b", orjson.dumps(obj), 12), obj)


def test_typed_values_in_another_order_are_put_in_order() -> None:
    value = b'{"metadata":{"name":"b","uid":"u"},"apiVersion":"v1","kind":"Pod","spec":{}}'
    item = TYPED.item("k", "", "b", value, 3)
    assert item.stored_json().startswith(b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"')
    assert item.object()["spec"] == {}


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'"x"', b'{"metadata":[1]}', b"\x00"])
def test_what_is_no_object_is_corrupt(value: bytes) -> None:
    for layout in (TYPED, SORTED):
        with pytest.raises(Corrupt, match="k is no object"):
            layout.item("k", "", "b", value, 3)


def test_fields_are_those_of_the_resource_asked() -> None:
    one = resource(field_selectors={"spec.x": lambda o: o["spec"]["x"]})
    item = TYPED.item(
        "k", "ns", "b", b'{"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"x":"1"}}', 3
    )
    assert item.fields(one)["spec.x"] == "1"
    assert item.fields(one) is item.fields(one)
    assert item.fields(resource()) == {"metadata.name": "b", "metadata.namespace": "ns"}


def test_bytes_are_made_once_per_key() -> None:
    made = []

    def make(item: Item) -> bytes:
        made.append(item)
        return b"x"

    item = TYPED.item("k", "", "b", b'{"kind":"Pod","apiVersion":"v1","metadata":{}}', 3)
    assert [item.encoded("a", make), item.encoded("a", make), item.encoded("b", make)] == [b"x"] * 3
    assert len(made) == 2
    item.forget()
    item.encoded("a", make)
    assert len(made) == 3


def test_who_no_longer_selects_an_object_sees_its_last_state_at_the_new_revision() -> None:
    value = b'{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"u","labels":{"a":"%b"}}}'
    old = TYPED.item("k", "", "b", value % b"1", 3)
    new = TYPED.item("k", "", "b", value % b"2", 9)
    event = Event(MODIFIED, new, old, TYPED)
    assert event.subject(MODIFIED) is new
    assert event.subject(ADDED) is new
    left = event.subject(DELETED)
    assert (left.labels, left.revision) == ({"a": "1"}, 9)
    assert left.object()["metadata"]["resourceVersion"] == "9"


def test_a_frame_is_made_once_per_type_and_form() -> None:
    item = TYPED.item("k", "", "b", b'{"kind":"Pod","apiVersion":"v1","metadata":{}}', 3)
    event = Event(ADDED, item, None, TYPED)
    made = []

    def make(type_: str, item: Item) -> bytes:
        made.append(type_)
        return type_.encode()

    assert event.frame(ADDED, "json", make) is event.frame(ADDED, "json", make)
    event.frame(ADDED, "table", make)
    assert made == [ADDED, ADDED]
    event.cool()
    event.frame(ADDED, "json", make)
    assert len(made) == 3
