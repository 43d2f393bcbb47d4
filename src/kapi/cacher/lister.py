"""`Lister`: what admission, authorizers and controllers see of a resource.

From the cache, at once, read-only. It may lag behind the store by a moment, never by more than the
cache does. The objects are shared: who wants to change one copies it first.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from kapi.cacher.cacher import Cacher
from kapi.cacher.event import Event, Item, Resource

Json = dict[str, Any]


class Lister:
    """The objects of one resource, decoded once per revision."""

    def __init__(self, cacher: Cacher, resource: Resource) -> None:
        self._cacher = cacher
        self._resource = resource

    def item(self, namespace: str, name: str) -> Item | None:
        cache = self._cacher.cache(self._resource)
        return cache.get(namespace, name) if cache is not None else None

    def get(self, namespace: str, name: str) -> Json | None:
        """The object in its stored form; the namespace is "" for a cluster-scoped one."""
        item = self.item(namespace, name)
        return item.object() if item is not None else None

    def list(self, namespace: str = "") -> builtins.list[Json]:
        """The objects of a namespace, or all, in the order of their keys."""
        cache = self._cacher.cache(self._resource)
        return [item.object() for item in cache.list(namespace)] if cache is not None else []

    def names(self) -> builtins.list[str]:
        """The names of all objects; nothing is decoded."""
        cache = self._cacher.cache(self._resource)
        return [item.name for item in cache.list()] if cache is not None else []

    def items(self) -> Sequence[Item]:
        """All, in the order of their keys, as the cache has them."""
        cache = self._cacher.cache(self._resource)
        return cache.list() if cache is not None else ()

    def changes_after(self, revision: int) -> Sequence[Event] | None:
        """The changes since a revision that was complete; None: so far back is not known."""
        cache = self._cacher.cache(self._resource)
        if cache is None or not cache.history.since <= revision <= cache.revision:
            return None
        return cache.history.after(revision, len(cache.history))

    @property
    def revision(self) -> int:
        """Up to where what it gives is complete."""
        cache = self._cacher.cache(self._resource)
        return cache.revision if cache is not None else self._cacher.revision

    @property
    def changed(self) -> int:
        """The revision of the last change among the objects: what was made from them stays right
        until it moves."""
        cache = self._cacher.cache(self._resource)
        return cache.changed if cache is not None else 0
