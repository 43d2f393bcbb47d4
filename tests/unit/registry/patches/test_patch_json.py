"""JSON patch: what each operation does, what it refuses, and that its inputs stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.registry.patches import json_patch as module
from kapi.registry.patches.json_patch import json_patch

DOC: dict[str, Any] = {
    "metadata": {"name": "p", "labels": {"b": "2", "a/x": "1", "t~": "3"}},
    "spec": {"list": [1, 2, 3], "null": None, "maps": [{"k": "v"}]},
}


def op(kind: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **more}


def patched(*operations: dict[str, Any]) -> Any:
    before = copy.deepcopy(DOC)
    result = json_patch(DOC, list(operations))
    assert before == DOC
    return result


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        (op("add", "/metadata/labels/c", value="4"), ("metadata", "labels", "c"), "4"),
        (op("add", "/spec/list/1", value=9), ("spec", "list"), [1, 9, 2, 3]),
        (op("add", "/spec/list/-", value=9), ("spec", "list"), [1, 2, 3, 9]),
        (op("add", "/spec/list/3", value=9), ("spec", "list"), [1, 2, 3, 9]),
        (op("add", "/spec/list/-1", value=9), ("spec", "list"), [1, 2, 3, 9]),
        (op("add", "/spec/new"), ("spec", "new"), None),
        (op("remove", "/spec/list/0"), ("spec", "list"), [2, 3]),
        (op("remove", "/spec/list/-1"), ("spec", "list"), [1, 2]),
        (op("replace", "/metadata/labels/a~1x", value="z"), ("metadata", "labels", "a/x"), "z"),
        (op("replace", "/metadata/labels/t~0", value="z"), ("metadata", "labels", "t~"), "z"),
        (op("replace", "/metadata/absent", value=1), ("metadata", "absent"), 1),
        (op("replace", "/spec/list/-3", value=9), ("spec", "list"), [9, 2, 3]),
        (op("move", "/spec/moved", **{"from": "/spec/list/2"}), ("spec", "moved"), 3),
        (op("copy", "/spec/copy", **{"from": "/spec/maps"}), ("spec", "copy"), [{"k": "v"}]),
        (op("copy", "/spec/copy", **{"from": "/spec/absent"}), ("spec", "copy"), None),
        (op("test", "/spec/list", value=[1, 2, 3]), ("spec", "list"), [1, 2, 3]),
        (op("test", "/spec/absent", value=None), ("spec", "list"), [1, 2, 3]),
        (op("test", "", value=DOC), ("spec", "list"), [1, 2, 3]),
        (op("replace", "", value={"a": 1}), ("a",), 1),
    ],
)
def test_an_operation_that_applies(
    operation: dict[str, Any], path: tuple[str, ...], expected: Any
) -> None:
    result = patched(operation)
    for part in path:
        result = result[part]
    assert result == expected


@pytest.mark.parametrize(
    "operation",
    [
        op("test", "/metadata/name", value="zzz"),
        op("test", "/spec/list", value=[True, 2, 3]),
        op("test", "/spec/list/7", value=1),
        op("remove", "/metadata/labels/absent"),
        op("remove", "/spec/list/3"),
        op("remove", "/spec/list/x"),
        op("remove", ""),
        op("add", "/absent/deep/er", value=1),
        op("add", "/metadata/name/deeper", value=1),
        op("add", "/spec/null/deeper", value=1),
        op("add", "/spec/list/9", value=1),
        op("add", "/spec/list/ 1", value=1),
        op("add", "noslash", value=1),
        op("replace", "/spec/list/3", value=1),
        op("replace", "", value=1),
        op("move", "/spec/x", **{"from": "/spec/absent"}),
        op("move", "/spec/x"),
        op("copy", "/spec/x", **{"from": "/a/b"}),
        op("explode", "/spec"),
        {"path": "/spec"},
        {"op": "add"},
        None,
    ],
)
def test_an_operation_that_does_not_apply_is_one_and_the_same_422(operation: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(DOC, [operation])
    assert caught.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    ("patch", "lenient", "message"),
    [
        (
            {},
            False,
            "error decoding patch: json: cannot unmarshal object into Go value of type "
            "[]handlers.jsonPatchOp",
        ),
        (
            ["x"],
            False,
            "error decoding patch: json: cannot unmarshal string into Go value of type "
            "handlers.jsonPatchOp",
        ),
        (
            [{"op": 1}],
            False,
            "error decoding patch: json: cannot unmarshal number into Go struct field "
            "jsonPatchOp.op of type string",
        ),
        ("x", True, "json: cannot unmarshal string into Go value of type jsonpatch.Patch"),
    ],
)
def test_what_is_no_patch_is_a_400(patch: Any, lenient: bool, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(DOC, patch, lenient=lenient)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_too_many_operations_are_a_413() -> None:
    operations = [op("test", "/metadata/name", value="p")] * module.OPERATIONS_MAX
    assert json_patch(DOC, operations) == DOC
    with pytest.raises(ApiError) as caught:
        json_patch(DOC, [*operations, operations[0]])
    assert caught.value.code == 413
    assert caught.value.message == (
        "The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


def test_copies_that_grow_without_bound_are_refused() -> None:
    doubling = [op("copy", "/a/-", **{"from": "/a"})] * 64
    with pytest.raises(ApiError) as caught:
        json_patch({"a": ["x" * 100]}, doubling)
    assert caught.value.code == 422


def test_a_copied_part_does_not_follow_its_source() -> None:
    result = patched(
        op("add", "/spec/maps/0/k", value="touched"),
        op("copy", "/spec/copy", **{"from": "/spec/maps"}),
        op("add", "/spec/maps/0/k", value="later"),
        op("add", "/spec/copy/0/own", value=1),
    )
    assert result["spec"]["maps"] == [{"k": "later"}]
    assert result["spec"]["copy"] == [{"k": "touched", "own": 1}]


def test_containers_on_the_way_come_out_sorted_and_others_as_they_were() -> None:
    result = patched(op("add", "/metadata/annotations", value={"z": 1, "a": 2}))
    assert list(result) == ["metadata", "spec"]
    assert list(result["metadata"]) == ["annotations", "labels", "name"]
    assert list(result["metadata"]["annotations"]) == ["z", "a"]
    assert list(result["metadata"]["labels"]) == ["b", "a/x", "t~"]
    assert result["spec"] is DOC["spec"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
pointers = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "-1"]), min_size=1, max_size=3)
operations = st.builds(
    lambda kind, path, source, value: op(
        kind, "".join(f"/{p}" for p in path), **{"from": "".join(f"/{p}" for p in source)},
        value=value,
    ),
    st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
    pointers, pointers, values,
)  # fmt: skip


@settings(derandomize=True, max_examples=300)
@given(st.dictionaries(st.sampled_from("abc"), values), st.lists(operations, max_size=5))
def test_any_patch_gives_a_document_or_a_4xx_and_changes_no_input(
    doc: dict[str, Any], patch: list[dict[str, Any]]
) -> None:
    doc_before, patch_before = copy.deepcopy(doc), copy.deepcopy(patch)
    refused = None
    try:
        json_patch(doc, patch)
    except ApiError as e:
        refused = e.code
    assert refused in (None, 422)
    assert (doc, patch) == (doc_before, patch_before)
