"""Writes that build on what this server has last heard of an object, without asking the store.

To ask a store in another process what stands there takes as long as to write. The cache nearly
always knows it, and the store compares the revision when it writes: so a change of what the cache
has either succeeds, and then it was right, or it comes to nothing. But a reason may only be told of
what the store has: after a refusal, or when there was nothing to write, the store is asked. If the
cache was right, so is the answer; else, or if how the object is kept is to be replaced, the caller
begins anew with what the store has.

The real server does the same (`GuaranteedUpdate` with an object of the cache). Used by `write.py`
and `delete.py`; where the store answers by itself (SQLite, memory), nothing is ever heard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from kapi.cacher.cacher import Cacher
from kapi.errors import ApiError
from kapi.registry.resource import ResourceType
from kapi.storage.interface import Record

T = TypeVar("T")
# What this server has last heard of a name in a namespace; None: nothing.
Heard = Callable[[ResourceType, str, str], Record | None]


@dataclass(slots=True)
class Sight:
    """What an attempt to write builds on."""

    record: Record | None
    sent: bool = False  # the store was asked to write


def nothing(resource: ResourceType, namespace: str, name: str) -> Record | None:
    """A `Heard` for stores that are asked at no cost."""
    return None


def from_cache(cacher: Cacher) -> Heard:
    def heard(resource: ResourceType, namespace: str, name: str) -> Record | None:
        cache = cacher.cache(resource)
        if cache is None or not name:
            return None
        if not cache.source.ready:  # nobody tells it anything, and perhaps of another store
            return None
        item = cache.get(namespace if resource.namespaced else "", name)
        if item is None:
            return None
        # Nobody asks a record that is to be changed when it was created.
        return Record(item.key, item.value, item.revision, create_revision=0)

    return heard


async def on_hearsay(
    heard: Record,
    attempt: Callable[[Sight], Awaitable[T]],
    look: Callable[[], Awaitable[Record | None]],
    lost: tuple[type[Exception], ...],
) -> T | None:
    """An attempt on what was heard; None if it shows nothing, for the store has something else.

    `lost`: what an attempt raises when the store had something else. Raises ApiError as `attempt`
    does, if that is how things stand.
    """
    sight = Sight(heard)
    outcome: T | None = None
    refusal: ApiError | None = None
    try:
        outcome = await attempt(sight)
        if sight.sent:
            return outcome
    except lost:
        return None
    except ApiError as error:
        if sight.sent:
            raise
        refusal = error
    now = await look()
    if now is None or now.revision != heard.revision or now.stale:
        return None
    if refusal is not None:
        raise refusal
    return outcome
