"""The cacher: fresh, complete, and able to get over trouble in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from served import NODES, PODS, THINGS, World, resource, settle, world

from kapi.cacher import consistency
from kapi.cacher import source as module
from kapi.cacher.lister import Lister
from kapi.cacher.watcher import ERROR, Selection, Watcher
from kapi.errors import ApiError
from kapi.storage.interface import Compacted, Event, Replaced, Unavailable
from kapi.storage.memory import MemoryStorage
from kapi.storage.parts import PartedStorage


class Shaky(MemoryStorage):
    """A memory store whose watches break, and which can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.error: Exception | None = None
        self.resumed: list[int] = []

    async def current_revision(self) -> int:
        if self.down:
            raise Unavailable("down")
        return await super().current_revision()

    async def list(self, prefix: str, **more: Any) -> Any:
        if self.down:
            raise Unavailable("down")
        return await super().list(prefix, **more)

    async def _broken(self, prefix: str, after: int) -> AsyncIterator[Sequence[Event]]:
        self.resumed.append(after)
        if self.down:
            raise Unavailable("down")
        async for batch in super().watch(prefix, after_revision=after):
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            yield batch

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._broken(prefix, after_revision)


def node(name: str) -> bytes:
    return b'{"kind":"Node","apiVersion":"v1","metadata":{"name":"%b"}}' % name.encode()


def attach(w: World, position: int) -> Watcher:
    cache = w.cache(PODS)
    watcher = Watcher(cache, Selection(PODS), position)
    w.cacher.attach(cache, watcher, 3600)
    return watcher


async def test_everything_that_was_there_is_there_after_start() -> None:
    storage = MemoryStorage()
    first = World(storage, PODS, NODES, THINGS)
    await first.cacher.start()
    await first.put(PODS, "a", "p")
    await first.put(PODS, "b", "p", {"x": "y"})
    await first.put(NODES, "", "n")
    await first.put(THINGS, "a", "t", spec={"size": 1})
    await first.delete(PODS, "a", "p")
    await first.cacher.stop()
    async with world(storage=storage) as w:
        assert [i.key for i in w.cache(PODS).list()] == ["/registry/pods/b/p"]
        assert [i.name for i in w.cache(NODES).list()] == ["n"]
        thing = w.cache(THINGS).get("a", "t")
        assert thing is not None
        assert thing.object()["spec"] == {"size": 1}
        assert w.cacher.ready
        # ... and a watch from before the restart goes on.
        watcher = attach(w, 2)
        assert [t for t, _ in await watcher.batch()] == ["ADDED", "DELETED"]


async def test_a_long_past_is_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLAY_REVISIONS_MAX", 3)
    monkeypatch.setattr(module, "LOAD_PAGE_RECORDS", 2)
    storage = MemoryStorage()
    for i in range(10):
        await storage.create(f"/registry/pods/a/p{i}", b'{"metadata":{"uid":"u"}}')
    async with world(PODS, storage=storage) as w:
        assert len(w.cache(PODS).list()) == 10
        assert w.cache(PODS).history.since == 8
        assert len(w.cache(PODS).history) == 3


async def test_reads_wait_until_the_cache_is_there() -> None:
    async with world(PODS) as w:
        current = w.cacher.revision
        assert await w.cacher.wait_until(current, 1)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(w.cacher.wait_until(current + 2, 3))
            never = group.create_task(w.cacher.wait_until(current + 9, 3))
            await w.put(PODS, "a", "p")
            await settle()
            assert not waiting.done()
            await w.put(PODS, "a", "q")
            await settle()
            assert waiting.done()
            await w.clock.advance(3.2)
        assert waiting.result() is True
        assert never.result() is False
        assert w.cacher.statistics()["waiting"] <= 1
        await w.put(PODS, "a", "r")
        assert w.cacher.statistics()["waiting"] == 0


async def test_a_resource_comes_and_goes_while_running() -> None:
    async with world(PODS) as w:
        await w.put(PODS, "a", "p")
        await w.storage.create(
            "/registry/example.com/things/a/t", w.value(THINGS, "a", "t", None, {})
        )
        cache = w.cacher.register(THINGS)
        assert not cache.loaded.is_set()
        await w.put(THINGS, "a", "u")
        await asyncio.wait_for(cache.loaded.wait(), 10)
        assert [i.name for i in cache.list()] == ["t", "u"]
        # What the list had already is no event.
        assert len(cache.history) == len(cache.history.after(cache.history.since, 99))
        watcher = Watcher(cache, Selection(THINGS), w.cacher.revision)
        w.cacher.attach(cache, watcher, 3600)
        await w.put(THINGS, "a", "v")
        assert [t for t, _ in await watcher.batch()] == ["ADDED"]
        w.cacher.unregister(THINGS)
        assert await watcher.batch() == []
        assert w.cacher.cache(THINGS) is None
        await w.storage.create("/registry/example.com/things/a/x", b"{}")
        late = Watcher(cache, Selection(THINGS), w.cacher.revision)
        w.cacher.attach(cache, late, 3600)
        assert await late.batch() == []


async def test_two_resources_may_share_a_prefix() -> None:
    core = resource("events", "Event")
    other = resource("events", "Event", group="events.k8s.io", stored=core.stored)
    async with world(core, other) as w:
        cache = w.cache(core)
        assert cache is w.cache(other)
        await w.put(core, "a", "e")
        one = Watcher(cache, Selection(core), w.cacher.revision)
        two = Watcher(cache, Selection(other), w.cacher.revision)
        for watcher in (one, two):
            w.cacher.attach(cache, watcher, 3600)
        w.cacher.unregister(other)
        assert await two.batch() == []
        await w.put(core, "a", "f")
        assert [t for t, _ in await one.batch()] == ["ADDED"]


async def test_a_new_form_of_a_resource_keeps_its_cache_but_not_with_another_layout() -> None:
    async with world(THINGS) as w:
        cache = w.cache(THINGS)
        same = resource("things", "Thing", group="example.com", custom=True, short_names=("t",))
        assert w.cacher.register(same) is cache
        watcher = Watcher(cache, Selection(same), w.cacher.revision)
        w.cacher.attach(cache, watcher, 3600)
        newer = resource("things", "Thing", group="example.com", custom=True, versions=("v2",))
        assert w.cacher.register(newer) is cache
        other = resource("things", "Thing", group="example.com", custom=True, namespaced=False)
        fresh = w.cacher.register(other)
        assert fresh is not cache
        assert await watcher.batch() == []
        await asyncio.wait_for(fresh.loaded.wait(), 10)


async def test_an_unavailable_store_is_waited_for_and_nothing_is_missed() -> None:
    storage = Shaky()
    async with world(PODS, storage=storage) as w:
        await w.put(PODS, "a", "p")
        watcher = attach(w, w.cacher.revision)
        storage.down, storage.error = True, Unavailable("gone")
        value = w.value(PODS, "a", "q", None, {})
        await storage.create("/registry/pods/a/q", value)
        await settle()
        assert not w.cacher.ready
        assert w.cache(PODS).get("a", "p") is not None
        await w.clock.advance(2)
        assert not w.cacher.ready
        assert w.cacher.statistics()["failures"] > 1
        storage.down = False
        await w.clock.advance(1)
        assert w.cacher.ready
        assert w.cache(PODS).get("a", "q") is not None
        assert [t for t, _ in await watcher.batch()] == ["ADDED"]
        assert set(storage.resumed[1:]) == {w.cacher.revision - 1}


async def test_after_compaction_watches_of_what_changed_end_and_the_others_go_on() -> None:
    storage = Shaky()
    async with world(PODS, NODES, storage=storage) as w:
        await w.put(PODS, "a", "p")
        await w.put(NODES, "", "n")
        pods = attach(w, w.cacher.revision)
        cache = w.cache(NODES)
        nodes = Watcher(cache, Selection(NODES), w.cacher.revision)
        w.cacher.attach(cache, nodes, 3600)
        storage.error = Compacted(99)
        await storage.create("/registry/pods/a/q", w.value(PODS, "a", "q", None, {}))
        await settle(20)
        assert w.cacher.statistics()["reloads"] == 1
        assert w.cacher.ready
        (delivery,) = await pods.batch()
        assert delivery[0] == ERROR
        assert isinstance(delivery[1], ApiError)
        assert delivery[1].code == 410
        await w.put(NODES, "", "m")
        assert [t for t, _ in await nodes.batch()] == ["ADDED"]
        assert w.cache(PODS).get("a", "q") is not None


async def test_stop_ends_everything_and_may_be_called_twice() -> None:
    async with world(PODS) as w:
        watcher = attach(w, w.cacher.revision)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(w.cacher.wait_until(w.cacher.revision + 5, 60))
            await settle()
            await w.cacher.stop()
        assert waiting.result() is False
        assert await watcher.batch() == []
        late = attach(w, w.cacher.revision)
        assert await late.batch() == []
        assert not w.cacher.ready


async def test_listers_give_shared_objects_of_the_newest_revision() -> None:
    async with world(PODS, NODES) as w:
        lister = Lister(w.cacher, PODS)
        await w.put(PODS, "a", "p", {"x": "1"})
        await w.put(PODS, "b", "q")
        pod = lister.get("a", "p")
        assert pod is not None
        assert pod["metadata"]["labels"] == {"x": "1"}
        assert pod["metadata"]["resourceVersion"] == str(w.cacher.revision - 1)
        assert lister.get("a", "p") is pod
        assert [o["metadata"]["name"] for o in lister.list()] == ["p", "q"]
        assert [o["metadata"]["name"] for o in lister.list("b")] == ["q"]
        assert lister.get("a", "nope") is None
        assert Lister(w.cacher, THINGS).list() == []
        assert lister.revision == w.cacher.revision


async def test_a_difference_between_cache_and_store_is_found() -> None:
    async with world(PODS) as w:
        await w.put(PODS, "a", "p")
        cache = w.cache(PODS)
        assert await consistency.check(w.cacher, w.storage) == []
        lost = cache.snapshot.remove("a", "p")
        assert lost is not None
        revision = w.cacher.revision
        assert await consistency.check(w.cacher, w.storage) == [
            f"pods at revision {revision}: /registry/pods/a/p is only in the store"
        ]
        changed = cache.layout.item(lost.key, "a", "p", lost.value + b" ", lost.revision)
        cache.snapshot.put(changed)
        (text,) = await consistency.check(w.cacher, w.storage)
        assert text.endswith(f"/registry/pods/a/p differs at revision {lost.revision}")
        cache.snapshot.put(lost)


async def test_each_store_has_its_own_revisions() -> None:
    main, other = Shaky(), Shaky()
    storage = PartedStorage(main, {"nodes": other})
    for i in range(9):
        await storage.create(f"/registry/nodes/n{i}", node(f"n{i}"))
    async with world(storage=storage) as w:
        assert (w.cacher.revision, w.cache(NODES).revision) == (1, 10)
        assert Lister(w.cacher, NODES).revision == 10
        watcher = Watcher(w.cache(NODES), Selection(NODES), 10)
        w.cacher.attach(w.cache(NODES), watcher, 3600)
        await w.put(PODS, "a", "p")
        await storage.create("/registry/nodes/n9", node("n9"))
        assert await w.cacher.caught_up(1)
        assert [t for t, _ in await watcher.batch()] == ["ADDED"]
        other.down, other.error = True, Unavailable("down")
        await other.create("/registry/nodes/x", node("x"))
        await settle()
        assert not w.cacher.ready
        await w.put(PODS, "a", "q")  # goes on
        other.down = False
        await w.clock.advance(1)
        assert w.cacher.ready
        assert w.cache(NODES).revision == 12


class Replaceable(MemoryStorage):
    """A memory store in whose place another one comes."""

    def __init__(self) -> None:
        super().__init__()
        self.next: MemoryStorage | None = None

    async def current_revision(self) -> int:
        return await (self.next.current_revision() if self.next else super().current_revision())

    async def list(self, prefix: str, **more: Any) -> Any:
        return await (self.next.list(prefix, **more) if self.next else super().list(prefix, **more))

    async def _watched(self, prefix: str, after: int) -> AsyncIterator[Sequence[Event]]:
        if self.next is not None:
            async for batch in self.next.watch(prefix, after_revision=after):
                yield batch
        async for batch in super().watch(prefix, after_revision=after):
            if self.next is not None:
                raise Replaced(await self.next.current_revision(), "it is another one")
            yield batch

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._watched(prefix, after_revision)


async def test_another_store_in_its_place() -> None:
    storage, other = Replaceable(), MemoryStorage()
    await other.create("/registry/minions/n", b"{}")
    made = World(storage, PODS, NODES)
    await made.cacher.start()
    try:
        for name in ("a", "b", "c"):
            await made.put(PODS, "d", name)
        await other.create("/registry/pods/d/a", made.value(PODS, "d", "a", None, {}))
        watcher = attach(made, made.cacher.revision)
        lister = Lister(made.cacher, PODS)
        assert lister.changes_after(4) == []
        storage.next = other
        await MemoryStorage.create(storage, "/registry/pods/d/last", b"{}")
        await settle()
        [(type_, error)] = await watcher.batch()
        assert type_ == ERROR
        assert isinstance(error, ApiError)
        assert (error.code, error.reason) == (410, "Expired")
        assert made.cacher.ready
        assert made.cacher.revision == 3
        assert [i.name for i in made.cache(PODS).list()] == ["a"]
        assert lister.changes_after(4) is None  # what was seen of the old one says nothing
        await other.create("/registry/pods/d/z", made.value(PODS, "d", "z", None, {}))
        await settle()
        assert [i.name for i in made.cache(PODS).list()] == ["a", "z"]
    finally:
        await made.cacher.stop()
