"""Own writes are told when their answer is there, or their event, whichever comes first: in order,
each once.
"""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_delivery import EARLY_MAX, Delivery
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_watch import convert
from kapi.storage.interface import Event, Record
from kapi.storage.recent import Recent
from kapi.storage.watch import Hub, Page


async def _no_history(prefix: str, after_revision: int) -> Page:
    raise AssertionError(f"nothing is behind, but {prefix} is at {after_revision}")


def _hub(revision: int) -> Hub:
    return Hub(_no_history, revision, shared_root="/registry/")


def _event(revision: int) -> Event:
    return Event("create", f"/registry/x/{revision}", b"%d" % revision, revision, None)


def _from_watch(hub: Hub, delivery: Delivery, revision: int) -> None:
    """What the follower does with an event."""
    if revision > hub.revision:
        hub.deliver((_event(revision),))
    delivery.moved()


async def test_an_answer_is_told_at_once_if_nothing_is_missing() -> None:
    hub = _hub(7)
    watch, delivery = hub.watch("/registry/", 7), Delivery(hub)
    delivery.tell(_event(8))
    assert hub.revision == 8
    await delivery.until(8)
    _from_watch(hub, delivery, 8)
    assert [e.revision for e in await anext(watch)] == [8]
    assert delivery.at_once == 1


async def test_an_answer_that_is_early_waits_for_what_is_missing() -> None:
    hub = _hub(7)
    watch, delivery = hub.watch("/registry/", 7), Delivery(hub)
    delivery.tell(_event(10))
    delivery.tell(_event(9))
    assert hub.revision == 7
    waiting = [asyncio.ensure_future(delivery.until(r)) for r in (9, 10)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    _from_watch(hub, delivery, 8)
    await asyncio.gather(*waiting)
    assert [e.revision for e in await anext(watch)] == [8, 9, 10]


async def test_what_others_do_elsewhere_lets_answers_through() -> None:
    hub = _hub(7)
    delivery = Delivery(hub)
    delivery.tell(_event(10))
    hub.advance(9)  # 8 and 9 are none of ours
    delivery.moved()
    assert hub.revision == 10


async def test_what_was_skipped_is_not_told_any_more() -> None:
    hub = _hub(7)
    delivery = Delivery(hub)
    for revision in (9, 12):
        delivery.tell(_event(revision))
    hub.lose(10)
    delivery.moved()
    assert hub.revision == 10
    _from_watch(hub, delivery, 11)
    assert hub.revision == 12


async def test_early_answers_are_bounded() -> None:
    hub = _hub(1)
    watch, delivery = hub.watch("/registry/", 1), Delivery(hub)
    for revision in range(3, EARLY_MAX + 10):
        delivery.tell(_event(revision))
    _from_watch(hub, delivery, 2)
    assert hub.revision == EARLY_MAX + 2
    for revision in range(3, EARLY_MAX + 10):
        _from_watch(hub, delivery, revision)
    seen: list[int] = []
    while len(seen) < EARLY_MAX + 8:
        seen += [e.revision for e in await anext(watch)]
    assert seen == list(range(2, EARLY_MAX + 10))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.data())
def test_in_any_order_each_change_is_told_once(data: st.DataObject) -> None:
    """Answers come in any order or not at all, events in theirs."""
    last = data.draw(st.integers(1, 20))
    answered = data.draw(st.lists(st.integers(1, last), unique=True))
    turns = data.draw(st.permutations([True] * len(answered) + [False] * last))

    async def run() -> list[Event]:
        hub = _hub(0)
        watch, delivery = hub.watch("/registry/", 0), Delivery(hub)
        answers, events = iter(answered), iter(range(1, last + 1))
        for answer in turns:
            if answer:
                delivery.tell(_event(next(answers)))
            else:
                _from_watch(hub, delivery, next(events))
        seen: list[Event] = []
        while len(seen) < last:
            seen += await anext(watch)
        return seen

    seen = asyncio.run(run())
    assert seen == [_event(revision) for revision in range(1, last + 1)]


def _wire(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2, len(value))) + value


def test_an_answer_of_the_watch_that_is_known_is_not_read_again() -> None:
    kv = _wire(1, b"/registry/x/a") + bytes((2 << 3, 9, 3 << 3, 9)) + _wire(5, b"v")
    answer = _wire(1, bytes((3 << 3, 9))) + _wire(11, _wire(2, kv))
    assert not messages.watch_answer(answer, known=9).changes
    changes = messages.watch_answer(answer, known=8).changes
    space = KeySpace("/registry")
    assert convert(changes, space) == [Event("create", "/registry/x/a", b"v", 9, None)]


def test_recent_records_are_the_newest() -> None:
    recent = Recent(10_000)
    recent.see(Record("/a", b"2", 2, 2))
    recent.see(Record("/a", b"1", 1, 1))
    assert recent.get("/a") == Record("/a", b"2", 2, 2)
    update = Event("update", "/a", b"3", 3, Record("/a", b"2", 2, 2))
    recent.learn(update)
    recent.learn(update)
    recent.learn(Event("delete", "/a", b"1", 2, Record("/a", b"1", 1, 1)))
    assert recent.get("/a") == Record("/a", b"3", 3, 2)
    recent.learn(Event("delete", "/a", b"3", 4, Record("/a", b"3", 3, 2)))
    assert recent.get("/a") is None
