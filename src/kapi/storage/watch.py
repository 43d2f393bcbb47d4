"""Watches over one store: the `Hub` that gets every change once, and the `Watch` a reader holds.

Shared by all storages that live in this process; they call `Hub.deliver` on the event loop with
each batch of changes, in revision order, before they acknowledge them.

A watch is *live* (changes are put into its queue as they happen) or *behind* (it reads them from
the store's history). It starts behind unless nothing was missed, and falls behind when its reader
lets the queue overflow, so a slow reader costs bounded memory and delays nobody. Becoming live:
clear the queue, let changes queue up, read history to its end (revision S), then drop what is
queued up to S. Nothing is lost, since history is read after queueing began; nothing is repeated,
since revisions up to S are dropped.

A store that is shared with others (etcd) has revisions that are none of ours. `Hub.advance` takes
note of them; a watch over all of our keys is told by an event of the type "progress", so that its
reader knows how far it is.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kapi.storage.interface import PROGRESS, Event, Replaced, Unavailable

# Events that may wait in one watch; beyond, it reads from history. Some 10 MB of shared 3 KB values
# at worst, and a second or two of writes at full speed.
QUEUE_EVENTS_MAX = 4096

# Events in one batch to a reader, so that no turn of the loop gets too long.
BATCH_EVENTS_MAX = 512


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of history: every event under a prefix up to revision `upto`."""

    events: Sequence[Event]
    upto: int
    last: bool  # `upto` was the newest revision when the page was read


# (prefix, after revision) -> the next page, or Compacted, Unavailable.
Replay = Callable[[str, int], Awaitable[Page]]


class Hub:
    """All watches of one store."""

    def __init__(self, replay: Replay, revision: int, *, shared_root: str | None = None) -> None:
        """`shared_root`: the store has revisions of others, too; watches of this prefix
        are told.
        """
        self.replay = replay
        self.shared_root = shared_root
        self.revision = revision  # all changes up to it were delivered
        self.closed = False
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()

    def watch(self, prefix: str, after_revision: int) -> Watch:
        watch = Watch(self, prefix, after_revision)
        self._watches.add(watch)
        return watch

    def deliver(self, events: Sequence[Event]) -> None:
        """Hand out changes; they follow directly on those delivered before."""
        gap = events[0].revision - self.revision
        assert gap == 1 or (gap > 1 and self.shared_root is not None), "a revision lost or repeated"
        self.revision = events[-1].revision
        for watch in self._watches:
            watch.offer(events)

    def advance(self, revision: int) -> None:
        """Nothing of ours happened up to this revision beyond what was delivered."""
        if revision > self.revision:
            self.revision = revision
            event = progress(revision)
            for watch in self._watches:
                if watch.prefix == self.shared_root:
                    watch.offer_progress(event)

    def lose(self, revision: int) -> None:
        """Changes up to this revision were not delivered: every watch looks into history."""
        self.revision = revision
        for watch in self._watches:
            watch.fall_behind()

    def replace(self, revision: int, reason: str) -> None:
        """The store is another one, at this revision: every watch is told so and ends."""
        self.revision = revision
        for watch in self._watches:
            watch.replaced(Replaced(revision, reason))

    def close(self) -> None:
        """End every watch, after what it has queued."""
        self.closed = True
        for watch in self._watches:
            watch.wake()

    def __len__(self) -> int:
        return len(self._watches)


def progress(revision: int) -> Event:
    """That everything up to a revision was seen; the last event of its batch."""
    return Event(PROGRESS, "", b"", revision, None)


class Watch:
    """One reader's view: an async iterator of batches of events. One `__anext__` at a time."""

    __slots__ = (
        "__weakref__",
        "_behind",
        "_hub",
        "_overflowed",
        "_position",
        "_queue",
        "_replaced",
        "_waiter",
        "prefix",
    )

    def __init__(self, hub: Hub, prefix: str, after_revision: int) -> None:
        self._hub = hub
        self.prefix = prefix
        self._position = after_revision  # the reader has everything up to it
        self._behind = after_revision < hub.revision
        self._overflowed = False  # changes were dropped since the last look into history
        self._queue: deque[Event] = deque()
        self._replaced: Replaced | None = None
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: Sequence[Event]) -> None:
        """Queue what concerns this watch; called by the hub only."""
        prefix, position, queue = self.prefix, self._position, self._queue
        queue.extend(e for e in events if e.revision > position and e.key.startswith(prefix))
        if len(queue) > QUEUE_EVENTS_MAX:
            queue.clear()
            self._behind = self._overflowed = True
        if queue or self._behind:
            self.wake()

    def offer_progress(self, event: Event) -> None:
        """The same for how far everything is; only the last word on that is kept."""
        if self._behind or event.revision <= self._position:
            return
        if self._queue and self._queue[-1].type == PROGRESS:
            self._queue.pop()
        self._queue.append(event)
        self.wake()

    def fall_behind(self) -> None:
        """What follows is in history only."""
        self._queue.clear()
        self._behind = self._overflowed = True
        self.wake()

    def replaced(self, error: Replaced) -> None:
        """Nothing more will come."""
        self._replaced = error
        self.wake()

    def wake(self) -> None:
        """Let the reader look again, if it waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Sequence[Event]:
        while True:
            if self._replaced is not None:
                raise self._replaced
            if self._behind and not self._hub.closed:
                events = await self._catch_up()
                if events:
                    return events
            elif self._queue and not self._behind:
                return self._take()
            elif self._hub.closed:
                raise StopAsyncIteration
            else:
                await self._wait()

    def _take(self) -> Sequence[Event]:
        queue = self._queue
        events = [queue.popleft() for _ in range(min(len(queue), BATCH_EVENTS_MAX))]
        while queue and queue[0].revision == events[-1].revision:
            events.append(queue.popleft())  # a lease that ends takes many keys in one revision
        self._position = events[-1].revision
        return events

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _catch_up(self) -> Sequence[Event]:
        """One page of history; with the last one the watch becomes live."""
        self._queue.clear()
        self._overflowed = False
        before = self._position
        try:
            page = await self._hub.replay(self.prefix, self._position)
        except Unavailable:
            if self._hub.closed:
                return ()
            raise
        self._position = page.upto
        if page.last and not self._overflowed:
            self._behind = False
            while self._queue and self._queue[0].revision <= page.upto:
                self._queue.popleft()
        found = page.events
        if self.prefix == self._hub.shared_root and page.upto > (
            found[-1].revision if found else before
        ):
            return [*found, progress(page.upto)]
        return found
