"""The runner: keys are synced, failures come back, a bug does not stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from served import ManualClock, settle

from kapi.cacher.timers import Timers
from kapi.errors import ApiError
from kapi.housekeeping import runner
from kapi.housekeeping.queue import WorkQueue


class Recording:
    """A controller that does as it is told."""

    name = "recording"

    def __init__(self, timers: Timers, workers: int = 2) -> None:
        self.queue: WorkQueue[str] = WorkQueue(timers)
        self.workers = workers
        self.synced: list[str] = []
        self.busy: dict[str, int] = {}
        self.most = 0
        self.act: Callable[[str], float | None] = lambda key: None

    async def sync(self, key: str) -> float | None:
        self.busy[key] = self.busy.get(key, 0) + 1
        self.most = max(self.most, self.busy[key])
        await settle()
        self.busy[key] -= 1
        self.synced.append(key)
        return self.act(key)


@asynccontextmanager
async def running(controller: Recording) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run(controller))
        yield
        task.cancel()


async def test_one_key_is_never_with_two_workers() -> None:
    controller = Recording(Timers(ManualClock()), workers=4)
    async with running(controller):
        for _ in range(5):
            controller.queue.add("a")
            controller.queue.add("b")
            await asyncio.sleep(0)
        for _ in range(5):
            await settle()
    assert set(controller.synced) == {"a", "b"}
    assert controller.most == 1


async def test_what_failed_comes_back_and_what_went_well_is_forgotten() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    controller = Recording(timers)
    troubles: list[Exception] = [ApiError(409, "Conflict", "lost a race"), KeyError("a bug")]

    def act(key: str) -> float | None:
        if troubles:
            raise troubles.pop(0)
        return None

    controller.act = act
    async with running(controller):
        controller.queue.add("a")
        for _ in range(4):
            await settle()
            await clock.advance(1)
            timers.fire()
        await settle()
    assert controller.synced == ["a"] * 3
    assert controller.queue.failures("a") == 0


async def test_it_may_ask_to_come_back() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    controller = Recording(timers)
    controller.act = lambda key: 10.0 if len(controller.synced) < 2 else None
    async with running(controller):
        controller.queue.add("a")
        await settle()
        await clock.advance(9)
        timers.fire()
        await settle()
        assert controller.synced == ["a"]
        await clock.advance(1.1)
        timers.fire()
        await settle()
    assert controller.synced == ["a", "a"]
