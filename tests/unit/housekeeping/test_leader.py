"""One of several servers runs the controllers; another one goes on when it is gone, on a clock that
the test turns."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from served import ManualClock, settle

from kapi import errors
from kapi.clock import Entropy
from kapi.housekeeping import leader as module
from kapi.housekeeping.leader import DEADLINE_S, LEASE_S, Leader

Json = dict[str, Any]


class Store:
    """One lease, with versions."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.version = 0

    def put(self, lease: Json) -> None:
        self.version += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    @property
    def spec(self) -> Json:
        assert self.lease is not None
        spec: Json = self.lease["spec"]
        return spec


class Server:
    """A server's way to the store, which can be cut; `works` while it does the work."""

    def __init__(self, store: Store, clock: ManualClock, seed: int) -> None:
        self.store = store
        self.cut = False
        self.works = False
        self.leader = Leader(clock, Entropy(seed), f"host{seed}", self, self.seen)
        self.task: asyncio.Task[None] | None = None
        self._cached: Json | None = None

    def seen(self) -> Json | None:
        if not self.cut:
            self._cached = self.store.lease
        return self._cached

    def _reach(self) -> None:
        if self.cut:
            raise errors.service_unavailable("the store is not there", 1)

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None:
        self._reach()
        return copy.deepcopy(self.store.lease)

    async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        self._reach()
        if self.store.lease is not None:
            raise errors.already_exists(group, resource, obj["metadata"]["name"])
        self.store.put(obj)

    async def update(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        self._reach()
        if obj["metadata"]["resourceVersion"] != str(self.store.version):
            raise errors.conflict(group, resource, obj["metadata"]["name"], "it changed")
        self.store.put(obj)

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        raise AssertionError("a lease is never removed")

    async def work(self) -> None:
        self.works = True
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.leader.run(self.work))

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[tuple[ManualClock, Store, list[Server]]]:
    clock, store = ManualClock(), Store()
    made = [Server(store, clock, seed) for seed in range(1, count + 1)]
    try:
        for server in made:
            server.start()
            await settle()
        yield clock, store, made
    finally:
        for server in made:
            await server.stop()


def working(made: Sequence[Server]) -> list[int]:
    return [at for at, server in enumerate(made) if server.works]


async def until(clock: ManualClock, made: Sequence[Server], wanted: list[int]) -> float:
    """Seconds until these work; never do two at a time."""
    for step in range(400):
        assert len(working(made)) <= 1
        if working(made) == wanted:
            return step / 10
        await clock.advance(0.1)
    raise AssertionError(f"{working(made)} work, not {wanted}")


async def test_the_first_leads_and_renews() -> None:
    async with servers(3) as (clock, store, made):
        assert working(made) == [0]
        first = dict(store.spec)
        assert first["holderIdentity"] == made[0].leader.holder
        assert made[0].leader.holder.startswith("host1_")
        assert (first["leaseDurationSeconds"], first["leaseTransitions"]) == (15, 0)
        assert first["acquireTime"] == first["renewTime"]
        await clock.advance(120)
        assert working(made) == [0]
        assert store.spec["acquireTime"] == first["acquireTime"]
        assert store.spec["renewTime"] > first["renewTime"]
        assert 55 <= store.version <= 62  # a write each two seconds, and none of the others


async def test_a_leader_that_is_gone() -> None:
    """It cannot even say so: another takes over within the lease and two seconds."""
    async with servers(2) as (clock, store, made):
        await clock.advance(7)
        made[0].cut = True
        assert made[0].task is not None
        made[0].leader._release = settle  # type: ignore[method-assign]
        made[0].task.cancel()
        await settle()
        took = await until(clock, made, [1])
        assert LEASE_S - 2 <= took <= LEASE_S + 2
        assert store.spec["leaseTransitions"] == 1
        assert store.spec["holderIdentity"] == made[1].leader.holder


async def test_a_leader_that_shuts_down() -> None:
    async with servers(2) as (clock, store, made):
        await clock.advance(7)
        await made[0].stop()
        assert store.spec["holderIdentity"] == ""
        assert store.spec["leaseDurationSeconds"] == 1
        assert await until(clock, made, [1]) <= 1
        assert store.spec["leaseTransitions"] == 1


async def test_a_leader_that_is_cut_off_stops_before_another_begins() -> None:
    async with servers(2) as (clock, _, made):
        await clock.advance(7)
        made[0].cut = True
        stopped = await until(clock, made, [])
        assert DEADLINE_S - 2 <= stopped <= DEADLINE_S + 2.1
        begun = await until(clock, made, [1])
        assert stopped + begun <= LEASE_S + 2
        made[0].cut = False
        await clock.advance(60)
        assert working(made) == [1]
        await made[1].stop()
        assert await until(clock, made, [0]) <= 1


async def test_a_short_trouble_changes_nothing() -> None:
    async with servers(2) as (clock, store, made):
        for _ in range(5):
            made[0].cut = True
            await clock.advance(5)
            made[0].cut = False
            await clock.advance(5)
        assert working(made) == [0]
        assert store.spec["leaseTransitions"] == 0


async def test_whoever_took_it_has_it() -> None:
    """Somebody else wrote the lease: the holder stops at its next look."""
    async with servers(1) as (clock, store, made):
        await clock.advance(3)
        assert store.lease is not None
        store.put({**store.lease, "spec": {**store.spec, "holderIdentity": "another"}})
        assert await until(clock, made, []) <= module.RETRY_S + 0.1
        await made[0].stop()
        assert store.spec["holderIdentity"] == "another"  # is not given back for it


async def test_fields_of_others_stay() -> None:
    async with servers(1) as (clock, store, made):
        assert store.lease is not None
        meta = {**store.lease["metadata"], "labels": {"a": "b"}}
        store.put({**store.lease, "metadata": meta, "spec": {**store.spec, "strategy": "x"}})
        await clock.advance(5)
        assert working(made) == [0]
        assert store.spec["strategy"] == "x"
        assert store.lease["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize("seed", range(6))
async def test_never_two(seed: int) -> None:
    """Servers that are cut, come back, stop and start again, at any time."""
    chance = Entropy(seed)
    async with servers(3) as (clock, _, made):
        for _ in range(300):
            await clock.advance(chance.jitter(0.05, 3))
            assert len(working(made)) <= 1
            server = made[chance.below(3)]
            action = chance.below(6)
            if action == 0:
                server.cut = not server.cut
            elif action == 1:
                await server.stop()
                server.task = None
            elif action == 2 and server.task is None:
                server.start()
        for server in made:
            server.cut = False
            if server.task is None:
                server.start()
        await clock.advance(40)
        assert len(working(made)) == 1
