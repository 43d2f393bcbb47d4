"""What controllers of the start need of the registry, and how they apply many objects quickly.

`server.py` implements `Objects` over the write pipeline. Everything here may run again at the next
start: what exists stays, unless a merge says what it lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.errors import ApiError

Json = dict[str, Any]

# Writes of the start that are under way at once: enough to fill the store's group commit.
CONCURRENT_WRITES_MAX = 32
ATTEMPTS_MAX = 5  # against another server that does the same at the same time

# (what exists, what should) -> what to write, or None if nothing is missing. Pure; copies.
Merge = Callable[[Json, Json], Json | None]


class Objects(Protocol):
    """Reading and writing as the server itself. Objects are in the version named by apiVersion."""

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None:
        """The object as the store has it now."""

    async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        """Raises ApiError 409 if it exists."""

    async def update(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        """With the resourceVersion of `obj`. Raises ApiError 409 if it changed meanwhile, 404."""

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        """At once. Raises ApiError 404."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """An object that should exist."""

    group: str
    resource: str
    object: Json  # with kind, apiVersion, metadata
    merge: Merge | None = None  # None: what exists is left alone
    # (what exists, what should) -> must it be made anew, because it cannot be changed in place?
    replace: Callable[[Json, Json], bool] | None = None

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


async def ensure(objects: Objects, fixed: Fixed) -> None:
    """Create it, or bring what exists up to it."""
    group, resource, namespace = fixed.group, fixed.resource, fixed.namespace
    for attempt in range(ATTEMPTS_MAX):
        existing = await objects.get(group, resource, namespace, fixed.name)
        try:
            if existing is None:
                await objects.create(group, resource, namespace, fixed.object)
            elif fixed.replace is not None and fixed.replace(existing, fixed.object):
                await objects.delete(group, resource, namespace, fixed.name)
                await objects.create(group, resource, namespace, fixed.object)
            elif fixed.merge is not None:
                merged = fixed.merge(existing, fixed.object)
                if merged is not None:
                    await objects.update(group, resource, namespace, merged)
            return
        except ApiError as e:
            # It appeared, changed or vanished between the look and the write: look again.
            if e.code not in (404, 409) or attempt == ATTEMPTS_MAX - 1:
                raise


async def ensure_all(objects: Objects, wanted: Iterable[Fixed]) -> None:
    """All of them, in no order, many at once. Raises the first ApiError."""
    slots = asyncio.Semaphore(CONCURRENT_WRITES_MAX)

    async def one(fixed: Fixed) -> None:
        async with slots:
            await ensure(objects, fixed)

    try:
        async with asyncio.TaskGroup() as tasks:
            for fixed in wanted:
                tasks.create_task(one(fixed))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
