"""Tells, by an event, of an owner reference that leads into another namespace.

Used by the garbage collector, for owners that it did not find where the reference says.
https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from kapi import log
from kapi.clock import rfc3339
from kapi.errors import ApiError
from kapi.housekeeping.garbage_graph import Owner, Place
from kapi.housekeeping.world import World
from kapi.registry.resource import GroupVersionKind, ResourceType

Json = dict[str, Any]
COMPONENT = "garbage-collector-controller"
REASON = "OwnerRefInvalidNamespace"
# References that were told of and are not told of again.
TOLD_MAX = 1_000
_NANOSECONDS = 1_000_000_000

_log = log.get("controllers")


class OwnerWarnings:
    def __init__(self, world: World) -> None:
        self._world = world
        self._namespaces = world.resource("", "namespaces")
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def tell(
        self, kind: ResourceType, dependent: GroupVersionKind, place: Place, uid: str, owner: Owner
    ) -> None:
        """An event about `dependent`, if its owner is in another namespace. Never raises
        ApiError."""
        if (uid, owner.uid) in self._told or not self._elsewhere(kind, place, owner):
            return
        self._told[(uid, owner.uid)] = None
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        event = self._event(dependent, place, uid, owner)
        try:
            await self._world.objects.create("", "events", event["metadata"]["namespace"], event)
        except ApiError as error:
            _log.info("an event was refused", reason=REASON, about=str(place), error=error.message)

    def _elsewhere(self, kind: ResourceType, place: Place, owner: Owner) -> bool:
        for namespace in self._world.items(self._namespaces):
            if namespace.name != place.namespace:
                item = self._world.item(kind, namespace.name, owner.name)
                if item is not None and item.uid == owner.uid:
                    return True
        return False

    def _event(self, dependent: GroupVersionKind, place: Place, uid: str, owner: Owner) -> Json:
        now = self._world.clock.now()
        described = (
            f"[{owner.api_version}/{owner.kind}, namespace: {place.namespace}, "
            f"name: {owner.name}, uid: {owner.uid}]"
        )
        subject = {
            "kind": dependent.kind,
            "namespace": place.namespace,
            "name": place.name,
            "uid": uid,
            "apiVersion": dependent.api_version,
        }
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": f"{place.name}.{int(now * _NANOSECONDS):x}",
                "namespace": place.namespace or "default",
            },
            "involvedObject": {k: v for k, v in subject.items() if v},
            "reason": REASON,
            "message": f'ownerRef {described} does not exist in namespace "{place.namespace}"',
            "source": {"component": COMPONENT},
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "type": "Warning",
            "reportingComponent": COMPONENT,
        }
