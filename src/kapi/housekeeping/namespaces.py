"""Empties namespaces that are being deleted, then lets them go.

Pods go first, and as long as one is there nothing else is touched, so that network policies and
the like outlive them. Finalizers and grace periods are honoured: the namespace waits. What keeps it
is written into its conditions. Every change of an object in such a namespace is a reason to look
again; what may end by time alone is looked at by time.

A request may have been admitted before the namespace was closed and written after it was found
empty; so once a namespace is gone, what came in behind it is removed, at once and a little later.
https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kapi.cacher.event import DELETED, Event, Item
from kapi.clock import rfc3339
from kapi.errors import ApiError
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.namespace_conditions import Findings, conditions
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.world import World
from kapi.registry.options import DeleteOptions
from kapi.registry.resource import ResourceType
from kapi.schema.scalars import parse_time

Json = dict[str, Any]
ACCOUNT = "namespace-controller"
FINALIZER = "kubernetes"
TERMINATING = b'"deletionTimestamp":"'

# Deletions under way at once: enough to fill the store's group commit.
CONCURRENT_DELETES = 32
# How long what has finalizers may take, as the real server guesses.
FINALIZER_ESTIMATE_S = 15
# When to look once more for what was on its way into a namespace that is gone: longer than a
# request takes without webhooks.
SWEEP_AFTER_S = 5.0
_ENDED = ("Succeeded", "Failed")
_BACKGROUND = DeleteOptions(propagation_policy="Background")

# Groups that cannot be looked into: (group/version, why).
Undiscovered = Callable[[], Iterable[tuple[str, str]]]


class Namespaces:
    """Keys are names of namespaces."""

    name = "namespace"
    workers = 4

    def __init__(self, world: World, feed: Feed, undiscovered: Undiscovered = tuple) -> None:
        self._world = world
        self._undiscovered = undiscovered
        self._namespaces = world.resource("", "namespaces")
        self._closing: set[str] = set()  # names of namespaces that are being deleted
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        feed.on(self._namespaces.storage_prefix, self._namespace)
        feed.on_changes(self._content)

    def _namespace(self, item: Item, event: Event | None) -> None:
        if event is not None and event.type == DELETED:
            if item.name in self._closing:
                self._closing.discard(item.name)
                self.queue.add(item.name)
                self.queue.add_after(item.name, SWEEP_AFTER_S)
        elif TERMINATING in item.tail and "deletionTimestamp" in item.object()["metadata"]:
            self._closing.add(item.name)
            self.queue.add(item.name)
        else:  # after a gap it may be another one
            self._closing.discard(item.name)

    def _content(self, item: Item, event: Event | None) -> None:
        if item.namespace in self._closing:
            self.queue.add(item.namespace)

    async def sync(self, key: str) -> float | None:
        """Delete what is in it; once nothing is, take the finalizer off."""
        namespace = await self._world.objects.read(self._namespaces, "", key)
        if namespace is None:
            await self._empty(key, namespace={})
            return None
        if "deletionTimestamp" not in namespace["metadata"]:
            return None
        if not (namespace.get("spec") or {}).get("finalizers"):
            return None
        found = await self._empty(key, namespace)
        await self._tell(key, namespace, found)
        problem = found.problem()
        if problem:
            raise ApiError(500, "InternalError", f"deletion of namespace {key} failed: {problem}")
        if not found.empty:
            return found.wait_s // 2 + 1
        await self._finalize(key, namespace)
        return None

    # -- contents ----------------------------------------------------------------------------------

    async def _empty(self, key: str, namespace: Json) -> Findings:
        found = Findings(undiscovered=list(self._undiscovered()))
        await self._world.caught_up()
        pods = self._world.resource("", "pods")
        try:
            await self._clear(pods, key, namespace, found)
        except ApiError as error:
            found.errors.append(error.message)
        if (pods.plural, pods.group) in found.remaining:
            return found
        for resource in self._resources():
            try:
                await self._clear(resource, key, namespace, found)
            except ApiError as error:
                found.errors.append(error.message)
        return found

    def _resources(self) -> list[ResourceType]:
        """What may be in a namespace and can be deleted; of two views of one store, the first."""
        by_prefix: dict[str, ResourceType] = {}
        for resource in self._world.table:
            version = next(iter(resource.versions.values()))
            if resource.namespaced and resource.stored_in_store and "delete" in version.verbs:
                by_prefix.setdefault(resource.storage_prefix, resource)
        return list(by_prefix.values())

    async def _clear(
        self, resource: ResourceType, key: str, namespace: Json, found: Findings
    ) -> None:
        """Delete the objects of one resource; note what stays. Raises ApiError."""
        items = self._world.items(resource, key)
        if not items:
            return
        wait_s = _grace(items, namespace, self._world.clock.now()) if _is_pods(resource) else 0
        for at in range(0, len(items), CONCURRENT_DELETES):
            piece = items[at : at + CONCURRENT_DELETES]
            results = await asyncio.gather(
                *(self._remove(resource, item) for item in piece), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        await self._world.caught_up()
        finalizers = [
            item.peek()["metadata"].get("finalizers") or ()
            for item in self._world.items(resource, key)
        ]
        if not finalizers:
            return
        found.left(resource.plural, resource.group, finalizers)
        if not wait_s and any(finalizers):
            wait_s = FINALIZER_ESTIMATE_S
        if not wait_s:
            version = next(iter(resource.versions))
            raise ApiError(
                500,
                "InternalError",
                f"unexpected items still remain in namespace: {key} for gvr: "
                f"{resource.group}/{version}, Resource={resource.plural}",
            )
        found.wait_s = max(found.wait_s, wait_s)

    async def _remove(self, resource: ResourceType, item: Item) -> None:
        try:
            await self._world.objects.remove(resource, item.namespace, item.name, _BACKGROUND)
        except ApiError as error:
            if error.code not in (404, 405):
                raise

    # -- the namespace itself ----------------------------------------------------------------------

    async def _tell(self, key: str, namespace: Json, found: Findings) -> None:
        """Write the conditions, if they say something new."""
        uid, now = namespace["metadata"].get("uid"), rfc3339(self._world.clock.now())
        if conditions((namespace.get("status") or {}).get("conditions") or (), found, now) is None:
            return

        def change(obj: Json) -> None:
            _same(obj, uid)
            status = obj.setdefault("status", {})
            wanted = conditions(status.get("conditions") or (), found, now)
            if wanted is not None:
                status["conditions"] = wanted

        await self._edit(key, change, "status")

    async def _finalize(self, key: str, namespace: Json) -> None:
        uid = namespace["metadata"].get("uid")

        def change(obj: Json) -> None:
            _same(obj, uid)
            spec = obj.setdefault("spec", {})
            spec["finalizers"] = sorted(set(spec.get("finalizers") or ()) - {FINALIZER})

        await self._edit(key, change, "finalize")

    async def _edit(self, key: str, change: Callable[[Json], None], subresource: str) -> None:
        try:
            await self._world.objects.edit(
                self._namespaces, "", key, change, subresource=subresource
            )
        except ApiError as error:
            if error.code != 404:
                raise


def _same(namespace: Json, uid: str | None) -> None:
    """Raises ApiError 404 if another namespace has taken the name."""
    if namespace["metadata"].get("uid") != uid:
        raise ApiError(404, "NotFound", "the namespace is another one by now")


def _is_pods(resource: ResourceType) -> bool:
    return (resource.group, resource.plural) == ("", "pods")


def _grace(pods: Sequence[Item], namespace: Json, now: float) -> int:
    """How long pods may still take to end, in seconds since the namespace was deleted."""
    longest = 0
    for item in pods:
        pod = item.peek()
        if (pod.get("status") or {}).get("phase") not in _ENDED:
            grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0
            longest = max(longest, int(grace))
    deleted = (namespace.get("metadata") or {}).get("deletionTimestamp")
    if deleted and now - parse_time(deleted)[0] >= longest:
        return 0
    return longest
