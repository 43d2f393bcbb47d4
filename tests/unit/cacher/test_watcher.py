"""The promises of a watch, against a model: ordered, gap-free, unique, typed by selection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from served import PODS, World, settle, world

from kapi.cacher import watcher as module
from kapi.cacher.event import Event, Item
from kapi.cacher.history import History
from kapi.cacher.watcher import BOOKMARK, ERROR, Bookmark, Delivery, Selection, State, Watcher
from kapi.errors import ApiError
from kapi.selector import fields, labels

Seen = tuple[str, str, int]  # type, key, revision
LONG_S = 3600.0


def attach(world: World, selection: Selection, position: int, **more: Any) -> Watcher:
    cache = world.cache(PODS)
    watcher = Watcher(cache, selection, position, **more)
    world.cacher.attach(cache, watcher, LONG_S)
    return watcher


def state_of(watcher: Watcher) -> State:
    return watcher.state


def seen(delivery: Delivery) -> Seen:
    type_, subject = delivery
    if isinstance(subject, Event):
        item = subject.subject(type_)
    else:
        assert isinstance(subject, Item)
        item = subject
    return type_, item.key, item.revision


async def drain(watcher: Watcher) -> list[Delivery]:
    """What can be read without waiting for anything new."""
    out: list[Delivery] = []
    for _ in range(1000):
        found = watcher.batch_nowait()
        out += found
        if not found and watcher.state is not State.BEHIND:
            return out
    raise AssertionError("it never ends")


# -- the model ------------------------------------------------------------------------------------

Labels = dict[str, str]
States = dict[tuple[str, str], tuple[Labels, str]]


def selected(namespace: str, text: str, field: str, key: tuple[str, str], state: Any) -> bool:
    """Whether an object is selected, worked out as naively as can be."""
    if state is None or (namespace and key[0] != namespace):
        return False
    found, node = state
    if text == "team=x" and found.get("team") != "x":
        return False
    if text == "team!=x" and found.get("team") == "x":
        return False
    if field.startswith("metadata.name=") and key[1] != field.partition("=")[2]:
        return False
    return not (field.startswith("spec.nodeName=") and node != field.partition("=")[2])


STEP = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["p", "q"]),
        st.sampled_from(["x", "y", ""]),
        st.sampled_from(["n1", "n2"]),
    ),
    st.tuples(st.just("delete"), st.sampled_from(["a", "b"]), st.sampled_from(["p", "q"])),
    st.tuples(st.just("watch"), st.integers(0, 5)),
    st.tuples(st.just("read"), st.integers(0, 3)),
)
SELECTIONS = st.tuples(
    st.sampled_from(["", "a"]),
    st.sampled_from(["", "team=x", "team!=x"]),
    st.sampled_from(["", "metadata.name=p", "spec.nodeName=n1"]),
)


class Model:
    """What happened, and what a watch must have been told of it."""

    def __init__(self) -> None:
        self.states: States = {}
        self.history: list[tuple[int, tuple[str, str], Any, Any]] = []

    def change(self, revision: int, key: tuple[str, str], state: Any) -> None:
        self.history.append((revision, key, self.states.get(key), state))
        if state is None:
            del self.states[key]
        else:
            self.states[key] = state

    def expected(self, selection: tuple[str, str, str], after: int) -> list[Seen]:
        out = []
        for revision, key, old, new in self.history:
            if revision <= after:
                continue
            was, now = selected(*selection, key, old), selected(*selection, key, new)
            if was or now:
                type_ = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
                out.append((type_, f"/registry/pods/{key[0]}/{key[1]}", revision))
        return out


async def run_history(steps: list[Any], selections: list[Any], queue_max: int) -> None:
    async with world(PODS) as w:
        model = Model()
        watches: list[tuple[Watcher, tuple[str, str, str], int, list[Seen]]] = []
        for step in steps:
            if step[0] == "put":
                _, namespace, name, team, node = step
                found = {"team": team} if team else {}
                revision = await w.put(PODS, namespace, name, found, spec={"nodeName": node})
                model.change(revision, (namespace, name), (found, node))
            elif step[0] == "delete":
                if step[1:] in model.states:
                    model.change(await w.delete(PODS, *step[1:]), step[1:], None)
            elif step[0] == "watch":
                back = max(1, w.cacher.revision - step[1])
                wanted = selections[len(watches) % len(selections)]
                selection = Selection(
                    PODS, wanted[0], labels.parse(wanted[1]), fields.parse(wanted[2])
                )
                made = attach(w, selection, back, queue_max=queue_max)
                watches.append((made, wanted, back, []))
            elif watches:
                watcher, _, _, got = watches[step[1] % len(watches)]
                got += map(seen, watcher.batch_nowait())
        for watcher, wanted, after, got in watches:
            got += map(seen, await drain(watcher))
            assert got == model.expected(wanted, after)


@seed(4)
@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=40), st.lists(SELECTIONS, min_size=1, max_size=4), st.integers(1, 4))
def test_every_watch_is_told_what_happened(
    steps: list[Any], selections: list[Any], queue_max: int
) -> None:
    """Slow readers, small queues and small pieces make them fall behind again and again."""
    before = module.BATCH_MAX
    module.BATCH_MAX = 3
    try:
        asyncio.run(run_history(steps, selections, queue_max))
    finally:
        module.BATCH_MAX = before


# -- single stories -------------------------------------------------------------------------------


async def test_a_slow_watcher_costs_nobody_and_catches_up() -> None:
    async with world(PODS) as w:
        slow = attach(w, Selection(PODS), 1, queue_max=10)
        quick = attach(w, Selection(PODS), 1)
        await drain(slow)
        got = []
        for i in range(50):
            await w.put(PODS, "a", f"p{i:02}")
            got += await drain(quick)
        assert state_of(slow) is State.BEHIND
        assert len(got) == 50
        assert list(map(seen, await drain(slow))) == list(map(seen, got))
        assert state_of(slow) is State.ACTIVE


async def test_who_fell_out_of_the_history_is_told_so_and_ends() -> None:
    async with world(PODS) as w:
        w.cache(PODS).history = History(1, events_max=5)
        slow = attach(w, Selection(PODS), 1, queue_max=2)
        await drain(slow)
        for i in range(10):
            await w.put(PODS, "a", f"p{i}")
        got = await drain(slow)
        assert [t for t, _ in got] == ["ADDED", "ADDED", ERROR]
        error = got[-1][1]
        assert isinstance(error, ApiError)
        assert (error.code, error.reason) == (410, "Expired")
        assert error.message == "too old resource version: 3 (6)"
        assert await slow.batch() == []
        assert len(w.cache(PODS).watchers) == 0


async def test_initial_state_then_its_mark_then_what_follows() -> None:
    async with world(PODS) as w:
        for i in range(600):
            await w.put(PODS, "a", f"p{i:03}", {"team": "x" if i % 2 else "y"})
        cache = w.cache(PODS)
        watcher = attach(
            w,
            Selection(PODS, labels=labels.parse("team=x")),
            w.cacher.revision,
            initial=cache.list(),
            bookmarks=True,
            mark_initial=True,
        )
        await w.put(PODS, "a", "p001", {"team": "z"})
        got = await drain(watcher)
        types = [t for t, _ in got]
        assert types == ["ADDED"] * 300 + ["DELETED", BOOKMARK]
        mark = got[-1][1]
        assert isinstance(mark, Bookmark)
        assert (mark.initial_end, mark.revision) == (True, w.cacher.revision)


async def test_bookmarks_come_about_every_minute_and_before_the_end() -> None:
    async with world(PODS) as w:
        cache = w.cache(PODS)
        watcher = Watcher(cache, Selection(PODS), w.cacher.revision, bookmarks=True)
        w.cacher.attach(cache, watcher, 100.0)
        assert await drain(watcher) == []
        await w.put(PODS, "b", "elsewhere")
        await w.clock.advance(50)
        await drain(watcher)
        await w.clock.advance(20)
        got = await drain(watcher)
        assert [t for t, _ in got] == [BOOKMARK]
        await w.clock.advance(28.2)
        assert [t for t, _ in await drain(watcher)] == [BOOKMARK]
        await w.clock.advance(3)
        assert watcher.over
        assert await watcher.batch() == []
        assert len(w.cacher.timers) == 0


async def test_a_short_watch_gets_no_bookmark() -> None:
    async with world(PODS) as w:
        cache = w.cache(PODS)
        watcher = Watcher(cache, Selection(PODS), w.cacher.revision, bookmarks=True)
        w.cacher.attach(cache, watcher, 1.0)
        await w.clock.advance(1.2)
        assert await watcher.batch() == []


async def test_a_reader_sleeps_until_there_is_something() -> None:
    async with world(PODS) as w:
        watcher = attach(w, Selection(PODS, "a"), w.cacher.revision)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(watcher.batch())
            await settle()
            await w.put(PODS, "b", "other")
            await settle()
            assert not reading.done()
            await w.put(PODS, "a", "mine")
        assert [seen(d)[:2] for d in reading.result()] == [("ADDED", "/registry/pods/a/mine")]
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(watcher.batch())
            await settle()
            watcher.end()
        assert reading.result() == []


async def test_a_watch_from_the_future_says_nothing_of_the_past() -> None:
    async with world(PODS) as w:
        watcher = attach(w, Selection(PODS), w.cacher.revision + 2)
        await drain(watcher)
        for i in range(4):
            await w.put(PODS, "a", f"p{i}")
        assert [seen(d)[1] for d in await drain(watcher)] == [
            "/registry/pods/a/p2",
            "/registry/pods/a/p3",
        ]


# -- who is shown an event ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "field", "bucket"),
    [
        ("", "", ("all",)),
        ("a", "", ("namespace", "a")),
        ("", "metadata.namespace=a", ("namespace", "a")),
        ("a", "metadata.name=p", ("name", "p")),
        ("", "spec.nodeName=n1", ("field", "spec.nodeName", "n1")),
        ("", "spec.nodeName!=n1", ("all",)),
    ],
)
def test_buckets(namespace: str, field: str, bucket: tuple[str, ...]) -> None:
    assert Selection(PODS, namespace, fields=fields.parse(field)).bucket == bucket


async def test_an_event_is_shown_only_to_who_might_care(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(PODS) as w:
        shown: list[Watcher] = []
        offer = Watcher.offer

        def counting(self: Watcher, event: Event) -> None:
            shown.append(self)
            offer(self, event)

        monkeypatch.setattr(Watcher, "offer", counting)
        watchers = [attach(w, Selection(PODS, f"ns{i}"), 1) for i in range(50)]
        watchers += [
            attach(w, Selection(PODS, fields=fields.parse(f"spec.nodeName=n{i}")), 1)
            for i in range(50)
        ]
        watchers += [attach(w, Selection(PODS, "ns1", fields=fields.named("p")), 1)]
        for watcher in watchers:
            await drain(watcher)
        await w.put(PODS, "ns1", "p", spec={"nodeName": "n3"})
        assert len(shown) == 3
        shown.clear()
        await w.put(PODS, "ns1", "p", spec={"nodeName": "n4"})
        assert len(shown) == 4  # the node it left sees it go
        for watcher in watchers:
            watcher.end()
        await w.put(PODS, "ns1", "p", spec={"nodeName": "n5"})
        assert len(shown) == 4
