"""What tests of admission plugins have in common: objects to look up, writes, authorizers."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.admission.plugin import Attributes
from kapi.authorization import authorizer
from kapi.authorization.authorizer import Decision
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
JANE = UserInfo(name="jane")


class Objects:
    """A lister of a few objects."""

    def __init__(self, *objects: Json) -> None:
        self.objects = list(objects)

    def get(self, namespace: str, name: str) -> Json | None:
        return next((o for o in self.list(namespace) if o["metadata"]["name"] == name), None)

    def list(self, namespace: str = "") -> list[Json]:
        return [o for o in self.objects if o["metadata"].get("namespace", "") in ("", namespace)]


class Allowing:
    """An authorizer that allows what it was told, and remembers what it was asked."""

    def __init__(self, *allowed: tuple[str, str, str]) -> None:
        self.allowed = allowed  # verb, resource with its subresource, name
        self.asked: list[authorizer.Attributes] = []

    async def authorize(self, attributes: authorizer.Attributes) -> tuple[Decision, str]:
        a = attributes
        self.asked.append(a)
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        if (a.verb, resource, a.name) in self.allowed:
            return Decision.ALLOW, ""
        return Decision.NO_OPINION, "no rule"


def write(resource: str, obj: Json | None, old: Json | None = None, **more: Any) -> Attributes:
    """A write in the namespace `ns` of the object `a` by jane."""
    group, _, plural = resource.rpartition("/")
    given: Json = {
        "operation": "CREATE" if old is None else "UPDATE",
        "group": group,
        "version": "v1",
        "kind": "",
        "resource": plural,
        "subresource": "",
        "namespace": "ns",
        "name": "a",
        "object": obj,
        "old": old,
        "user": JANE,
        "dry_run": False,
    }
    return Attributes(**{**given, **more})


async def refusal(plugin: Any, attributes: Attributes, step: str = "admit") -> str:
    """What follows `is forbidden: `."""
    assert handled(plugin, attributes)
    with pytest.raises(ApiError) as caught:
        await getattr(plugin, step)(attributes)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    return caught.value.message.partition(" is forbidden: ")[2]


def handled(plugin: Any, a: Attributes) -> bool:
    return bool(plugin.handles(a.operation, a.group, a.resource, a.subresource))


async def passes(plugin: Any, attributes: Attributes) -> Json:
    """The object after all that the plugin does."""
    for step in ("admit", "validate"):
        if hasattr(plugin, step) and handled(plugin, attributes):
            await getattr(plugin, step)(attributes)
    return attributes.object or {}
