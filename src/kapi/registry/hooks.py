"""Hooks around the write itself: what must be reserved before an object is stored and given back
if it is not.

Allocation of addresses and ports is the case (`registry/allocate.py`).
"""

from __future__ import annotations

from typing import Any, Protocol

from kapi.registry.resource import ResourceType

Json = dict[str, Any]


class Reservation(Protocol):
    """What one write took. Either `undo` or `commit` ends it, once."""

    def undo(self) -> None:
        """The write did not happen (it failed, or was a dry run): give back what it took."""

    async def commit(self) -> None:
        """The change is stored: give back what it left behind."""


class WriteHook(Protocol):
    def handles(self, resource: ResourceType, subresource: str) -> bool: ...

    async def before_write(self, obj: Json, old: Json | None) -> Reservation:
        """Reserve, and put what was reserved into `obj`. Raises ApiError to refuse; then nothing is
        held.
        """


class DeleteHook(Protocol):
    def handles(self, resource: ResourceType, subresource: str) -> bool: ...

    async def after_delete(self, obj: Json) -> None:
        """The object is gone: give back what was reserved for it."""
