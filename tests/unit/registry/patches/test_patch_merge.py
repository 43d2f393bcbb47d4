"""JSON merge patch: RFC 7386's own examples, and what is no patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.registry.patches.merge_patch import merge_patch


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [  # the examples of RFC 7386, appendix A, that patch an object with an object
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"a": 1, "e": None}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "x"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_objects_merge(doc: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((doc, patch))
    assert merge_patch(doc, patch) == expected
    assert (doc, patch) == before


def test_objects_on_the_way_come_out_sorted_and_the_rest_is_shared() -> None:
    doc = {"z": {"y": 1}, "m": {"b": 1, "a": 2}}
    result = merge_patch(doc, {"m": {"c": 3}})
    assert list(result) == ["m", "z"]
    assert list(result["m"]) == ["a", "b", "c"]
    assert result["z"] is doc["z"]


@pytest.mark.parametrize(
    ("patch", "lenient", "message"),
    [
        (None, False, "invalid JSON patch"),
        (
            [1],
            False,
            "error decoding patch: json: cannot unmarshal array into Go value of type "
            "map[string]interface {}",
        ),
        (
            True,
            False,
            "error decoding patch: json: cannot unmarshal bool into Go value of type "
            "map[string]interface {}",
        ),
        ("x", True, "invalid JSON patch"),
    ],
)
def test_what_is_no_patch_is_a_400(patch: Any, lenient: bool, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        merge_patch({}, patch, lenient=lenient)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_a_patch_of_ten_thousand_levels_is_refused() -> None:
    patch: Any = "deep"
    for _ in range(10_000):
        patch = {"a": patch}
    with pytest.raises(ApiError) as caught:
        merge_patch({"a": "x"}, patch)
    assert caught.value.code == 422


trees = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The merge patch from one document to another."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            patch[name] = difference(before, value)
        elif name not in old or before != value:
            patch[name] = value
    return patch


@settings(derandomize=True, max_examples=300)
@given(documents, documents)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert merge_patch(old, difference(old, new)) == new
