"""`World`: what housekeeping controllers see and may do. One per controller, under its account.

Reads come from the watch cache, or, where it must be certain, from the store; writes take the way
of every request, admission included. Made by `start.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kapi.cacher.cacher import Cacher
from kapi.cacher.event import Item
from kapi.cacher.timers import Timers
from kapi.clock import Clock
from kapi.messages import UserInfo
from kapi.registry.in_process import InProcess
from kapi.registry.resource import ResourceTable, ResourceType
from kapi.registry.storing import storage_call

Json = dict[str, Any]

SYSTEM_NAMESPACE = "kube-system"
MANAGER = "kube-controller-manager"  # owns what controllers write, as in a cluster
# How long a controller waits for the cache to have what it just wrote.
CATCH_UP_S = 5.0


def account(name: str) -> UserInfo:
    """The service account that a controller acts as, by the name it has in a cluster."""
    return UserInfo(
        name=f"system:serviceaccount:{SYSTEM_NAMESPACE}:{name}",
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{SYSTEM_NAMESPACE}",
            "system:authenticated",
        ),
    )


@dataclass(frozen=True, slots=True)
class World:
    """The server's objects as one controller has them."""

    table: ResourceTable
    cacher: Cacher
    objects: InProcess  # acting as the controller
    clock: Clock

    @property
    def timers(self) -> Timers:
        return self.cacher.timers

    def resource(self, group: str, plural: str) -> ResourceType:
        """A resource that is always there."""
        found = self.table.get(group, plural)
        assert found is not None, f"{plural}.{group} is always served"
        return found

    def item(self, resource: ResourceType, namespace: str, name: str) -> Item | None:
        """What the cache has under a name."""
        cache = self.cacher.cache(resource)
        return cache.get(namespace, name) if cache is not None else None

    def items(self, resource: ResourceType, namespace: str = "") -> Sequence[Item]:
        """What the cache has in a namespace, or everywhere; read-only."""
        cache = self.cacher.cache(resource)
        return cache.list(namespace) if cache is not None else ()

    async def caught_up(self) -> None:
        """The cache has everything that was written until now, or is late."""
        await storage_call(self.cacher.caught_up(CATCH_UP_S))
