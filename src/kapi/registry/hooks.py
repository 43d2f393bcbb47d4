"""Hooks around the write itself: what must be reserved before an object is stored and given back
if it is not.

Allocation of addresses and ports is the case (`registry/allocation/allocate.py`). A number must
never be free while a stored object has it. So what begins with the first step that others can see
runs to its end, also when the request is given up meanwhile; and where the store cannot say whether
it wrote, everything stays reserved until it is counted anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from kapi.errors import ApiError
from kapi.registry.change import Written
from kapi.registry.resource import ResourceType

Json = dict[str, Any]
T = TypeVar("T")
UNCERTAIN = (503, 504)  # the write may have been made


class Occupied(Exception):
    """What was reserved turned out to be somebody else's: reserve anew."""


class Reservation(Protocol):
    """What one write took. One of `undo`, `commit` and `doubt` ends it, once."""

    async def secure(self) -> None:
        """The write comes next: make what others must see of it first. Raises Occupied, ApiError.
        Not for dry runs.
        """

    async def undo(self) -> None:
        """The write did not happen (it failed, or was a dry run): give back what it took."""

    async def commit(self) -> None:
        """The change is stored: give back what it left behind."""

    def doubt(self) -> None:
        """Nobody knows whether the change is stored: nothing is given back."""


class Hook(Protocol):
    def handles(self, resource: ResourceType, subresource: str) -> bool:
        """Whether writes of it reserve something."""

    def frees(self, resource: ResourceType) -> bool:
        """Whether something is given back when one of it is gone."""

    async def before_write(self, obj: Json, old: Json | None) -> Reservation:
        """Reserve, and put what was reserved into `obj`. Raises ApiError to refuse; then nothing is
        held.
        """

    async def after_delete(self, obj: Json) -> None:
        """The object is gone: give back what was reserved for it."""


class Held:
    """The reservations of one attempt to write."""

    def __init__(self, hooks: Sequence[Hook], resource: ResourceType, subresource: str) -> None:
        self._write = [h for h in hooks if h.handles(resource, subresource)]
        self._delete = [h for h in hooks if h.frees(resource)]
        self._reservations: list[Reservation] = []

    async def take(self, obj: Json, old: Json | None) -> None:
        for hook in self._write:
            self._reservations.append(await hook.before_write(obj, old))

    async def undo(self) -> None:
        """Give back what is held still."""
        held, self._reservations = self._reservations, []
        for reservation in reversed(held):
            await reservation.undo()

    async def store(
        self, put: Callable[[], Coroutine[Any, Any, Written]], old: Json | None
    ) -> Written:
        """Write it, as `put` does. Raises what `put` raises, and Occupied."""
        if not self._write and not self._delete:
            return await put()
        return await to_the_end(self._store(put, old))

    async def _store(
        self, put: Callable[[], Coroutine[Any, Any, Written]], old: Json | None
    ) -> Written:
        try:
            for reservation in self._reservations:
                await reservation.secure()
            written = await put()
        except Exception as e:
            if isinstance(e, ApiError) and e.code in UNCERTAIN:
                for reservation in self._reservations:
                    reservation.doubt()
                self._reservations = []
            await self.undo()
            raise
        if written.deleted:  # as by the write that takes away the last finalizer
            await self.undo()
            assert old is not None, "what is new is not removed"
            for hook in self._delete:
                await hook.after_delete(old)
        held, self._reservations = self._reservations, []
        for reservation in held:
            await reservation.commit()
        return written


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await something that must not stop half-way. Who is cancelled meanwhile is so afterwards."""
    task = asyncio.get_running_loop().create_task(work)
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as e:
            interrupted = e
    if interrupted is not None:
        task.exception()  # its caller is gone
        raise interrupted
    return task.result()
