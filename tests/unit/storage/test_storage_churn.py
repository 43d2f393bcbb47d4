"""One lease that changes all the time: files stay small, nothing waits long, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from validators import ordered, unique

from kapi.storage import compaction
from kapi.storage.check import check_file
from kapi.storage.sqlite import SqliteStorage

LEASE = "/registry/leases/kube-node-lease/node-1"
MB = 1024 * 1024


def size_of(directory: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(directory))


async def churn(directory: Path, updates: int, *, callers: int, value: bytes) -> int:
    """Update leases, one per caller, while a watch reads along; returns the largest size seen."""
    storage = await SqliteStorage.open(directory)
    watch = storage.watch("/registry/", after_revision=1)
    last = 1 + callers + updates // callers * callers
    largest = 0

    async def write(name: int) -> None:
        nonlocal largest
        key = LEASE + (str(name) if callers > 1 else "")
        revision = await storage.create(key, value)
        for i in range(updates // callers):
            revision = await storage.update(key, value, expected_revision=revision)
            if i % 500 == 0:
                largest = max(largest, size_of(directory))

    async def read() -> None:
        seen = 1
        async for batch in watch:
            ordered(batch)
            unique(batch)
            assert batch[0].revision == seen + 1
            seen = batch[-1].revision
            if seen == last:
                return

    await asyncio.gather(read(), *(write(name) for name in range(callers)))
    assert await storage.current_revision() == last
    await storage.close()
    assert check_file(directory) == []
    return max(largest, size_of(directory))


class Pieces:
    """Looks on as the writer's thread does upkeep between writes."""

    def __init__(self, storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.longest = 0.0  # seconds of the processor that a piece took
        self.waited_for = 0  # pieces that began while one write was waiting, at most
        self._seen: dict[int, tuple[int, Any]] = {}
        upkeep, writer = storage._upkeep, storage._writer
        self._step, self._submit, self._write = upkeep.step, writer.submit, writer._write
        monkeypatch.setattr(upkeep, "step", self.step)
        monkeypatch.setattr(writer, "submit", self.submit)
        monkeypatch.setattr(writer, "_write", self.write)

    def step(self) -> Any:
        self.begun += 1
        start = time.thread_time()
        answers = self._step()
        self.longest = max(self.longest, time.thread_time() - start)
        return answers

    def submit(self, job: Any) -> None:
        self._submit(job)
        self._seen[id(job)] = self.begun, job  # perhaps too late to count; never too early

    def write(self, writes: list[Any]) -> None:
        for write in writes:
            begun, _ = self._seen.get(id(write), (self.begun, None))
            self.waited_for = max(self.waited_for, self.begun - begun)
        self._write(writes)


async def test_history_does_not_grow_with_the_number_of_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "HISTORY_BYTES_MIN", MB // 2)
    assert await churn(tmp_path, 12_000, callers=16, value=b"v" * 600) < 8 * MB


@pytest.mark.slow
@pytest.mark.timeout(900)  # each update is a sync
async def test_a_lease_updated_60_000_times(tmp_path: Path) -> None:
    assert await churn(tmp_path, 60_000, callers=1, value=b"v" * 600) < 20 * MB


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_leases_of_64_nodes_updated_200_000_times(tmp_path: Path) -> None:
    assert await churn(tmp_path, 200_000, callers=64, value=b"v" * 600) < 20 * MB


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_compaction_holds_no_write_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30,000 revisions of 3 KB and some large ones are forgotten while a client writes on."""
    storage = await SqliteStorage.open(tmp_path)
    pieces = Pieces(storage, monkeypatch)
    for i in range(60):  # live data, so that the bound in bytes keeps the history
        await storage.create(f"/registry/live/{i}", b"v" * 2 * MB)

    async def fill(name: int) -> None:
        key = f"/registry/pods/default/{name}"
        revision = await storage.create(key, b"v" * 3000)
        for _ in range(3_000):
            revision = await storage.update(key, b"v" * 3000, expected_revision=revision)

    await asyncio.gather(*(fill(name) for name in range(10)))
    key = "/registry/configmaps/default/large"
    revision = await storage.create(key, b"v" * MB)
    for _ in range(10):
        revision = await storage.update(key, b"v" * MB, expected_revision=revision)
    assert await storage.compact_revision() == 0

    compacting = asyncio.ensure_future(storage.compact(await storage.current_revision()))
    before = pieces.begun
    revision = await storage.create(LEASE, b"x")
    while not compacting.done():
        revision = await storage.update(LEASE, b"x", expected_revision=revision)
    await compacting
    await storage.close()
    assert pieces.begun - before > 100, "compaction went in large pieces"
    assert pieces.waited_for <= 1, "a write waits for the piece under way at most"
    assert pieces.longest < 0.05
