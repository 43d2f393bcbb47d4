"""What a client left empty is quoted as it wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.errors import FieldError, invalid_value, required
from kapi.registry.emptied import as_written, quoting

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("obj", "body", "expected"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 1}}, None),
        ({"spec": {"a": 1}}, {"spec": {"a": 1, "b": [], "c": {}}}, {"a": 1, "b": [], "c": {}}),
        ({"spec": {"l": [{"a": 1}]}}, {"spec": {"l": [{"b": {}}]}}, {"l": [{"a": 1, "b": {}}]}),
        ({"spec": {"a": {"x": 1}}}, {"spec": {"a": {}}}, None),  # defaulted
        ({"spec": {"l": [1, 2]}}, {"spec": {"l": [{}]}}, None),  # of another length
        ({"spec": {"a": 1}}, {"metadata": {"labels": {}}, "status": {}}, None),
        ({"spec": {"a": 1}}, {"spec": {"b": {"c": []}}}, None),  # dropped with what holds it
        ({"spec": {}}, [], None),
    ],
)
def test_empty_lists_and_maps_are_put_back(obj: Json, body: Any, expected: Json | None) -> None:
    found = as_written(obj, body)
    assert found == (None if expected is None else {"spec": expected})
    assert found is not obj


def test_only_what_is_quoted_may_differ() -> None:
    null: list[FieldError] = [invalid_value("a", None, "x")]
    empty: list[FieldError] = [invalid_value("a", [], "x")]
    assert quoting(null, empty) is empty
    assert quoting(null, [*empty, required("b")]) is null
    assert quoting(null, [required("a")]) is null
