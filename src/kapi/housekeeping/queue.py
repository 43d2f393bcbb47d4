"""`WorkQueue`: keys that controllers work on, each key by one worker at a time.

A key that is added while it waits is there once; one that is added while it is worked on comes back
when that is done. Failures wait longer each time. As client-go's queue, whose users expect this:
https://pkg.go.dev/k8s.io/client-go/util/workqueue

    add ──► waiting ──get──► busy ──done──► gone, or waiting again if it was added meanwhile
    add_after, add_limited ──► later ──(time)──► add
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kapi.cacher.timers import Timer, Timers

K = TypeVar("K", bound=Hashable)

# The first failure is tried again after this, each further one after twice as long.
RETRY_FIRST_S = 0.005
RETRY_MAX_S = 60.0
_DOUBLINGS_MAX = 20  # beyond, the delay is at its bound anyway


class WorkQueue(Generic[K]):
    """One per controller. Not bounded: it holds a key at most once, and keys name objects."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: dict[K, None] = {}  # in the order they came
        self._busy: set[K] = set()
        self._again: set[K] = set()  # added while busy
        self._later: dict[K, Timer] = {}
        self._failures: dict[K, int] = {}
        self._workers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Keys that wait for a worker or are with one."""
        return len(self._waiting) + len(self._busy)

    @property
    def delayed(self) -> int:
        """Keys that will be added some time."""
        return len(self._later)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def add(self, key: K) -> None:
        """Work on it as soon as may be."""
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on it then, or earlier if it was to be earlier."""
        timer = self._timers.after(seconds, lambda: self._due(key, timer))
        known = self._later.get(key)
        if known is not None and known.when <= timer.when:
            timer.cancel()
            return
        if known is not None:
            known.cancel()
        self._later[key] = timer

    def _due(self, key: K, timer: Timer) -> None:
        if self._later.get(key) is timer:
            del self._later[key]
            self.add(key)

    def add_limited(self, key: K) -> None:
        """Work on it again after a failure: later each time."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self.add_after(key, min(RETRY_FIRST_S * 2 ** min(count, _DOUBLINGS_MAX), RETRY_MAX_S))

    def forget(self, key: K) -> None:
        """It went well: the next failure is a first one."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; `done` must follow."""
        while not self._waiting:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._workers.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()  # somebody else must take what this one was woken for
                raise
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._busy.add(key)
        return key

    def done(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _wake(self) -> None:
        while self._workers:
            future = self._workers.popleft()
            if not future.done():
                future.set_result(None)
                return
