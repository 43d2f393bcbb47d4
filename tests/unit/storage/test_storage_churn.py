"""One lease that changes all the time: files stay small, nothing waits long, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

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


async def test_history_does_not_grow_with_the_number_of_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "HISTORY_BYTES_MIN", MB // 2)
    assert await churn(tmp_path, 12_000, callers=16, value=b"v" * 600) < 8 * MB


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_lease_updated_200_000_times(tmp_path: Path) -> None:
    assert await churn(tmp_path, 200_000, callers=1, value=b"v" * 600) < 20 * MB


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_leases_of_64_nodes_updated_200_000_times(tmp_path: Path) -> None:
    assert await churn(tmp_path, 200_000, callers=64, value=b"v" * 600) < 20 * MB


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_compaction_holds_no_write_up(tmp_path: Path) -> None:
    """30,000 revisions of 3 KB and some large ones are forgotten while a client writes on."""
    storage = await SqliteStorage.open(tmp_path)
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
    waits: list[float] = []
    revision = await storage.create(LEASE, b"x")
    while not compacting.done():
        start = time.perf_counter()
        revision = await storage.update(LEASE, b"x", expected_revision=revision)
        waits.append(time.perf_counter() - start)
    await compacting
    await storage.close()
    assert len(waits) > 50, "compaction went in large pieces"
    print(f"{len(waits)} writes during compaction, longest {max(waits) * 1000:.1f} ms")
    assert max(waits) < 0.05
