"""The queue: each key once, by one worker at a time; failures wait longer each time."""

from __future__ import annotations

import asyncio

from served import ManualClock, settle

from kapi.cacher.timers import Timers
from kapi.housekeeping.queue import RETRY_FIRST_S, RETRY_MAX_S, WorkQueue


def made() -> tuple[WorkQueue[str], Timers, ManualClock]:
    clock = ManualClock()
    timers = Timers(clock)
    return WorkQueue(timers), timers, clock


async def turn(timers: Timers, clock: ManualClock, seconds: float) -> None:
    await clock.advance(seconds)
    timers.fire()


async def test_what_waits_is_there_once_and_in_order() -> None:
    queue, _, _ = made()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]


async def test_what_is_added_while_it_is_worked_on_comes_back_after() -> None:
    queue, _, _ = made()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    queue.done("b")
    assert len(queue) == 0


async def test_a_worker_waits_for_a_key() -> None:
    queue, _, _ = made()
    worker = asyncio.gather(queue.get(), queue.get())
    await settle()
    queue.add("a")
    await settle()
    assert not worker.done()
    queue.add("b")
    assert sorted(await worker) == ["a", "b"]


async def test_a_worker_that_is_cancelled_as_it_is_woken_wakes_another() -> None:
    queue, _, _ = made()
    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(queue.get()), group.create_task(queue.get())
        await settle()
        queue.add("a")
        first.cancel()
        await settle()
        assert second.done()
    assert second.result() == "a"


async def test_later_means_at_its_time_and_the_earlier_time_wins() -> None:
    queue, timers, clock = made()
    queue.add_after("a", 5)
    queue.add_after("a", 2)
    queue.add_after("a", 9)
    assert (len(queue), queue.delayed) == (0, 1)
    await turn(timers, clock, 1.9)
    assert len(queue) == 0
    await turn(timers, clock, 0.2)
    assert (len(queue), queue.delayed) == (1, 0)
    await turn(timers, clock, 20)
    assert len(queue) == 1
    assert len(timers) == 0


async def test_now_overrules_later() -> None:
    queue, timers, clock = made()
    queue.add_after("a", 5)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await turn(timers, clock, 10)
    assert len(queue) == 0


async def test_failures_wait_twice_as_long_each_time_up_to_a_bound() -> None:
    queue, timers, clock = made()
    waited = []
    for _ in range(20):
        queue.add_limited("a")
        start = clock.monotonic()
        while not len(queue):
            await turn(timers, clock, RETRY_FIRST_S)
        waited.append(clock.monotonic() - start)
        assert await queue.get() == "a"
        queue.done("a")
        if queue.failures("a") == 5:
            break
    expected = [RETRY_FIRST_S * 2**n for n in range(5)]
    assert all(e <= w <= e + 2 * RETRY_FIRST_S for w, e in zip(waited, expected, strict=True))
    for _ in range(200):
        queue.add_limited("b")
        await turn(timers, clock, RETRY_MAX_S + 1)
        assert await queue.get() == "b"
        queue.done("b")
    queue.forget("a")
    assert queue.failures("a") == 0
