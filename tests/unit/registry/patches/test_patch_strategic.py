"""Strategic merge patch over the real schemas: stories, refusals and properties."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.kinds.shared.types import TypeTable
from kapi.registry.go_text import go_text
from kapi.registry.patches.strategic_merge import strategic_merge
from kapi.schema.structural import Schema

Json = dict[str, Any]
TYPES = TypeTable()
DEPLOYMENT = TYPES.schema("io.k8s.api.apps.v1.Deployment")
POD = TYPES.schema("io.k8s.api.core.v1.Pod")
SERVICE = TYPES.schema("io.k8s.api.core.v1.Service")
REVISION = TYPES.schema("io.k8s.api.apps.v1.ControllerRevision")


def patched(doc: Json, patch: Json, schema: Schema = POD) -> Json:
    before = copy.deepcopy((doc, patch))
    result = strategic_merge(doc, patch, schema)
    assert (doc, patch) == before
    return result


def pod(*containers: Json, **spec: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def names(items: list[Json], key: str = "name") -> list[Any]:
    return [item[key] for item in items]


def refusal(doc: Json, patch: Any, schema: Schema = POD) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as caught:
        strategic_merge(doc, patch, schema)
    return caught.value.code, caught.value.reason, caught.value.message


# -- maps ---------------------------------------------------------------------------------------


def test_maps_merge_and_null_removes() -> None:
    doc = {"metadata": {"name": "p", "labels": {"a": "1", "b": "2"}}}
    result = patched(doc, {"metadata": {"labels": {"a": None, "c": "3", "d": None}}})
    assert result == {"metadata": {"name": "p", "labels": {"b": "2", "c": "3"}}}


def test_what_is_not_touched_is_shared() -> None:
    doc = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": []}}
    assert patched(doc, {"metadata": {"labels": {"b": "2"}}})["spec"] is doc["spec"]


def test_a_map_may_be_replaced_or_emptied() -> None:
    doc = {"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}}
    patch = {
        "metadata": {"labels": {"$patch": "replace", "n": "1"}, "annotations": {"$patch": "delete"}}
    }
    assert patched(doc, patch) == {"metadata": {"labels": {"n": "1"}, "annotations": {}}}


def test_a_new_map_comes_without_its_nulls_and_directives() -> None:
    patch = {"metadata": {"labels": {"a": "1", "b": None}, "annotations": {"$patch": "replace"}}}
    assert patched({"metadata": {}}, patch) == {"metadata": {"labels": {"a": "1"}}}


def test_retain_keys_drops_what_is_not_named() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patched(doc, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_retain_keys_must_name_what_the_patch_sets() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["x"], "type": "Recreate"}}}
    assert refusal({"spec": {"strategy": {"type": "x"}}}, patch, DEPLOYMENT) == (
        400, "BadRequest", "invalid patch format of retainKeys",
    )  # fmt: skip
    patch = {"spec": {"strategy": {"$retainKeys": "type"}}}
    assert refusal({"spec": {"strategy": {"type": "x"}}}, patch, DEPLOYMENT)[0] == 400


# -- lists --------------------------------------------------------------------------------------

C1 = {"name": "c1", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}
C2 = {"name": "c2", "image": "b:1"}


def test_list_items_merge_by_key() -> None:
    patch = {"spec": {"containers": [{"name": "c1", "env": [{"name": "B", "value": "2"}]}]}}
    containers = patched(pod(C1, C2), patch)["spec"]["containers"]
    assert containers == [
        {**C1, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        C2,
    ]


def test_a_new_item_stands_before_the_old_ones() -> None:
    patch = {"spec": {"containers": [{"name": "c3"}]}}
    assert names(patched(pod(C1, C2), patch)["spec"]["containers"]) == ["c3", "c1", "c2"]


def test_items_of_the_patch_take_its_order_and_the_others_theirs() -> None:
    doc = pod(*({"name": n} for n in "abcd"))
    patch = {"spec": {"containers": [{"name": "d"}, {"name": "b"}, {"name": "x"}]}}
    assert names(patched(doc, patch)["spec"]["containers"]) == ["a", "c", "d", "b", "x"]


def test_set_element_order_orders_the_whole_list() -> None:
    doc = pod(*({"name": n} for n in "abc"))
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": n} for n in "cab"],
            "containers": [{"name": "a", "image": "i"}],
        }
    }
    result = patched(doc, patch)["spec"]["containers"]
    assert result == [{"name": "c"}, {"name": "a", "image": "i"}, {"name": "b"}]


def test_set_element_order_alone_reorders_and_for_an_absent_list_is_nothing() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    doc = pod({"name": "a"}, {"name": "b"})
    assert names(patched(doc, {"spec": order})["spec"]["containers"]) == ["b", "a"]
    assert patched({"spec": {}}, {"spec": order}) == {"spec": {}}


def test_the_patch_must_follow_its_own_order() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
            "containers": [{"name": "b"}, {"name": "a"}],
        }
    }
    assert refusal(pod({"name": "a"}), patch) == (
        500,
        "",
        "The order in patch list:\n[map[name:b] map[name:a]]\n doesn't match $setElementOrder "
        "list:\n[map[name:a] map[name:b]]\n",
    )


def test_items_are_deleted_by_key() -> None:
    patch = {"spec": {"containers": [{"name": "c2", "$patch": "delete"}]}}
    assert patched(pod(C1, C2), patch)["spec"]["containers"] == [C1]
    assert patched({"spec": {}}, patch)["spec"]["containers"] == []


def test_a_list_may_be_replaced() -> None:
    patch = {"spec": {"containers": [{"$patch": "replace"}, {"name": "only"}]}}
    assert patched(pod(C1, C2), patch)["spec"]["containers"] == [{"name": "only"}]


def test_lists_without_a_strategy_are_replaced() -> None:
    doc = pod(C1, tolerations=[{"key": "a"}, {"key": "b"}])
    patch = {"spec": {"tolerations": [{"key": "c"}]}}
    assert patched(doc, patch)["spec"]["tolerations"] == [{"key": "c"}]


def test_primitive_lists_unite_and_lose_what_is_named() -> None:
    doc = {"metadata": {"finalizers": ["x/a", "x/b"]}}
    assert patched(doc, {"metadata": {"finalizers": ["x/c", "x/a"]}}) == {
        "metadata": {"finalizers": ["x/c", "x/a", "x/b"]}
    }
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"]}}
    assert patched(doc, patch) == {"metadata": {"finalizers": ["x/b"]}}
    assert patched({"metadata": {}}, patch) == {"metadata": {}}


def test_kubectl_apply_sends_order_deletion_and_addition_together() -> None:
    doc = {"metadata": {"finalizers": ["x/a", "x/b", "x/live"]}}
    patch = {
        "metadata": {
            "$setElementOrder/finalizers": ["x/c", "x/b"],
            "$deleteFromPrimitiveList/finalizers": ["x/a"],
            "finalizers": ["x/c"],
        }
    }
    result = patched(doc, patch)["metadata"]["finalizers"]
    assert sorted(result) == ["x/b", "x/c", "x/live"]
    assert result.index("x/c") < result.index("x/b")


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (
            {"spec": {"containers": [{"image": "zzz"}]}},
            (500, "", "map: map[image:zzz] does not contain declared merge key: name"),
        ),
        (
            {"spec": {"$patch": "explode"}},
            (500, "", "unknown patch type: explode in map: map[$patch:explode]"),
        ),
        (
            {"spec": {"containers": [{"$patch": "merge"}]}},
            (500, "", "merging lists cannot yet be specified in the patch"),
        ),
        (
            {"spec": {"containers": [{"name": "a"}, "b"]}},
            (
                500,
                "",
                "list element types are not identical: map[string]interface {} string",
            ),
        ),
        (
            {"spec": {"$setElementOrder/containers": "x"}},
            (500, "", "expected a []interface {}, but received a string"),
        ),
        (
            {"spec": {"$setElementOrder": []}},
            (400, "BadRequest", "invalid patch format of setElementOrder list"),
        ),
        (
            {"spec": {"$deleteFromPrimitiveList": []}},
            (400, "BadRequest", "invalid patch format of primitive list"),
        ),
        (
            {"spec": {"$setElementOrder/nonsense": [], "nonsense": []}},
            (500, "", 'unable to find api field in struct PodSpec for the json field "nonsense"'),
        ),
        (
            [],
            (
                400,
                "BadRequest",
                "json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
        ),
    ],
)
def test_a_refused_patch(patch: Any, expected: tuple[int, str, str]) -> None:
    assert refusal(pod(C1), patch) == expected


def test_nested_maps_of_raw_values_cannot_merge() -> None:
    assert refusal({"data": {"a": {"b": 1}}}, {"data": {"a": {"c": 1}}}, REVISION)[0] == 500


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, "x"], "a": None}, "map[a:<nil> b:[1 x]]"),
        (True, "true"),
        (1.5, "1.5"),
        (2.0, "2"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (123456789.0, "123456789"),
    ],
)
def test_values_print_as_go_prints_them(value: Any, text: str) -> None:
    assert go_text(value) == text


# -- properties ---------------------------------------------------------------------------------

keys = st.sampled_from("abcdef")
images = st.sampled_from(["", "x", "y"])
containers = st.lists(
    st.builds(lambda n, i: {"name": n, "image": i}, keys, images), unique_by=lambda c: c["name"]
)


@settings(derandomize=True, max_examples=300)
@given(containers, containers)
def test_the_patch_that_kubectl_would_make_leads_from_one_list_to_the_other(
    old: list[Json], new: list[Json]
) -> None:
    gone = [c["name"] for c in old if c["name"] not in names(new)]
    spec: Json = {
        "$setElementOrder/containers": [{"name": n} for n in names(new)],
        "containers": [*new, *({"name": n, "$patch": "delete"} for n in gone)],
    }
    if not new and not old:
        spec = {}
    result = strategic_merge(pod(*old), {"spec": spec}, POD)
    assert result["spec"]["containers"] == new


@settings(derandomize=True, max_examples=200)
@given(containers, containers)
def test_a_merge_keeps_every_item_once_and_the_order_of_both_sides(
    old: list[Json], new: list[Json]
) -> None:
    result = strategic_merge(pod(*old), {"spec": {"containers": new}}, POD)["spec"]["containers"]
    merged = names(result)
    assert sorted(merged) == sorted({*names(old), *names(new)})
    assert [n for n in merged if n in names(new)] == names(new)
    untouched = [n for n in names(old) if n not in names(new)]
    assert [n for n in merged if n in untouched] == untouched
