"""Hooks around the write itself: what must be reserved before an object is stored and given back if it is not.

Allocation of addresses and ports is the case (`registry/allocate.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kapi.registry.resource import ResourceType

Json = dict[str, Any]
Undo = Callable[[], None]


class WriteHook(Protocol):
    def handles(self, resource: ResourceType, subresource: str) -> bool: ...

    async def before_write(self, obj: Json, old: Json | None) -> Undo:
        """Reserve, and put what was reserved into `obj`. Raises ApiError to refuse; the result gives it back."""


class DeleteHook(Protocol):
    def handles(self, resource: ResourceType, subresource: str) -> bool: ...

    async def after_delete(self, obj: Json) -> None:
        """The object is gone: give back what was reserved for it."""
