"""Collects garbage: objects whose owners are gone, and what a deletion asked for.

    background   the owner is gone: each dependent without another owner is deleted in its turn
    foreground   the owner waits, with the finalizer `foregroundDeletion`, for the dependents that
                 block it; they are deleted first
    orphan       the owner waits, with the finalizer `orphan`, until no dependent names it

An owner is looked for where its reference says: by kind and name, in the namespace of the dependent
or, for kinds without namespaces, in none; and it must have the uid. So a reference into another
namespace leads to nobody, which an event tells. An object without a namespace whose owner would
need one is left alone. Owners of unknown kinds may yet become known: their dependents are looked at
again when such a kind is served.

Before anything is deleted both the dependent and its owners are read from the store.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kapi.cacher.resource_cache import ResourceCache
from kapi.errors import ApiError
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.garbage_graph import Owner, Place, owners_of
from kapi.housekeeping.owner_warnings import OwnerWarnings
from kapi.housekeeping.ownership import SLICE, Contents, Dependents, Key, Ownership
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.world import World
from kapi.registry.delete import FOREGROUND, ORPHAN
from kapi.registry.edits import put_finalizers
from kapi.registry.options import DeleteOptions, Preconditions
from kapi.registry.resource import ResourceType

Json = dict[str, Any]
ACCOUNT = "generic-garbage-collector"

EditMeta = Callable[[Json], None]  # changes metadata in place

# Dependents set free at once when their owner leaves them alone.
CONCURRENT_ORPHANS = 32


@dataclass(slots=True)
class References:
    """The owners of an object, by what became of them."""

    solid: list[Owner] = field(default_factory=list)
    dangling: list[Owner] = field(default_factory=list)
    waiting: list[Owner] = field(default_factory=list)  # for their dependents to be deleted
    unknown: list[Owner] = field(default_factory=list)  # of kinds that nobody serves
    unreachable: list[Owner] = field(default_factory=list)  # in some namespace, named from none


class Garbage:
    """Keys are places of objects, or what `Ownership` asks for beside them."""

    name = "garbagecollector"
    workers = 20

    def __init__(self, world: World, feed: Feed) -> None:
        self._world = world
        self.queue: WorkQueue[Key] = WorkQueue(world.timers)
        self._ownership = Ownership(world, self.queue.add)
        self._graph = self._ownership.graph
        self._warnings = OwnerWarnings(world)
        self._early: dict[Key, None] = {}  # what came before the graph was complete
        feed.listen(self._ownership)

    def statistics(self) -> dict[str, int]:
        """Numbers for tests."""
        return {**self._ownership.statistics(), "queued": len(self.queue)}

    async def sync(self, key: Key) -> float | None:
        if isinstance(key, Contents):
            await self._ownership.take_up(key.prefix)
            if self._ownership.complete:
                early, self._early = self._early, {}
                for waiting in early:
                    self.queue.add(waiting)
        elif not self._ownership.complete:
            self._early[key] = None
        elif isinstance(key, Dependents):
            for at, place in enumerate(self._graph.dependents(key.uid)):
                self.queue.add(place)
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
        else:
            await self._look(key)
        return None

    async def _look(self, place: Place) -> None:
        """Look at one object, and do with it what its owners and finalizers ask for."""
        cache = self._ownership.cache(place)
        if cache is None:
            return
        resource = self._resource(cache)
        if resource is None:
            return
        latest = await self._world.objects.read(resource, place.namespace, place.name)
        if latest is None:
            return
        meta = latest["metadata"]
        finalizers = meta.get("finalizers") or ()
        if "deletionTimestamp" in meta:
            if ORPHAN in finalizers:
                await self._orphan(resource, place, meta["uid"])
            elif FOREGROUND in finalizers and not self._graph.blocked(meta["uid"]):
                await self._release(resource, place, meta["uid"], FOREGROUND)
            return
        owners = owners_of(meta)
        if owners:
            found = await self._classify(resource, place, meta, owners)
            await self._judge(resource, place, meta, found)

    def _resource(self, cache: ResourceCache) -> ResourceType | None:
        for group, plural in cache.resources:
            resource = self._world.table.get(group, plural)
            if resource is not None:
                return resource
        return None

    async def _classify(
        self, resource: ResourceType, place: Place, meta: Json, owners: tuple[Owner, ...]
    ) -> References:
        found = References()
        for owner in owners:
            kind = self._ownership.kind(owner)
            if self._ownership.known_gone(place, owner):
                found.dangling.append(owner)
            elif kind is None:
                found.unknown.append(owner)
            elif kind.namespaced and not place.namespace:
                found.unreachable.append(owner)
                await self._warnings.tell(kind, resource.stored, place, meta["uid"], owner)
            elif self._ownership.awaited(place, kind, owner):
                found.waiting.append(owner)
            elif self._ownership.certain(place, owner) or await self._exists(kind, place, owner):
                found.solid.append(owner)
            else:
                found.dangling.append(owner)
                if kind.namespaced:
                    await self._warnings.tell(kind, resource.stored, place, meta["uid"], owner)
        return found

    async def _exists(self, kind: ResourceType, place: Place, owner: Owner) -> bool:
        """Whether the store has an owner."""
        where = self._ownership.where(place, kind, owner)
        found = await self._world.objects.read(kind, *where)
        return found is not None and found["metadata"].get("uid") == owner.uid

    async def _judge(
        self, resource: ResourceType, place: Place, meta: Json, found: References
    ) -> None:
        if found.unknown:
            for owner in found.unknown:
                self._ownership.park(place, owner)
            return
        if found.unreachable:
            return
        uid = meta["uid"]
        if found.solid:
            gone = {o.uid for o in (*found.dangling, *found.waiting)}
            if gone:
                await self._edit(resource, place, uid, lambda m: without_owners(m, gone))
            return
        policy = "Background"
        if found.waiting and self._graph.has_dependents(uid):
            # Its dependents must go before it, as it must go before its owner. Where two wait for
            # each other nobody may block.
            if any(self._ownership.waits(dependent) for dependent in self._graph.dependents(uid)):
                await self._edit(resource, place, uid, without_blocking)
                meta = await self._again(resource, place, uid)
            policy = "Foreground"
        elif ORPHAN in (meta.get("finalizers") or ()):
            policy = "Orphan"
        elif FOREGROUND in (meta.get("finalizers") or ()):
            policy = "Foreground"
        await self._delete(resource, place, meta, policy)

    async def _again(self, resource: ResourceType, place: Place, uid: str) -> Json:
        """The metadata after a change of ours."""
        latest = await self._world.objects.read(resource, place.namespace, place.name)
        return latest["metadata"] if latest is not None else {"uid": uid}

    async def _delete(self, resource: ResourceType, place: Place, meta: Json, policy: str) -> None:
        """Delete what was judged, as it was judged; if it changed meanwhile, judge again."""
        options = DeleteOptions(
            propagation_policy=policy,
            preconditions=Preconditions(
                uid=meta.get("uid"), resource_version=meta.get("resourceVersion")
            ),
        )
        try:
            await self._world.objects.remove(resource, place.namespace, place.name, options)
        except ApiError as error:
            if error.code == 409:
                self.queue.add(place)
            elif error.code != 404:
                raise

    async def _orphan(self, resource: ResourceType, place: Place, uid: str) -> None:
        """Let the dependents go their own way, then the owner."""
        dependents = self._graph.dependents(uid)
        for at in range(0, len(dependents), CONCURRENT_ORPHANS):
            piece = dependents[at : at + CONCURRENT_ORPHANS]
            results = await asyncio.gather(
                *(self._set_free(dependent, uid) for dependent in piece), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        await self._release(resource, place, uid, ORPHAN)

    async def _set_free(self, place: Place, uid: str) -> None:
        cache = self._ownership.cache(place)
        resource = self._resource(cache) if cache is not None else None
        if resource is not None:
            await self._edit(resource, place, "", lambda meta: without_owners(meta, {uid}))

    async def _release(self, resource: ResourceType, place: Place, uid: str, name: str) -> None:
        """Take a finalizer off."""

        def change(meta: Json) -> None:
            put_finalizers(meta, [f for f in meta.get("finalizers") or () if f != name])

        await self._edit(resource, place, uid, change)

    async def _edit(self, resource: ResourceType, place: Place, uid: str, change: EditMeta) -> None:
        """Change the metadata of an object, if it is still the one."""

        def apply(obj: Json) -> None:
            if uid and obj["metadata"].get("uid") != uid:
                raise ApiError(404, "NotFound", "the object is another one by now")
            change(obj["metadata"])

        try:
            await self._world.objects.edit(resource, place.namespace, place.name, apply)
        except ApiError as error:
            if error.code != 404:
                raise


def without_owners(meta: Json, uids: set[str]) -> None:
    """Take references to these owners out, in place."""
    left = [ref for ref in meta.get("ownerReferences") or () if ref.get("uid") not in uids]
    if left:
        meta["ownerReferences"] = left
    else:
        meta.pop("ownerReferences", None)


def without_blocking(meta: Json) -> None:
    """Let no reference hold back the deletion of an owner, in place."""
    for ref in meta.get("ownerReferences") or ():
        if ref.get("blockOwnerDeletion"):
            ref["blockOwnerDeletion"] = False
