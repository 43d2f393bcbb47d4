"""Things to do later, by the server's clock: one sleeping task for all watchers and readers.

A timer fires at most `TICK_S` late. Callbacks are short, never await and never raise.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from kapi.clock import Clock

# How late a timer may fire. Ten turns a second cost nothing, and nobody counts tenths of a
# second here: timeouts of watches, bookmarks, waiting for a revision.
TICK_S = 0.1


# Cancelled timers that may stay in the heap before it is made anew, if they are most of it.
CANCELLED_MAX = 64


class Timer:
    """A callback at a time; `cancel` makes it fire never."""

    __slots__ = ("_timers", "call", "when")

    def __init__(self, timers: Timers, when: float, call: Callable[[], None]) -> None:
        self._timers = timers
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            self._timers.cancelled()


class Timers:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = count()  # timers of one moment fire in the order they were made
        self._cancelled = 0

    def __len__(self) -> int:
        """How many may still fire."""
        return len(self._heap) - self._cancelled

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self, self._clock.monotonic() + seconds, call)
        heapq.heappush(self._heap, (timer.when, next(self._serial), timer))
        return timer

    def cancelled(self) -> None:
        """A timer was cancelled: clean up when the dead outnumber the living."""
        self._cancelled += 1
        if self._cancelled > CANCELLED_MAX and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            await self._clock.sleep(TICK_S)
            self.fire()

    def fire(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if timer.call is None:
                self._cancelled -= 1
                continue
            call, timer.call = timer.call, None
            call()
