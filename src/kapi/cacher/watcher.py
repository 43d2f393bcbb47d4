"""`Watcher`: what one watch still has to send. `Selection`: which objects it is about.

    BEHIND   it reads what was there at the start, then the history after `position`, piece by
             piece, when its reader asks; new events pass by. At the history's end it becomes
    ACTIVE   matching events are queued as they come; when the queue is full it is BEHIND again
    ENDED    nothing more comes

A watcher whose position has fallen out of the history gets an error 410 and ends. Nobody ever waits
for a slow one. Promises, to a watch that starts at revision R: every matching change after R, in
order, none twice; what it is told of an object is ADDED, MODIFIED* and DELETED in turns, by what
its selection lets it see.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from kapi.cacher.event import ADDED, DELETED, MODIFIED, Event, Item, Resource
from kapi.cacher.history import History
from kapi.cacher.timers import Timer
from kapi.errors import ApiError, expired
from kapi.selector import fields as field_selectors
from kapi.selector import labels as label_selectors

# Events that wait in one watcher. They are shared, so a full queue costs 80 KB of pointers; beyond,
# the watcher reads from the history, which costs a search and a filter per piece.
QUEUE_EVENTS_MAX = 1000
# What a reader gets at once, and what is filtered in one turn of the loop.
BATCH_MAX = 250

BOOKMARK, ERROR = "BOOKMARK", "ERROR"


class Bookmark:
    """Everything up to `revision` was sent; `initial_end`: and with it the initial state."""

    __slots__ = ("initial_end", "revision")

    def __init__(self, revision: int, *, initial_end: bool = False) -> None:
        self.revision = revision
        self.initial_end = initial_end


Delivery = tuple[str, Event | Item | Bookmark | ApiError]
FieldsOf = Callable[[Item], Mapping[str, str]]


class Selection:
    """Namespace, labels and fields of a read, made ready to be asked often.

    `fields_of`: where the fields are not those of the stored form.
    """

    __slots__ = (
        "_deep", "_fields_of", "_own", "bucket", "fields", "labels", "namespace", "resource",
        "trivial",
    )  # fmt: skip

    def __init__(
        self,
        resource: Resource,
        namespace: str = "",
        labels: label_selectors.Selector = label_selectors.EVERYTHING,
        fields: field_selectors.Selector = field_selectors.EVERYTHING,
        fields_of: FieldsOf | None = None,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
        # Whether the namespace says it all, and an object can neither come into it nor leave.
        self.trivial = labels.empty and fields.empty
        # Fields that an item knows by itself, and those its object must be looked into for.
        own = (field_selectors.NAME, field_selectors.NAMESPACE)
        self._own = fields.only(*own)
        self._deep = fields.without(*own)
        self._fields_of = fields_of or self._stored_fields
        self.bucket = self._bucket()

    def _stored_fields(self, item: Item) -> Mapping[str, str]:
        return item.fields(self.resource)

    def outside(self) -> Selection:
        """The part for which no object must be looked into."""
        return Selection(self.resource, self.namespace, self.labels, self._own)

    def _bucket(self) -> tuple[str, ...]:
        """The narrowest set of watchers, by something exact, that this one belongs to."""
        name = self.fields.exact(field_selectors.NAME)
        if name is not None:
            return ("name", name)
        for field in INDEXED_FIELDS:
            value = self.fields.exact(field)
            if value is not None and field in self.resource.field_selectors:
                return ("field", field, value)
        namespace = self.namespace or self.fields.exact(field_selectors.NAMESPACE)
        return ("namespace", namespace) if namespace else ("all",)

    def matches(self, item: Item) -> bool:
        if self.namespace and item.namespace != self.namespace:
            return False
        if self.trivial:
            return True
        if not self.labels.empty and not self.labels.matches(item.labels):
            return False
        return self.fields.empty or self.matches_fields(item)

    @property
    def looks_inside(self) -> bool:
        """Whether objects must be decoded to be matched."""
        return not self._deep.empty

    def matches_fields(self, item: Item) -> bool:
        if not self._own.empty:
            known = {
                field_selectors.NAME: item.name,
                field_selectors.NAMESPACE: item.namespace,
            }
            if not self._own.matches(known):
                return False
        return self._deep.empty or self._deep.matches(self._fields_of(item))

    @staticmethod
    def looked_into(event: Event) -> Sequence[Item]:
        """What `change` looks into."""
        if event.previous is None or event.type == ADDED:
            return (event.item,)
        return (event.previous, event.item) if event.type == MODIFIED else (event.previous,)

    def change(self, event: Event) -> str:
        """What the event means to who sees only this selection: a type, or nothing."""
        kind = event.type
        if kind == MODIFIED:
            if self.trivial:
                return MODIFIED if self.matches(event.item) else ""
            assert event.previous is not None, "what is modified was there"
            was, now = self.matches(event.previous), self.matches(event.item)
            if was:
                return MODIFIED if now else DELETED
            return ADDED if now else ""
        subject = event.item if event.previous is None or kind == ADDED else event.previous
        return kind if self.matches(subject) else ""


# Fields that many watchers select exactly, so that an event need not be shown to each of them:
# kubelets.
INDEXED_FIELDS = ("spec.nodeName",)


class State(Enum):
    BEHIND = "behind"
    ACTIVE = "active"
    ENDED = "ended"


class Watchers(Protocol):
    """Those of one cache."""

    def remove(self, watcher: Watcher) -> None: ...


class Followed(Protocol):
    """What a watch is of: a `ResourceCache`."""

    history: History

    @property
    def watchers(self) -> Watchers: ...

    @property
    def revision(self) -> int:
        """Up to which it is."""


class Watcher:
    __slots__ = (
        "_begun",
        "_bookmark_due",
        "_cache",
        "_initial",
        "_initial_at",
        "_queue",
        "_queue_max",
        "_waiter",
        "bookmarks",
        "inside",
        "mark_initial",
        "position",
        "selection",
        "state",
        "timers",
    )

    def __init__(
        self,
        cache: Followed,
        selection: Selection,
        position: int,
        *,
        initial: Sequence[Item] = (),
        bookmarks: bool = False,
        mark_initial: bool = False,
        queue_max: int = QUEUE_EVENTS_MAX,
    ) -> None:
        self._cache = cache
        self.selection = selection
        # What the reader must select by, once objects were converted: the cache does not wait.
        self.inside: Selection | None = None
        self.position = position  # what is up to here was sent, is queued, or is no concern
        self.state = State.BEHIND
        self.bookmarks = bookmarks
        self.mark_initial = mark_initial  # a bookmark must say where the initial state ends
        self._initial = initial
        self._initial_at = 0
        self._queue: deque[Delivery] = deque()
        self._queue_max = queue_max
        self._waiter: asyncio.Future[None] | None = None
        self._begun: Callable[[], None] | None = None
        self._bookmark_due = False
        self.timers: list[Timer] = []  # those that concern this watch; cancelled when it ends

    @property
    def over(self) -> bool:
        return self.state is State.ENDED

    def when_begun(self, call: Callable[[], None]) -> None:
        """Call once when the reader has what was there at the start, or the watch is over."""
        if self.state is State.BEHIND:
            self._begun = call
        else:
            call()

    def _has_begun(self) -> None:
        call, self._begun = self._begun, None
        if call is not None:
            call()

    # -- the side of the cache --------------------------------------------------------------------

    def offer(self, event: Event) -> None:
        """Queue an event if it concerns this watch; called for ACTIVE watchers only."""
        if event.revision <= self.position:
            return  # the watch starts in the future
        type_ = self.selection.change(event)
        if type_:
            if len(self._queue) >= self._queue_max:
                self.state = State.BEHIND
                return
            self._queue.append((type_, event))
            self._wake()
        self.position = event.revision

    def bookmark(self) -> None:
        """Let the reader know how far it is, once it has got there."""
        if self.bookmarks and self.state is not State.ENDED:
            self._bookmark_due = True
            self._wake()

    def fail(self, error: ApiError) -> None:
        """End with an error, after what is queued."""
        if self.state is not State.ENDED:
            self._queue.append((ERROR, error))
            self.end()

    def end(self) -> None:
        """End after what is queued. Idempotent."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._initial = ()
        self._cache.watchers.remove(self)
        for timer in self.timers:
            timer.cancel()
        self._has_begun()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- the side of the reader -------------------------------------------------------------------

    async def batch(self) -> Sequence[Delivery]:
        """What is next, at least one; nothing: the watch is over. One reader at a time."""
        while True:
            found = self.batch_nowait()
            if found or self.state is State.ENDED:
                return found
            if self.state is State.BEHIND:
                await asyncio.sleep(0)  # a piece of history held nothing for this watch
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def batch_nowait(self) -> list[Delivery]:
        """What can be read now; may be nothing although more is to come."""
        queue = self._queue
        if queue:
            if len(queue) <= BATCH_MAX:
                found = list(queue)
                queue.clear()
            else:
                found = [queue.popleft() for _ in range(BATCH_MAX)]
            return found
        found = []
        if self.state is State.BEHIND:
            found = self._initial_piece() if self._initial else self._history_piece()
        due = self._bookmark_due or self.mark_initial
        if due and self.state is State.ACTIVE and not found:
            self._mark(found)
        return found

    def _initial_piece(self) -> list[Delivery]:
        start = self._initial_at
        piece = self._initial[start : start + BATCH_MAX]
        self._initial_at += len(piece)
        if self._initial_at >= len(self._initial):
            self._initial = ()
        if self.selection.trivial:
            return [(ADDED, item) for item in piece]
        matches = self.selection.matches
        return [(ADDED, item) for item in piece if matches(item)]

    def _history_piece(self) -> list[Delivery]:
        history = self._cache.history
        if self.position < history.since:
            oldest = history.since
            self.fail(expired(f"too old resource version: {self.position} ({oldest})"))
            return self.batch_nowait()
        events = history.after(self.position, BATCH_MAX)
        if len(events) < BATCH_MAX:
            self.state = State.ACTIVE
            self._has_begun()
        change = self.selection.change
        found: list[Delivery] = [(t, event) for event in events if (t := change(event))]
        if events:
            self.position = events[-1].revision
        return found

    def _mark(self, found: list[Delivery]) -> None:
        """Bookmarks that are due: everything up to the cache's revision was read."""
        revision = self._cache.revision
        if self.mark_initial:
            if revision >= self.position:
                self.mark_initial = self._bookmark_due = False
                found.append((BOOKMARK, Bookmark(revision, initial_end=True)))
        elif self._bookmark_due and revision >= self.position:
            self._bookmark_due = False
            found.append((BOOKMARK, Bookmark(revision)))
