"""Walking objects with their schema: which fields an object has, and what differs between two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.kinds.shared.types import TypeTable
from kapi.managedfields.fieldset import Node, union
from kapi.managedfields.typed import ListItemError, MapWalker
from kapi.managedfields.walkers import Walkers
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
TYPES = TypeTable()
WALKERS = Walkers()
POD = "io.k8s.api.core.v1.PodSpec"

STRING = Schema(type="string", typed=False)
CUSTOM = Schema(
    type="object",
    typed=False,
    properties={
        "set": Property("set", Schema(type="array", typed=False, items=STRING, list_type="set")),
        "list": Property("list", Schema(type="array", typed=False, items=STRING)),
        "labels": Property("labels", Schema(type="map", typed=False, values=STRING)),
        "free": Property("free", Schema(type="object", typed=False, preserve_unknown=True)),
    },
)


def walker(name: str | Schema) -> MapWalker:
    schema = TYPES.schema(name) if isinstance(name, str) else name
    found = WALKERS.walker(schema)
    assert isinstance(found, MapWalker)
    return found


def diff(old: Json, new: Json, name: str | Schema = POD) -> tuple[Node, Node]:
    changed, removed = walker(name).compare(old, new) or (None, None)
    return changed or {}, removed or {}


# -- kinds of fields ----------------------------------------------------------------------------


def test_structs_and_list_maps_have_fields_and_themselves() -> None:
    added, removed = diff(
        {}, {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
    )
    assert removed == {}
    assert added == {
        "f:containers": {
            ".": {},
            'k:{"name":"c"}': {
                ".": {},
                "f:image": {},
                "f:name": {},
                "f:ports": {
                    ".": {},
                    # protocol is a key with a default: it names the item even when it is not there
                    'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                },
            },
        }
    }


def test_atomic_lists_maps_and_structs_are_one_field() -> None:
    spec = {
        "tolerations": [{"key": "a"}],
        "nodeSelector": {"a": "b"},
        "containers": [
            {"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"key": "k"}}}]}
        ],
    }
    added, _ = diff({}, spec)
    assert added["f:tolerations"] == {}
    assert added["f:nodeSelector"] == {}
    env = added["f:containers"]['k:{"name":"c"}']["f:env"]['k:{"name":"E"}']
    assert env["f:valueFrom"] == {".": {}, "f:secretKeyRef": {}}


def test_empty_maps_and_lists_and_null_are_one_field() -> None:
    added, _ = diff({}, {"securityContext": {}, "containers": [], "volumes": None})
    assert added == {"f:containers": {}, "f:securityContext": {}, "f:volumes": {}}


def test_sets_have_items_by_value() -> None:
    added, removed = diff({"set": ["a", "b"]}, {"set": ["b", "c"]}, CUSTOM)
    assert added == {"f:set": {'v:"c"': {}}}
    assert removed == {"f:set": {'v:"a"': {}}}


def test_a_place_without_a_schema_has_fields_where_it_holds_a_map() -> None:
    added, _ = diff({}, {"free": {"a": {"b": 1, "c": [1]}, "d": None}}, CUSTOM)
    assert added == {"f:free": {".": {}, "f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}}


# -- differences --------------------------------------------------------------------------------


def test_equal_objects_do_not_differ() -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"a": "b"}}
    assert diff(spec, {**spec}) == ({}, {})


def test_only_what_changed_is_changed() -> None:
    old = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    new = {"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]}
    assert diff(old, new) == ({"f:containers": {'k:{"name":"b"}': {"f:image": {}}}}, {})


def test_what_goes_is_removed_with_all_below_it() -> None:
    old = {"containers": [{"name": "a", "image": "1"}], "nodeName": "n"}
    assert diff(old, {"containers": []}) == (
        {},
        {
            "f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}},
            "f:nodeName": {},
        },
    )


def test_null_and_empty_differ_as_one_field() -> None:
    assert diff({"containers": None}, {"containers": []}) == ({"f:containers": {}}, {})


def test_numbers_sort_as_numbers_in_list_keys() -> None:
    ports = [{"containerPort": p, "protocol": "TCP"} for p in (443, 80, 8080)]
    added, _ = diff(
        {"containers": [{"name": "c"}]}, {"containers": [{"name": "c", "ports": ports}]}
    )
    assert list(added["f:containers"]['k:{"name":"c"}']["f:ports"])[1:] == [
        f'k:{{"containerPort":{p},"protocol":"TCP"}}' for p in (80, 443, 8080)
    ]


def test_items_may_lack_some_of_their_keys() -> None:
    devices = "io.k8s.api.resource.v1.ResourceClaimStatus"
    one, two = {"driver": "d", "pool": "p", "device": "x"}, {"driver": "d", "pool": "p"}
    shared = {**one, "shareID": "s"}
    found, _ = diff({}, {"devices": [shared, one, two, {"shareID": "s"}]}, devices)
    items = [name for name in found["f:devices"] if name != "."]
    assert items == [
        'k:{"device":"x","driver":"d","pool":"p"}',
        'k:{"device":"x","driver":"d","pool":"p","shareID":"s"}',
        'k:{"driver":"d","pool":"p"}',
        'k:{"shareID":"s"}',
    ]
    assert diff({"devices": [shared, one]}, {"devices": [one, shared]}, devices) == ({}, {})
    with pytest.raises(ListItemError) as caught:
        diff({}, {"devices": [{"data": {}}]}, devices)
    assert str(caught.value) == (
        "associative list with keys has an element that omits all key fields "
        '["driver" "device" "pool" "shareID"] (and doesn\'t have default values for any key fields)'
    )


def test_a_boolean_is_not_a_number_where_there_is_no_schema() -> None:
    assert diff({"free": {"a": True}}, {"free": {"a": 1}}, CUSTOM)[0] == {"f:free": {"f:a": {}}}


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        ({"x": 1}, 5, {"f:free": {"f:a": {}}}, {"f:free": {"f:a": {"f:x": {}}}}),
        (5, {"x": 1}, {"f:free": {"f:a": {".": {}, "f:x": {}}}}, {}),
        (None, {"x": 1}, {"f:free": {"f:a": {"f:x": {}}}}, {}),
        ({"x": 1}, None, {}, {"f:free": {"f:a": {"f:x": {}}}}),
        ([1], [2], {"f:free": {"f:a": {}}}, {}),
        ([1], "s", {"f:free": {"f:a": {}}}, {}),
    ],
)
def test_a_place_without_a_schema_may_change_its_kind(
    old: Any, new: Any, changed: Node, removed: Node
) -> None:
    assert diff({"free": {"a": old}}, {"free": {"a": new}}, CUSTOM) == (changed, removed)


# -- repeated items -----------------------------------------------------------------------------

A1, A2 = {"name": "A", "value": "1"}, {"name": "A", "value": "2"}


def env_diff(old: list[Json], new: list[Json]) -> tuple[Node, Node]:
    changed, removed = diff(
        {"containers": [{"name": "c", "env": old}]}, {"containers": [{"name": "c", "env": new}]}
    )
    at = ("f:containers", 'k:{"name":"c"}', "f:env", 'k:{"name":"A"}')
    for element in at:
        changed, removed = changed.get(element, {}), removed.get(element, {})
    return changed, removed


def test_repeated_items_are_one_field() -> None:
    whole: Node = {".": {}, "f:name": {}, "f:value": {}}
    assert env_diff([A1], [A1, A2])[1] == whole
    assert env_diff([A1, A2], [A1])[0] == whole
    assert diff({"containers": [{"name": "c", "env": [A1, A2]}]},
                {"containers": [{"name": "c", "env": [A1, A1]}]})[0] == {
        "f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {}}}}
    }  # fmt: skip
    added, _ = diff({}, {"containers": [{"name": "c", "env": [A1, A2]}]})
    assert added["f:containers"]['k:{"name":"c"}']["f:env"] == {".": {}, 'k:{"name":"A"}': {}}


@pytest.mark.parametrize(
    "containers", [[{"image": "x"}], ["x"], [None], [{"name": {"a": 1}}], [{"name": ["a"]}]]
)
def test_an_item_that_nothing_names_is_an_error(containers: list[Any]) -> None:
    with pytest.raises(ListItemError):
        diff({}, {"containers": containers})


def test_a_set_of_maps_is_an_error() -> None:
    with pytest.raises(ListItemError):
        diff({}, {"set": [{}]}, CUSTOM)


# -- what a configuration names -----------------------------------------------------------------


def test_a_configuration_names_leaves_items_and_map_entries() -> None:
    fields = walker(POD).fields(
        {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "env": []}],
            "securityContext": {},
            "nodeName": None,
            "volumes": [],
        }
    )
    assert fields == {
        "f:containers": {
            'k:{"name":"c"}': {
                ".": {},
                "f:name": {},
                "f:resources": {"f:limits": {"f:cpu": {}}},
            }
        },
        "f:nodeName": {},
        "f:securityContext": {},
    }


def test_undeclared_map_entries_are_named_themselves() -> None:
    fields = walker(CUSTOM).fields({"free": {"a": {"b": 1}}, "labels": {"x": "1"}})
    assert fields == {"f:free": {"f:a": {".": {}, "f:b": {}}}, "f:labels": {"f:x": {}}}


def test_walkers_are_made_once_per_schema_and_can_be_forgotten() -> None:
    walkers = Walkers()
    first = walkers.walker(CUSTOM)
    assert walkers.walker(CUSTOM) is first
    walkers.forget(CUSTOM)
    assert walkers.walker(CUSTOM) is not first


# -- properties ---------------------------------------------------------------------------------

free = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "set": st.lists(st.sampled_from("abc"), max_size=3),
        "list": st.lists(st.sampled_from("ab"), max_size=2),
        "labels": st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2),
        "free": st.dictionaries(st.sampled_from("ab"), free, max_size=2),
    },
)


@settings(derandomize=True, max_examples=300)
@given(objects, objects)
def test_differences_are_there_exactly_where_objects_differ(old: Json, new: Json) -> None:
    changed, removed = diff(old, new, CUSTOM)
    assert (not changed and not removed) == (repr(sorted_sets(old)) == repr(sorted_sets(new)))


@settings(derandomize=True, max_examples=300)
@given(objects, objects)
def test_a_change_and_its_reverse_touch_the_same_fields(old: Json, new: Json) -> None:
    changed, removed = diff(old, new, CUSTOM)
    back, gone = diff(new, old, CUSTOM)
    assert union(changed, removed) == union(back, gone)


def sorted_sets(obj: Json) -> Json:
    """The object as far as differences count: sets have no order."""
    out = {name: canonical(obj[name]) for name in sorted(obj)}
    if "set" in out:
        items = obj["set"]
        out["set"] = sorted((i, min(items.count(i), 2), items.count(i)) for i in set(items))
    return out


def canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: canonical(value[name]) for name in sorted(value)}
    return value
