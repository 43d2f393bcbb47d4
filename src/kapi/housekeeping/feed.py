"""`Feed`: tells controllers what changes, from the watch cache of this process.

It takes the place of an informer for each kind: the cache holds everything already, so a controller
neither lists nor keeps a copy. What it is told of is in the cache when it is told; of one object it
hears every revision, in order. Kinds that come and go are told of, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi import log
from kapi.cacher.cacher import Cacher
from kapi.cacher.event import Event, Item, Resource
from kapi.cacher.resource_cache import Observer, ResourceCache

_log = log.get("controllers")

# What is called for an object: that changed (with the event), or that is there at the start.
Handler = Callable[[Item, Event | None], None]


class Feed:
    """An observer of the cacher. Whoever listens cannot stop the cache by failing."""

    def __init__(self) -> None:
        self._listeners: list[Observer] = []
        self._handlers: dict[str, list[Handler]] = {}
        self._everywhere: list[Handler] = []

    def listen(self, listener: Observer) -> None:
        """Tell it of everything, kinds included."""
        self._listeners.append(listener)

    def on(self, prefix: str, handler: Handler) -> None:
        """Tell it of the objects under one storage prefix: first those that are there."""
        self._handlers.setdefault(prefix, []).append(handler)

    def on_changes(self, handler: Handler) -> None:
        """Tell it of the changes of all objects."""
        self._everywhere.append(handler)

    def start(self, cacher: Cacher) -> None:
        """Tell of what is there, then of what changes."""
        cacher.observe(self)

    def stop(self, cacher: Cacher) -> None:
        """Hear of nothing any more."""
        cacher.ignore(self)

    # -- the cacher's observer ---------------------------------------------------------------------

    def served(self, cache: ResourceCache, resource: Resource) -> None:
        for listener in self._listeners:
            _safely(listener.served, cache, resource)

    def loaded(self, cache: ResourceCache) -> None:
        for listener in self._listeners:
            _safely(listener.loaded, cache)
        for handler in self._handlers.get(cache.prefix, ()):
            for item in cache.list():
                _safely(handler, item, None)

    def changed(self, cache: ResourceCache, event: Event) -> None:
        for listener in self._listeners:
            _safely(listener.changed, cache, event)
        for handler in self._handlers.get(cache.prefix, ()):
            _safely(handler, event.item, event)
        for handler in self._everywhere:
            _safely(handler, event.item, event)

    def ended(self, cache: ResourceCache) -> None:
        for listener in self._listeners:
            _safely(listener.ended, cache)


def _safely(call: Callable[..., None], *args: Any) -> None:
    try:
        call(*args)
    except Exception:
        _log.exception("a controller missed a change", about=str(args[-1] or args[0]))
