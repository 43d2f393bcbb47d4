"""The compactor keeps an interval of history, and goes on after a failure."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kapi.storage.compaction import (
    HISTORY_BYTES_MIN,
    INTERVAL_DEFAULT,
    Compactor,
    history_bytes_max,
)
from kapi.storage.interface import Unavailable
from kapi.storage.memory import MemoryStorage

LEASE = "/registry/leases/ns/a"


class FakeClock:
    """Time that a test moves; a sleep ends when its time has come."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, future))
        await future

    async def advance(self, seconds: float) -> None:
        until = self.time + seconds
        while True:
            for _ in range(10):  # a store in memory waits for nothing but turns
                await asyncio.sleep(0)
            due = sorted((s for s in self._sleepers if s[0] <= until), key=lambda s: s[0])
            if not due:
                break
            self.time = due[0][0]
            self._sleepers.remove(due[0])
            due[0][1].set_result(None)
        self.time = until


async def touch(storage: MemoryStorage, times: int) -> int:
    record = await storage.get(LEASE)
    revision = record.revision if record else await storage.create(LEASE, b"0")
    for _ in range(times):
        revision = await storage.update(LEASE, b"x", expected_revision=revision)
    return revision


async def test_an_interval_of_history_stays() -> None:
    storage, clock = MemoryStorage(), FakeClock()
    compactor = Compactor(storage, clock, interval=INTERVAL_DEFAULT)
    task = asyncio.ensure_future(compactor.run())
    first = await touch(storage, 10)
    await clock.advance(299)
    assert await storage.compact_revision() <= 1  # the revision noted at the start, at most
    await touch(storage, 10)
    await clock.advance(62)
    # Everything from the last 300 s can be read, and little more.
    assert await storage.compact_revision() == first
    await clock.advance(400)
    assert await storage.compact_revision() == await storage.current_revision()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_idle_store_is_compacted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, clock = MemoryStorage(), FakeClock()
    await touch(storage, 10)
    calls: list[int] = []
    compact = storage.compact

    async def counted(revision: int) -> None:
        calls.append(revision)
        await compact(revision)

    monkeypatch.setattr(storage, "compact", counted)
    compactor = Compactor(storage, clock, interval=10)
    for _ in range(30):
        await compactor.step()
        clock.time += 1
    assert calls == [await storage.current_revision()]


async def test_a_failure_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, clock = MemoryStorage(), FakeClock()
    last = await touch(storage, 10)
    compactor = Compactor(storage, clock, interval=10)
    await compactor.step()
    clock.time += 11

    async def failing(_: int) -> None:
        raise Unavailable("full")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "compact", failing)
        await compactor.step()
    assert compactor.failures == 1
    clock.time += 1
    await compactor.step()
    assert await storage.compact_revision() == last


async def test_the_bound_in_bytes_may_be_faster() -> None:
    storage, clock = MemoryStorage(), FakeClock()
    await touch(storage, 10)
    compactor = Compactor(storage, clock, interval=10)
    await compactor.step()
    last = await touch(storage, 10)
    await storage.compact(last)
    clock.time += 11
    await compactor.step()
    assert await storage.compact_revision() == last
    assert compactor.failures == 0


def test_history_may_be_as_large_as_what_lives() -> None:
    assert history_bytes_max(0) == HISTORY_BYTES_MIN
    assert history_bytes_max(10 * HISTORY_BYTES_MIN) == 10 * HISTORY_BYTES_MIN
