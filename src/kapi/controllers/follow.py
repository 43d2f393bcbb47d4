"""List and watch in process, for controllers: every object that is there, then every change.

A controller is a loop over `follow`. It sees objects of the cache: read-only, in the stored form.
What it missed while the cache was made anew it sees again as additions; an object that went
meanwhile it does not see.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from kapi.cacher.event import Event, Item

Json = dict[str, Any]


class Watching(Protocol):
    async def batch(self) -> Sequence[tuple[str, Any]]:
        """What is next; nothing: the watch is over."""

    def end(self) -> None: ...


# Starts a watch that tells first what is there; None once the server stops.
Begin = Callable[[], Awaitable[Watching | None]]


async def follow(begin: Begin) -> AsyncIterator[tuple[str, Json]]:
    """`(ADDED | MODIFIED | DELETED, object)`, until the server stops."""
    while (watcher := await begin()) is not None:
        try:
            while deliveries := await watcher.batch():
                for kind, what in deliveries:
                    if isinstance(what, Item):
                        yield kind, what.object()
                    elif isinstance(what, Event):
                        yield kind, what.item.object()
        finally:
            watcher.end()
