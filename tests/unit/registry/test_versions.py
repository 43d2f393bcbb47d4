"""What is made of schemas: by whom, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kapi.kinds.catalog import Catalog
from kapi.messages import UserInfo
from kapi.registry import write_steps as steps
from kapi.registry.beside import INLINE_BYTES_MAX
from kapi.registry.change import Change
from kapi.registry.options import WriteOptions
from kapi.registry.resource import ResourceType
from kapi.registry.versions import Versions
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.ordering import Orders
from kapi.schema.settling import Settlers

RESOURCES = Catalog().resources({"api/all": True})
NAMES = ("deployments", "horizontalpodautoscalers", "customresourcedefinitions", "clusterroles")


def large_change(resource: ResourceType, size: int) -> Change:
    version = next(iter(resource.versions.values()))
    return Change(
        resource=resource,
        version=version,
        namespace="",
        name="a",
        propose=lambda live: {},
        mode="create",
        options=WriteOptions(),
        user=UserInfo("a"),
        manager="a",
        size=size,
    )


def aside(size: int, work: Callable[[], Any]) -> Awaitable[Any]:
    raise AssertionError("nothing is done yet")


@pytest.mark.parametrize("plural", NAMES)
def test_what_large_objects_need_is_made_before_another_thread_works_on_them(
    plural: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something that is half made, seen by the event loop, would fail, or stay wrong for good."""
    resource = next(r for r in RESOURCES if r.plural == plural)
    versions = Versions(Decoders(), Defaulters(), ())
    made: list[type] = []
    for maker, name in (
        (Decoders, "_compile"),
        (Decoders, "_zero"),
        (Defaulters, "_compile"),
        (Orders, "_compile"),
        (Settlers, "_compile"),
    ):
        before = getattr(maker, name)

        def noted(self: Any, schema: Any, before: Any = before) -> Any:
            made.append(type(self))
            return before(self, schema)

        monkeypatch.setattr(maker, name, noted)

    steps.weigh(versions, large_change(resource, INLINE_BYTES_MAX), None, aside)
    assert not made  # small ones are worked on where things are made
    steps.weigh(versions, large_change(resource, INLINE_BYTES_MAX + 1), None, aside)
    assert {Decoders, Orders} <= set(made)

    made.clear()
    for version in resource.versions.values():
        schema = version.schema()
        obj, _ = versions.decoders.decode(schema, {"metadata": {"name": "a"}, "spec": {}})
        versions.defaulters.default(schema, obj)
        versions.text(schema, obj)
        versions.decoders.zero(schema)
    stored = {"metadata": {"name": "a"}}
    versions.arrange(resource, stored)
    versions.settlers.settle(resource.stored_schema(), stored)
    assert not made
