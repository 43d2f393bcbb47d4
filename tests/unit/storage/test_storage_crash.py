"""Kill the process that writes, at a random moment, again and again: nothing acknowledged is lost.

The child writes with several callers and follows a watch, which resumes where the watch of the
child before it was. It reports each acknowledged write and each event on its standard output,
which the parent keeps. At the end the store is sound, holds every acknowledged write, and the
watches of all children together saw every event once.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from validators import ordered, unique

from kapi.storage.check import check_file
from kapi.storage.interface import Event
from kapi.storage.sqlite import SqliteStorage

CHILD = textwrap.dedent(
    """
    import asyncio, json, os, random, sys
    from pathlib import Path
    from kapi.storage.sqlite import SqliteStorage

    def report(*what):
        os.write(1, (json.dumps(what) + "\\n").encode())  # one call, no buffer to lose

    async def caller(storage, run, name, random):
        for i in range(10**9):
            key = f"/registry/{run}/{name}/{i}"
            value = random.randbytes(random.choice((10, 3000, 20000)))
            revision = await storage.create(key, value)
            report("put", key, revision, value.hex()[:20])
            for _ in range(random.randrange(3)):
                value = random.randbytes(200)
                revision = await storage.update(key, value, expected_revision=revision)
                report("put", key, revision, value.hex()[:20])
            if random.random() < 0.5:
                _, revision = await storage.delete(key, expected_revision=revision)
                report("deleted", key, revision, "")

    async def follow(storage, after):
        async for batch in storage.watch("/registry/", after_revision=after):
            for e in batch:
                report("event", e.key, e.revision, e.type)

    async def compact(storage):
        while True:
            await asyncio.sleep(0.05)
            report("compact", "", await storage.compact_revision(), "")
            await storage.compact(max(await storage.compact_revision(),
                                      await storage.current_revision() - 1500))

    async def main(directory, run, seed, after):
        storage = await SqliteStorage.open(Path(directory))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(storage, after))
            tasks.create_task(compact(storage))
            for name in range(12):
                tasks.create_task(caller(storage, run, name, random.Random(f"{seed}{name}")))

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
    """
)


class Seen:
    """What all children have reported."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, tuple[int, str]] = {}  # key: revision, start of the value
        self.events: list[tuple[int, str, str]] = []

    def take(self, output: bytes) -> None:
        for line in output.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue  # killed in the middle of the report
            what, key, revision, detail = json.loads(line)
            if what == "event":
                self.events.append((revision, key, detail))
            elif what in ("put", "deleted"):
                self.acknowledged[key] = (revision, detail)

    @property
    def last_event(self) -> int:
        return self.events[-1][0] if self.events else 1


def run_and_kill(directory: Path, run: int, seed: int, seen: Seen, seconds: float) -> None:
    command = [sys.executable, "-c", CHILD, str(directory), str(run), str(seed)]
    with subprocess.Popen([*command, str(seen.last_event)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()  # it is at work
        deadline = time.monotonic() + seconds
        chunks = [first]
        while time.monotonic() < deadline:
            chunks.append(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        chunks.append(child.stdout.read())
        assert child.wait() == -signal.SIGKILL
    seen.take(b"".join(chunks))


async def verify(directory: Path, seen: Seen) -> None:
    assert check_file(directory) == []
    storage = await SqliteStorage.open(directory)
    records = {r.key: r for r in (await storage.list("/registry/")).records}
    events = {(e.revision, e.key, e.type) for e in await all_events(storage, seen.last_event)}
    current = await storage.current_revision()
    await storage.close()
    for key, (revision, detail) in seen.acknowledged.items():
        assert revision <= current
        record = records.get(key)
        if record is None:
            # Deleted, and acknowledged or killed before the answer could be told.
            later = {e for e in [*seen.events, *events] if e[1] == key and e[0] >= revision}
            assert any(e[2] == "delete" for e in later), f"{key} of {revision} is lost"
        elif record.revision == revision:
            assert record.value.hex()[:20] == detail
        else:
            assert record.revision > revision, f"{key} fell back from {revision}"
    assert [e[0] for e in seen.events] == list(range(2, seen.last_event + 1)), "an event is missing"
    assert {revision for revision, _, _ in events} == set(range(seen.last_event + 1, current + 1))


async def all_events(storage: SqliteStorage, after: int) -> list[Event]:
    events: list[Event] = []
    current = await storage.current_revision()
    watch = storage.watch("/registry/", after_revision=after)
    while (events[-1].revision if events else after) < current:
        events += await anext(watch)
    ordered(events)
    unique(events)
    return events


async def crash(directory: Path, rounds: int, seed: int) -> None:
    print(f"seed {seed}")
    moments = random.Random(seed)
    seen = Seen()
    for run in range(rounds):
        run_and_kill(directory, run, seed, seen, moments.uniform(0.0, 0.25))
        await verify(directory, seen)
    assert len(seen.acknowledged) > rounds, "the children did not get to write"


async def test_three_crashes(tmp_path: Path) -> None:
    await crash(tmp_path, 3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [2])
async def test_twenty_crashes(tmp_path: Path, seed: int) -> None:
    await crash(tmp_path, 20, seed)
