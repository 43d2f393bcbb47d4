"""The whole server on a fake clock, over a store that fails at random, with clients that do random
things. A failure names its seed: `KAPI_SIMULATION_SEEDS=17,18 pytest tests/simulation` replays it.

What holds for every seed: no request fails in a way of ours, what was acknowledged is never lost,
what was refused is never stored, every read shows what stood at its version, every watch tells each
change once and in order, and in the end the cache holds what the store holds.
"""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest
from served import ManualClock
from server_harness import running
from simulated_clients import Actor, Tokens, Truth, Watcher
from simulated_storage import FaultyStorage

from kapi.storage.interface import Compacted
from kapi.storage.memory import MemoryStorage

ACTORS = 5
WATCHERS = 3
OPERATIONS = 60  # of each actor
SEEDS = [int(s) for s in os.environ.get("KAPI_SIMULATION_SEEDS", "1,2,3,4").split(",")]
RATES = (0.0, 0.02, 0.1)


async def simulate(seed: int) -> list[str]:
    """One run; the log of what the clients did."""
    random = Random(f"run/{seed}")
    store = FaultyStorage(MemoryStorage(), seed)
    clock = ManualClock()
    truth, tokens = Truth(store.history), Tokens()
    async with running(storage=store, clock=clock, seed=seed) as run:
        actors = [Actor(n, seed, run.client, truth, tokens) for n in range(ACTORS)]
        watchers = [Watcher(seed, n, run.client, truth) for n in range(WATCHERS)]
        store.rate, store.busy = random.choice(RATES), True
        async with asyncio.TaskGroup() as group:
            for watcher in watchers:
                group.create_task(watcher.run())
            working = [group.create_task(actor.run(OPERATIONS)) for actor in actors]
            while not all(task.done() for task in working):
                await clock.advance(random.choice((0, 0.01, 0.3, 1, 4)))
                if random.random() < 0.05:
                    await compact(store, random)
            store.rate = 0.0
            await clock.advance(5)
            last = await store.current_revision()
            for _ in range(2_000):
                behind = [
                    w for w in watchers if w.version and w.events[-1:] != truth.events(0)[-1:]
                ]
                if not behind:
                    break
                await clock.advance(0.1)
            for watcher in watchers:
                watcher.stop = True
            await clock.advance(1)
        for watcher in watchers:
            watcher.check()
        tokens.check(truth)
        assert last <= await store.current_revision()
        assert len(tokens.acknowledged) > OPERATIONS // 2, "too little was written"
    return [line for actor in actors for line in actor.log]


async def compact(store: FaultyStorage, random: Random) -> None:
    current = store.statistics()["revision"]
    try:
        await store.compact(max(1, current - random.randrange(40)))
    except Compacted:
        return  # it is further already


async def checked(seed: int) -> list[str]:
    try:
        return await simulate(seed)
    except BaseException as error:
        error.add_note(f"replay with KAPI_SIMULATION_SEEDS={seed}")
        raise


@pytest.mark.parametrize("seed", SEEDS)
async def test_simulation(seed: int) -> None:
    await checked(seed)


async def test_a_seed_replays() -> None:
    assert await checked(SEEDS[0]) == await checked(SEEDS[0])


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_simulations() -> None:
    for seed in range(100, 250):
        await checked(seed)
