"""`Ownership`: what the garbage collector knows of owners and dependents, from what it hears.

It listens to the feed, keeps the graph, and says by `add` what should be looked at. Kept apart from
what is then done (`garbage.py`): nothing here awaits but the taking up of what was there at the
start, which goes in slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from kapi.cacher.event import DELETED, Event, Item, Resource
from kapi.cacher.resource_cache import ResourceCache
from kapi.housekeeping.garbage_graph import Graph, Owner, Place, owners_of
from kapi.housekeeping.owner_kinds import OwnerKinds
from kapi.housekeeping.world import World
from kapi.registry.delete import FOREGROUND, ORPHAN
from kapi.registry.resource import ResourceType

Json = dict[str, Any]

# Events come and go by themselves, and nobody owns them.
IGNORED = frozenset({"events"})
# Objects looked at, or put into the queue, before other tasks get a turn: about 2 ms.
SLICE = 200

_OWNED = b'"ownerReferences":['
_DELETING = b'"deletionTimestamp":"'
_HELD = (b'"foregroundDeletion"', b'"orphan"')


class Dependents(NamedTuple):
    """Something to look at: all that name this owner."""

    uid: str


class Contents(NamedTuple):
    """Something to look at: all objects of a storage prefix, to be taken up."""

    prefix: str


Key = Place | Dependents | Contents


class Ownership:
    """An observer of the cache. One per garbage collector."""

    def __init__(self, world: World, add: Callable[[Key], None]) -> None:
        self._world = world
        self._add = add
        self._kinds = OwnerKinds(world.table)
        self._caches: dict[str, ResourceCache] = {}  # by storage prefix
        self.graph = Graph()
        self._waiting: dict[str, Place] = {}  # uid → owner that is deleted in the foreground
        self._absent: dict[str, Place] = {}  # uid → owner that is gone, while it has dependents
        self._parked: dict[tuple[str, str], dict[Place, None]] = {}  # by (group, kind) of the owner
        self._taken: set[str] = set()  # prefixes whose objects were taken up once
        self._unread: set[str] = set()  # prefixes whose objects are not in the graph yet

    @property
    def complete(self) -> bool:
        """Whether all that is there is in the graph; before, nothing can be decided."""
        return not self._unread

    def statistics(self) -> dict[str, int]:
        """Numbers for tests."""
        return {
            "owned": len(self.graph),
            "waiting": len(self._waiting),
            "parked": sum(map(len, self._parked.values())),
        }

    # -- what is told ------------------------------------------------------------------------------

    def served(self, cache: ResourceCache, resource: Resource) -> None:
        self._caches[cache.prefix] = cache
        for place in self._parked.pop((resource.group, resource.stored.kind), ()):
            self._add(place)

    def loaded(self, cache: ResourceCache) -> None:
        if cache.prefix in IGNORED:
            return
        again = cache.prefix in self._taken  # there was a gap, and owners may have gone in it
        self._taken.add(cache.prefix)
        for prefix in self._taken if again else (cache.prefix,):
            if again or cache.list():
                self._unread.add(prefix)
                self._add(Contents(prefix))

    def ended(self, cache: ResourceCache) -> None:
        self._caches.pop(cache.prefix, None)
        self.graph.drop_all(cache.prefix)
        self._taken.discard(cache.prefix)
        for uid in [u for u, place in self._waiting.items() if place.prefix == cache.prefix]:
            del self._waiting[uid]

    def changed(self, cache: ResourceCache, event: Event) -> None:
        if cache.prefix in IGNORED:
            return
        item = event.item
        place = Place(cache.prefix, item.namespace, item.name)
        if event.type == DELETED:
            self._gone(place, item.uid)
            return
        self._owned(place, item)
        if _DELETING in item.tail and any(mark in item.tail for mark in _HELD):
            before = event.previous
            self._held(place, item, before.peek()["metadata"] if before is not None else {})
        elif self._waiting:
            self._waiting.pop(item.uid, None)

    def _gone(self, place: Place, uid: str) -> None:
        self._waiting.pop(uid, None)
        for owner in self.graph.drop(place):
            if owner.uid in self._waiting:
                self._add(self._waiting[owner.uid])
            parked = self._parked.get(_group_kind(owner))
            if parked is not None:
                parked.pop(place, None)
            self._forget_absent(owner)
        if self.graph.has_dependents(uid):
            self._absent[uid] = place
            self._add(Dependents(uid))

    def _forget_absent(self, owner: Owner) -> None:
        if not self.graph.has_dependents(owner.uid):
            self._absent.pop(owner.uid, None)

    def _owned(self, place: Place, item: Item, *, again: bool = False) -> None:
        """Note who owns an object; look at it if not all of them are certain to be there."""
        owners = owners_of(item.peek()["metadata"]) if _OWNED in item.tail else ()
        before = self.graph.owners(place)
        if owners != before:
            for uid in self.graph.put(place, owners):
                if uid in self._waiting:
                    self._add(self._waiting[uid])
            for owner in before:
                self._forget_absent(owner)
        elif not again:
            return
        if not all(self.certain(place, owner) for owner in owners):
            self._add(place)

    def _held(self, place: Place, item: Item, before: Json) -> None:
        """An object that is deleted and may be waiting for its dependents."""
        meta = item.peek()["metadata"]
        finalizers = meta.get("finalizers") or ()
        held_before = (before.get("finalizers") or ()) if "deletionTimestamp" in before else ()
        if "deletionTimestamp" not in meta:
            return
        if ORPHAN in finalizers:
            if ORPHAN not in held_before:
                self._add(place)
        elif FOREGROUND in finalizers:
            if meta["uid"] not in self._waiting:
                self._waiting[meta["uid"]] = place
                self._add(Dependents(meta["uid"]))
                self._add(place)
        else:
            self._waiting.pop(meta["uid"], None)

    async def take_up(self, prefix: str) -> None:
        """Put the objects of a prefix into the graph; what changes meanwhile is told beside it."""
        cache = self._caches.get(prefix)
        items = cache.list() if cache is not None else ()
        there = {Place(prefix, item.namespace, item.name): item.uid for item in items}
        for place in self.graph.under(prefix):
            if place not in there:
                self.graph.drop(place)
        for uid, place in list(self._waiting.items()):
            if place.prefix == prefix and there.get(place) != uid:
                del self._waiting[uid]
        for at, place in enumerate(there):
            item = cache.get(place.namespace, place.name) if cache is not None else None
            if item is not None and (_OWNED in item.tail or _DELETING in item.tail):
                self._owned(place, item, again=True)
                self._held(place, item, {})
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        self._unread.discard(prefix)

    # -- what is asked -----------------------------------------------------------------------------

    def cache(self, place: Place) -> ResourceCache | None:
        """Where the objects of a kind are; None if it is served no more."""
        return self._caches.get(place.prefix)

    def kind(self, owner: Owner) -> ResourceType | None:
        """What a reference means; None: a kind that nobody serves."""
        return self._kinds.find(owner.api_version, owner.kind)

    def park(self, place: Place, owner: Owner) -> None:
        """Look at it again once the kind of its owner is served."""
        self._parked.setdefault(_group_kind(owner), {})[place] = None

    def certain(self, place: Place, owner: Owner) -> bool:
        """Whether the cache has an owner, and it does not wait for its dependents to go."""
        resource = self.kind(owner)
        if resource is None or owner.uid in self._waiting:
            return False
        item = self._world.item(resource, *self.where(place, resource, owner))
        return item is not None and item.uid == owner.uid

    def where(self, place: Place, kind: ResourceType, owner: Owner) -> tuple[str, str]:
        """Namespace and name at which a reference looks for an owner."""
        return (place.namespace if kind.namespaced else "", owner.name)

    def awaited(self, place: Place, kind: ResourceType, owner: Owner) -> bool:
        """Whether an owner waits for its dependents to be deleted."""
        there = Place(kind.storage_prefix, *self.where(place, kind, owner))
        return self._waiting.get(owner.uid) == there

    def waits(self, place: Place) -> bool:
        """Whether an object waits for its dependents to be deleted."""
        cache = self._caches.get(place.prefix)
        item = cache.get(place.namespace, place.name) if cache is not None else None
        return item is not None and self._waiting.get(item.uid) == place

    def known_gone(self, place: Place, owner: Owner) -> bool:
        """Whether an owner was where a reference looks for it and is gone; maybe with its kind."""
        was = self._absent.get(owner.uid)
        return was is not None and was.name == owner.name and was.namespace in ("", place.namespace)


def _group_kind(owner: Owner) -> tuple[str, str]:
    return (owner.api_version.rpartition("/")[0], owner.kind)
