"""Keeps the status of quotas right: limits as in the spec, usage as counted.

Admission charges what is created; what is deleted, what ends, and what somebody wrote into a status
is seen here and leads to a count. A new quota is counted at once, other changes are gathered for a
moment. While a namespace is counted its creates wait (`admission/quotas/gate.py`).
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from typing import Any

from kapi.admission.quotas.gate import QuotaGate
from kapi.admission.quotas.usage import Usage, usage
from kapi.cacher.event import ADDED, DELETED, MODIFIED, Event, Item, Resource
from kapi.cacher.resource_cache import ResourceCache
from kapi.errors import ApiError
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.quota_count import Counter, Kind, kinds_of, same_amounts
from kapi.housekeeping.world import World

Json = dict[str, Any]
ACCOUNT = "resourcequota-controller"

# Changes of a namespace are gathered this long before it is counted.
GATHER_S = 0.05
# When to try again if writes did not pause for a count.
BUSY_RETRY_S = 0.5
_CHANGING = frozenset({"pods", "services/specs", "persistentvolumeclaims"})
_PLURALS = {"services/specs": "services"}


class Quotas:
    """Keys are names of namespaces."""

    name = "resourcequota"
    workers = 5

    def __init__(self, world: World, feed: Feed, gate: QuotaGate) -> None:
        self._world = world
        self._gate = gate
        self._quotas = world.resource("", "resourcequotas")
        self._counter = Counter(world.clock)
        self._limited: dict[str, set[Kind]] = {}  # namespace → kinds that its quotas count
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        gate.on_undo = self._later
        feed.on(self._quotas.storage_prefix, self._quota)
        feed.listen(self)

    def _later(self, namespace: str) -> None:
        self.queue.add_after(namespace, GATHER_S)

    # -- what is told ------------------------------------------------------------------------------

    def _quota(self, item: Item, event: Event | None) -> None:
        self._note(item.namespace)
        if event is not None and event.type == DELETED:
            self._gate.forget(item.namespace, item.name)
            return
        quota = item.object()
        status = quota.get("status") or {}
        hard = (quota.get("spec") or {}).get("hard") or {}
        ours = self._gate.is_ours(item.namespace, item.name, status.get("used") or {})
        if not ours or status.get("hard") != hard:
            self.queue.add(item.namespace)

    def _note(self, namespace: str) -> None:
        """Which kinds the quotas of a namespace count now."""
        kinds: set[Kind] = set()
        for item in self._world.items(self._quotas, namespace):
            kinds.update(kinds_of((item.object().get("spec") or {}).get("hard") or ()))
        if kinds:
            self._limited[namespace] = kinds
        else:
            self._limited.pop(namespace, None)
            self._counter.forget(namespace)

    def served(self, cache: ResourceCache, resource: Resource) -> None:
        """A kind that quotas may have been waiting for."""
        self._tell_kind(resource)

    def ended(self, cache: ResourceCache) -> None: ...

    def loaded(self, cache: ResourceCache) -> None:
        for resource in cache.resources.values():
            self._tell_kind(resource)

    def _tell_kind(self, resource: Resource) -> None:
        kind = (resource.group, resource.plural)
        for namespace, kinds in self._limited.items():
            if kind in kinds:
                self._later(namespace)

    def changed(self, cache: ResourceCache, event: Event) -> None:
        namespace = event.item.namespace
        kinds = self._limited.get(namespace)
        if kinds is None or event.type == ADDED:  # what is new was charged
            return
        if not any(key in kinds for key in cache.resources):
            return
        if event.type == DELETED or self._uses_otherwise(cache.prefix, event):
            self._later(namespace)

    def _uses_otherwise(self, prefix: str, event: Event) -> bool:
        if event.type != MODIFIED or prefix not in _CHANGING or event.previous is None:
            return False
        if prefix == "pods" and b'"deletionTimestamp":"' in event.item.tail:
            return True
        plural = _PLURALS.get(prefix, prefix)
        before, now = event.previous.peek(), event.item.peek()
        return usage("", plural, before) != usage("", plural, now)

    # -- the count ---------------------------------------------------------------------------------

    async def sync(self, key: str) -> float | None:
        """Count every quota of a namespace, and write what is not right."""
        if key not in self._limited:
            return None
        async with self._gate.alone(key) as quiet:
            if not quiet:
                return BUSY_RETRY_S
            await self._world.caught_up()
            soon: list[float] = []
            seen: set[str] = set()
            for item in self._world.items(self._quotas, key):
                again = await self._bring_up(item, seen)
                if again is not None:
                    soon.append(again)
            self._counter.tidy(key, seen)
        return min(soon) + 1 if soon else None

    async def _bring_up(self, item: Item, seen: set[str]) -> float | None:
        quota = item.decode()
        hard: Usage = dict((quota.get("spec") or {}).get("hard") or {})
        status = quota.get("status") or {}
        counted, soon = await self._count(item.namespace, quota, hard, seen)
        before: Usage = status.get("used") or {}
        used = {k: v for k, v in sorted({**before, **counted}.items()) if k in hard}
        right = status.get("hard") == hard and "used" in status and same_amounts(used, before)
        if right:
            self._gate.wrote(item.namespace, item.name, before)
            return soon
        self._gate.wrote(item.namespace, item.name, used)
        quota["status"] = {"hard": hard, "used": used}
        head = {"kind": "ResourceQuota", "apiVersion": "v1"}
        try:
            await self._world.objects.update_status(
                "", "resourcequotas", item.namespace, {**head, **quota}
            )
        except ApiError as error:
            if error.code == 409:
                self.queue.add(item.namespace)
            elif error.code != 404:
                raise
        return soon

    async def _count(
        self, namespace: str, quota: Json, hard: Usage, seen: set[str]
    ) -> tuple[Usage, float | None]:
        total: Usage = {}
        soon: list[float] = []
        for (group, plural), names in kinds_of(hard).items():
            resource = self._world.table.get(group, plural)
            if resource is None or not resource.namespaced:
                continue  # nobody counts it: what the status says stays
            items = self._world.items(resource, namespace)
            counted, again = await self._counter.count(namespace, quota, resource, names, items)
            seen.update(item.key for item in items)
            total.update(counted)
            if again is not None:
                soon.append(again)
        return total, min(soon) if soon else None
