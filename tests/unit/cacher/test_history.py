"""The history keeps what it has room for, and knows from where on it is complete."""

from __future__ import annotations

import pytest
from served import resource

from kapi.cacher import history as module
from kapi.cacher.event import MODIFIED, Event, Item, Layout
from kapi.cacher.history import History

LAYOUT = Layout(resource())


def event(revision: int, size: int = 0) -> Event:
    value = b'{"kind":"Pod","apiVersion":"v1","metadata":{},"x":"%b"}' % (b"x" * size)
    item = LAYOUT.item("k", "", "k", value, revision)
    return Event(MODIFIED, item, item, LAYOUT)


def revisions(history: History, after: int, limit: int = 100) -> list[int]:
    return [e.revision for e in history.after(after, limit)]


def test_after() -> None:
    history = History(5)
    for revision in (6, 9, 12):
        history.append(event(revision))
    assert revisions(history, 5) == [6, 9, 12]
    assert revisions(history, 6) == [9, 12]
    assert revisions(history, 8) == [9, 12]
    assert revisions(history, 8, limit=1) == [9]
    assert revisions(history, 12) == []
    with pytest.raises(AssertionError):
        history.after(4, 1)


def test_the_oldest_go_when_there_are_too_many() -> None:
    history = History(0, events_max=1000)
    for revision in range(1, 5001):
        history.append(event(revision))
        assert len(history) <= 1000
    assert history.since == 4000
    assert revisions(history, 4000, limit=5000) == list(range(4001, 5001))


def test_the_oldest_go_when_they_are_too_big() -> None:
    history = History(0, bytes_max=10_000)
    for revision in range(1, 101):
        history.append(event(revision, size=1000))
    assert 8 <= len(history) <= 10
    assert history.bytes <= 10_000
    history.append(event(101, size=50_000))
    assert revisions(history, history.since) == [101]
    assert history.since == 100


def test_old_events_lose_their_frames() -> None:
    history = History(0)
    made = []

    def make(type_: str, item: Item) -> bytes:
        made.append(item.revision)
        return b""

    events = [event(r) for r in range(1, module.HOT_EVENTS_MAX + 2)]
    for e in events:
        history.append(e)
        e.frame(MODIFIED, "json", make)
    events[0].frame(MODIFIED, "json", make)
    events[1].frame(MODIFIED, "json", make)
    assert made.count(1) == 2
    assert made.count(2) == 1


def test_clear() -> None:
    history = History(0)
    history.append(event(3))
    history.clear(10)
    assert (len(history), history.since, history.bytes) == (0, 10, 0)
    history.append(event(11))
    assert revisions(history, 10) == [11]
