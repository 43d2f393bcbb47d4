"""A store that fails at random, by a seed, and keeps a true record of what was committed.

Once it is `busy`, every call may take some turns of the loop. It may raise `Unavailable`: before
anything happened, or after the commit, as when the answer is lost. `history` is what the simulation
compares all answers and events with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import orjson

from kapi.storage.interface import Event, ListResult, Record, Storage, Unavailable

T = TypeVar("T")
TURNS_MAX = 4  # of the loop that a call takes


@dataclass(frozen=True, slots=True)
class Commit:
    """One change of one object. `value` is None where it was removed."""

    revision: int
    key: str
    value: Mapping[str, Any] | None


class FaultyStorage:
    """A `Storage` around another one. `rate`: the share of calls that fail."""

    def __init__(self, inner: Storage, seed: int) -> None:
        self._inner = inner
        self._random = Random(f"storage/{seed}")
        self.rate = 0.0
        self.busy = False  # calls take turns of the loop, so that others come between
        self.history: list[Commit] = []
        self.failures = 0

    async def _turns(self) -> None:
        for _ in range(self._random.randrange(TURNS_MAX) if self.busy else 0):
            await asyncio.sleep(0)

    def _fail(self, what: str) -> None:
        if self._random.random() < self.rate:
            self.failures += 1
            raise Unavailable(f"simulated failure {self.failures} {what}")

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        await self._turns()
        self._fail("of a get")
        return await self._inner.get(key, revision=revision)

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        await self._turns()
        self._fail("of a list")
        return await self._inner.list(
            prefix, limit=limit, start_after=start_after, revision=revision
        )

    async def create(self, key: str, value: bytes) -> int:
        await self._turns()
        self._fail("before a create")
        revision = await self._inner.create(key, value)
        return await self._committed(key, value, revision)

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        await self._turns()
        self._fail("before an update")
        revision = await self._inner.update(key, value, expected_revision=expected_revision)
        return await self._committed(key, value, revision)

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        await self._turns()
        self._fail("before a delete")
        record, revision = await self._inner.delete(key, expected_revision=expected_revision)
        await self._committed(key, None, revision)
        return record, revision

    async def _committed(self, key: str, value: bytes | None, revision: int) -> int:
        stored = None if value is None else orjson.loads(value)
        self.history.append(Commit(revision, key, stored))
        await self._turns()
        self._fail("after a commit")
        return revision

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        async for batch in self._inner.watch(prefix, after_revision=after_revision):
            await self._turns()
            self._fail("of a watch")
            yield batch

    async def current_revision(self) -> int:
        await self._turns()
        self._fail("of a look at the revision")
        return await self._inner.current_revision()

    async def compact(self, revision: int) -> None:
        await self._turns()
        await self._inner.compact(revision)

    async def compact_revision(self) -> int:
        return await self._inner.compact_revision()

    async def close(self) -> None:
        await self._inner.close()

    def statistics(self) -> Mapping[str, int]:
        return self._inner.statistics()
