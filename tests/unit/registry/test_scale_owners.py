"""Who owns the replicas after scaling."""

from typing import Any

import pytest

from kapi.registry.edits import owned_after_scale
from kapi.registry.resource import ScalePaths
from kapi.registry.scale import owners_from_scale

ENTRY: dict[str, Any] = {
    "manager": "m",
    "operation": "Update",
    "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
}
SCALED: dict[str, Any] = {
    **ENTRY,
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}
CUSTOM = ScalePaths(("spec", "size", "n"), ("status", "n"))


@pytest.mark.parametrize("replicas", [1, 3])
def test_replicas_that_are_there_stay_owned(replicas: int) -> None:
    entries = [ENTRY, SCALED]
    assert owned_after_scale(entries, {"spec": {"replicas": replicas}}, None) == entries


@pytest.mark.parametrize("spec", [{"replicas": 0}, {}])
def test_a_scale_to_nothing_leaves_them_to_nobody(spec: dict[str, Any]) -> None:
    """A Scale of no replicas does not say so; it is as if the field had been removed."""
    assert owned_after_scale([ENTRY, SCALED], {"spec": spec}, None) == [
        {**ENTRY, "fieldsV1": {"f:spec": {"f:paused": {}}}}
    ]


def test_paths_of_a_custom_kind() -> None:
    entry = {**ENTRY, "fieldsV1": {"f:spec": {"f:size": {"f:n": {}}}}}
    assert owned_after_scale([entry], {"spec": {"size": {"n": 2}}}, CUSTOM) == [entry]
    assert owned_after_scale([entry], {"spec": {"size": {"n": 0}}}, CUSTOM) == []


def test_an_owner_of_something_else_in_the_scale_owns_no_replicas() -> None:
    status = {**SCALED, "manager": "other", "fieldsV1": {"f:status": {"f:replicas": {}}}}
    assert owners_from_scale([ENTRY], [status, SCALED], "apps/v1") == [
        {**ENTRY, "fieldsV1": {"f:spec": {"f:paused": {}}}},
        {**SCALED, "apiVersion": "apps/v1"},
    ]
