"""Timers fire once, in time, and not when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from served import ManualClock, settle

from kapi.cacher.timers import CANCELLED_MAX, TICK_S, Timers


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Timers, ManualClock]]:
    clock = ManualClock()
    timers = Timers(clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(timers.run())
        await settle()
        yield timers, clock
        task.cancel()


async def test_in_time_and_in_order() -> None:
    async with running() as (timers, clock):
        fired: list[str] = []
        timers.after(2, lambda: fired.append("late"))
        timers.after(1, lambda: fired.append("one"))
        timers.after(1, lambda: fired.append("two"))
        await clock.advance(0.9)
        assert fired == []
        await clock.advance(0.1 + TICK_S)
        assert fired == ["one", "two"]
        await clock.advance(1)
        assert fired == ["one", "two", "late"]
        assert len(timers) == 0


async def test_cancelled_ones_do_not_fire_and_do_not_pile_up() -> None:
    async with running() as (timers, clock):
        fired: list[int] = []
        made = [timers.after(10, lambda: fired.append(1)) for _ in range(10 * CANCELLED_MAX)]
        for timer in made[1:]:
            timer.cancel()
            timer.cancel()
        assert len(timers) <= 2 * CANCELLED_MAX
        await clock.advance(11)
        assert fired == [1]
        made[0].cancel()
        assert len(timers) == 0


async def test_a_callback_may_set_the_next_timer() -> None:
    async with running() as (timers, clock):
        fired: list[float] = []

        def again() -> None:
            fired.append(clock.monotonic())
            timers.after(1, again)

        timers.after(1, again)
        await clock.advance(5.5)
        assert len(fired) == 5
