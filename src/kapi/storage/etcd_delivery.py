"""What was written here reaches the hub, in the order of revisions, before it is answered.

The watch brings every change, but a write's answer is often there first, and says all that the
event will: then the hub is told at once, if it has everything before that revision. What comes too
early waits here for what is missing, be it the answer to another write or the watch. What the watch
brings a second time is left out by its reader (`etcd_watch.py`), which compares revisions.

So an answer waits for the watch only where others wrote meanwhile. Used by `etcd.py`, one per
store; `moved` is called whenever the hub has gone on by other means.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, TypeVar

from kapi.storage.interface import Event
from kapi.storage.watch import Hub

T = TypeVar("T")
# Events of ours that may wait for an earlier one; beyond, the watch brings them.
EARLY_MAX: Final = 1024
# How long an answer to a write waits for its event; then the watch is broken, and reads ask etcd.
EVENT_S: Final = 3.0


class Delivery:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._early: dict[int, Event] = {}  # by revision
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.at_once = 0  # events that did not wait for the watch

    def tell(self, event: Event) -> None:
        """A change that was made here, the only one of its revision."""
        if event.revision > self._hub.revision and len(self._early) < EARLY_MAX:
            self._early[event.revision] = event
            self.moved()

    def moved(self) -> None:
        """The hub has gone on: what follows may be told, and who waited be answered."""
        hub, early = self._hub, self._early
        if early:
            for revision in [r for r in early if r <= hub.revision]:
                del early[revision]
            while (event := early.pop(hub.revision + 1, None)) is not None:
                hub.deliver((event,))
                self.at_once += 1
        waiting, reached = self._waiting, hub.revision
        if waiting:
            self._waiting = deque(item for item in waiting if item[0] > reached)
            for wanted, future in waiting:
                if wanted <= reached:
                    settle(future, None)

    def start_over(self) -> None:
        """etcd is another one: nothing that is waited for will come."""
        self._early.clear()
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, revision: int) -> None:
        """Return when everything up to a revision was told, or after a while."""
        if self._hub.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        with contextlib.suppress(TimeoutError):  # then fresh reads find it in etcd
            async with asyncio.timeout(EVENT_S):
                await future


def settle(future: asyncio.Future[T], result: T) -> None:
    """Give a result to who still waits."""
    if not future.done():
        future.set_result(result)
