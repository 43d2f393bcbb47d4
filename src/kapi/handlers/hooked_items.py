"""Items whose version a webhook converts: asked for in bulk, once for all who want the same at the
same time.

Belongs to one `Form`. A thousand watchers of a version cost one call for an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kapi.cacher.event import Item
from kapi.registry.conversion import ConversionFailed, Conversions, Corrupt
from kapi.registry.resource import Version

Json = dict[str, Any]
Found = dict[Item, bytes | Corrupt]
SLICE = 100  # objects decoded and asked for together: at most some 5 ms between two turns
ROUNDS_MAX = 100  # times that others, who were asking for the same, gave up before it came


class Shape(Protocol):
    """The part of a Form that is needed here."""

    key: Any
    head: bytes
    version: Version

    def foreign(self, item: Item) -> bool: ...

    def encode(self, obj: Json) -> bytes: ...


class HookedItems:
    def __init__(self, form: Shape, conversions: Conversions) -> None:
        self._form = form
        self._conversions = conversions
        self._under_way: dict[Item, asyncio.Future[Found]] = {}

    async def converted(self, items: Sequence[Item]) -> Mapping[Item, bytes | Corrupt]:
        """The tails of those that are not shown as they are stored, or why there is none."""
        out: Found = {}
        for _ in range(ROUNDS_MAX):
            own: list[Item] = []
            awaited: set[asyncio.Future[Found]] = set()
            for item in items:
                if item in out or not self._form.foreign(item):
                    continue
                tail = item.known(self._form.key)
                if tail is not None:
                    out[item] = tail
                elif (future := self._under_way.get(item)) is not None:
                    awaited.add(future)
                else:
                    own.append(item)
            if own:
                out.update(await self._ask(own))
            if not awaited:
                return out
            await asyncio.wait(awaited)
            wanted = set(items)
            for future in awaited:
                out.update((i, tail) for i, tail in future.result().items() if i in wanted)
        raise ConversionFailed("the conversion webhook is asked by others who give up")

    async def _ask(self, items: Sequence[Item]) -> Found:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        for item in items:
            self._under_way[item] = future
        found: Found = {}
        try:
            for at in range(0, len(items), SLICE):
                part = items[at : at + SLICE]
                unreached = await self._part(part, found)
                if unreached is not None:  # it would be no better for the others
                    rest = items[at + SLICE :]
                    found.update((i, Corrupt(i.key, i.revision, unreached)) for i in rest)
                    break
                await asyncio.sleep(0)
        finally:  # without a result, those who wait ask themselves
            for item in items:
                del self._under_way[item]
            future.set_result(found)
        return found

    async def _part(self, items: Sequence[Item], found: Found) -> ConversionFailed | None:
        """Why nobody could be asked, if so."""
        unreached = None
        objects = await self._conversions.many(
            [item.peek() for item in items], self._form.version.name
        )
        for item, obj in zip(items, objects, strict=True):
            found[item] = self._tail(item, obj)
            if isinstance(obj, ConversionFailed) and obj.unreached:
                unreached = obj
        return unreached

    def _tail(self, item: Item, obj: Json | ConversionFailed) -> bytes | Corrupt:
        if isinstance(obj, ConversionFailed):
            return Corrupt(item.key, item.revision, obj)
        tail = self._form.encode(obj)[len(self._form.head) :]
        return item.encoded(self._form.key, lambda _: tail)
