"""Checks the types of ValidatingAdmissionPolicies and writes what it finds into their status.

Once for each generation of a policy, as kube-controller-manager does.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from typing import Any

from kapi.admission.requests.rules import GROUP, Kind
from kapi.cacher.event import DELETED, Event, Item
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.world import World
from kapi.schema.structural import Schema

Json = dict[str, Any]

PLURAL = "validatingadmissionpolicies"
ACCOUNT = "validatingadmissionpolicy-status-controller"


class PolicyTypes:
    """Keys are names of policies."""

    name = "validatingadmissionpolicy-status"
    workers = 1

    def __init__(self, world: World, feed: Feed) -> None:
        self._world = world
        self._policies = world.resource(GROUP, PLURAL)
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        feed.on(self._policies.storage_prefix, self._policy)

    def _policy(self, item: Item, event: Event | None) -> None:
        if event is None or event.type != DELETED:
            self.queue.add(item.name)

    async def sync(self, key: str) -> float | None:
        """Check a policy that was not checked since it changed."""
        from kapi.admission.policies import type_checking

        item = self._world.item(self._policies, "", key)
        if item is None:
            return None
        policy = item.object()
        generation = policy["metadata"].get("generation", 0)
        if generation <= (policy.get("status") or {}).get("observedGeneration", 0):
            return None
        kinds = type_checking.kinds_of(policy, self._served)
        found = type_checking.warnings(policy, kinds, self._params(policy))
        checked: Json = {"expressionWarnings": found} if found else {}
        config = {
            "kind": "ValidatingAdmissionPolicy",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {"name": key},
            "status": {"observedGeneration": generation, "typeChecking": checked},
        }
        await self._world.objects.apply(GROUP, PLURAL, "status", config, ACCOUNT)
        return None

    def _served(self, group: str, version: str, plural: str) -> tuple[Kind, Schema] | None:
        resource = self._world.table.get(group, plural)
        found = resource.versions.get(version) if resource is not None else None
        if found is None:
            return None
        kind = found.kind
        return Kind(kind.group, kind.version, kind.kind), found.schema()

    def _params(self, policy: Json) -> Schema | None:
        kind = policy["spec"].get("paramKind") or {}
        group, _, version = kind.get("apiVersion", "").rpartition("/")
        resource = self._world.table.by_kind(group, kind.get("kind", ""))
        found = resource.versions.get(version) if resource is not None else None
        return found.schema() if found is not None else None
