"""Reads by resource versions: what is fresh enough, exact, too old, or not there yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from served import NODES, PODS, THINGS, World, settle, world

from kapi.cacher.watcher import BOOKMARK, ERROR, Bookmark
from kapi.errors import ApiError
from kapi.messages import Query
from kapi.registry import list_options
from kapi.registry.listing import Page
from kapi.storage.interface import Unavailable
from kapi.storage.memory import MemoryStorage


async def page(w: World, text: str = "", namespace: str = "") -> Page:
    return await w.reader.list(PODS, namespace, Query(text))


def names(found: Page) -> list[str]:
    return [item.name for item in found.items]


async def refusal(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def fill(w: World, count: int = 5) -> list[int]:
    return [
        await w.put(PODS, "a", f"p{i}", {"odd": str(i % 2)}, spec={"nodeName": f"n{i % 3}"})
        for i in range(count)
    ]


# -- get ------------------------------------------------------------------------------------------


async def test_get() -> None:
    async with world() as w:
        revision = await w.put(PODS, "a", "p")
        item = await w.reader.get(PODS, "a", "p")
        assert (item.name, item.revision) == ("p", revision)
        await w.put(NODES, "", "n")
        # The namespace of what has none is ignored: /api/v1/namespaces/x has one in its path.
        assert (await w.reader.get(NODES, "n", "n")).name == "n"
        error = await refusal(w.reader.get(PODS, "b", "p"))
        assert (error.code, error.message) == (404, 'pods "p" not found')


async def test_get_sees_every_write_that_was_acknowledged() -> None:
    async with world() as w:
        value = w.value(PODS, "a", "p", None, {})
        revision = await w.storage.create("/registry/pods/a/p", value)
        assert w.cacher.revision < revision
        assert (await w.reader.get(PODS, "a", "p")).revision == revision
        await w.storage.update("/registry/pods/a/p", value, expected_revision=revision)
        assert (await w.reader.get(PODS, "a", "p", Query("resourceVersion=0"))).revision == revision
        newer = Query(f"resourceVersion={revision + 1}")
        assert (await w.reader.get(PODS, "a", "p", newer)).revision == revision + 1


async def test_get_of_a_bad_version_and_of_one_that_never_comes() -> None:
    async with world() as w:
        error = await refusal(w.reader.get(PODS, "a", "p", Query("resourceVersion=x")))
        assert (error.code, error.reason) == (500, "")
        async with asyncio.TaskGroup() as group:
            call = w.reader.get(PODS, "a", "p", Query("resourceVersion=99"))
            waiting = group.create_task(refusal(call))
            await w.clock.advance(2.8)
            assert not waiting.done()
            await w.clock.advance(0.4)
        assert waiting.result().status() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Timeout: Too large resource version: 99, current: 1",
            "reason": "Timeout",
            "details": {
                "causes": [
                    {
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }
                ],
                "retryAfterSeconds": 1,
            },
            "code": 504,
        }


class Ahead(MemoryStorage):
    """Claims a revision that its watches never deliver, as a store that lags behind itself."""

    ahead = 0

    async def current_revision(self) -> int:
        return await super().current_revision() + self.ahead


async def test_a_cache_that_does_not_catch_up_is_passed_by() -> None:
    storage = Ahead()
    async with world(storage=storage) as w:
        revision = await w.put(PODS, "a", "p")
        storage.ahead = 1
        async with asyncio.TaskGroup() as group:
            got = group.create_task(w.reader.get(PODS, "a", "p"))
            listed = group.create_task(page(w, "limit=5"))
            absent = group.create_task(refusal(w.reader.get(PODS, "a", "q")))
            watched = group.create_task(
                refusal(w.reader.watch(PODS, "", list_options.EVERYTHING, 60))
            )
            await w.clock.advance(3.3)
        assert got.result().revision == revision
        assert names(listed.result()) == ["p"]
        assert absent.result().code == 404
        assert watched.result().code == 503
        storage.ahead = 0


async def test_an_unavailable_store_is_a_503_but_what_may_be_stale_is_served() -> None:
    class Down(MemoryStorage):
        down = False

        async def current_revision(self) -> int:
            if self.down:
                raise Unavailable("disk full")
            return await super().current_revision()

    storage = Down()
    async with world(storage=storage) as w:
        await w.put(PODS, "a", "p")
        storage.down = True
        assert (await refusal(w.reader.get(PODS, "a", "p"))).code == 503
        assert (await refusal(page(w))).code == 503
        assert (await w.reader.get(PODS, "a", "p", Query("resourceVersion=0"))).name == "p"
        assert names(await page(w, "resourceVersion=0")) == ["p"]
        storage.down = False


# -- list -----------------------------------------------------------------------------------------


async def test_list_by_version() -> None:
    async with world() as w:
        revisions = await fill(w)
        await w.delete(PODS, "a", "p0")
        now = w.cacher.revision
        rest = ["p1", "p2", "p3", "p4"]
        for text in ("", "resourceVersion=0", "resourceVersion=1", f"resourceVersion={now}"):
            found = await page(w, text)
            assert (names(found), found.revision) == (rest, now)
        old = f"resourceVersion={revisions[2]}"
        found = await page(w, f"{old}&resourceVersionMatch=Exact")
        assert (names(found), found.revision) == (["p0", "p1", "p2"], revisions[2])
        assert names(await page(w, f"{old}&resourceVersionMatch=NotOlderThan")) == rest
        found = await page(w, f"{old}&limit=2")
        assert (names(found), found.remaining) == (["p0", "p1"], 1)
        found = await page(w, "resourceVersion=0&limit=1")
        assert (names(found), found.continue_token) == (rest, "")
        assert (await refusal(page(w, "resourceVersion=x"))).message == (
            'invalid resource version: resourceVersion: Invalid value: "x": '
            'strconv.ParseUint: parsing "x": invalid syntax'
        )


async def test_a_list_of_the_future_is_waited_for() -> None:
    async with world() as w:
        async with asyncio.TaskGroup() as group:
            text = f"resourceVersion={w.cacher.revision + 1}"
            waiting = group.create_task(page(w, text))
            await settle()
            await w.put(PODS, "a", "p")
        assert names(waiting.result()) == ["p"]
        exact = await refusal(page(w, "resourceVersion=99&resourceVersionMatch=Exact"))
        assert (exact.code, exact.reason) == (504, "Timeout")


async def test_selectors_and_names() -> None:
    async with world() as w:
        await fill(w)
        await w.put(PODS, "b", "p1", {"odd": "1"})
        assert names(await page(w, "labelSelector=odd%3D1")) == ["p1", "p3", "p1"]
        assert names(await page(w, "labelSelector=odd%3D1", "b")) == ["p1"]
        assert names(await page(w, "fieldSelector=spec.nodeName%3Dn1")) == ["p1", "p4"]
        both = "labelSelector=odd%3D1&fieldSelector=spec.nodeName%3Dn1"
        assert names(await page(w, both)) == ["p1"]
        assert names(await page(w, "fieldSelector=metadata.name%3Dp1")) == ["p1", "p1"]
        assert names(await page(w, "fieldSelector=metadata.name%3Dp1", "b")) == ["p1"]
        assert names(await page(w, "fieldSelector=metadata.name%3Dp2", "b")) == []
        assert names(await page(w, "fieldSelector=metadata.namespace%3Db")) == ["p1"]
        assert names(await page(w, "fieldSelector=metadata.namespace%3Db", "a")) == []
        two = "fieldSelector=metadata.name%3Dp1,metadata.name%3Dp2"
        assert names(await page(w, two, "a")) == []


async def test_pages_are_of_one_revision_whatever_happens_between() -> None:
    async with world() as w:
        await fill(w)
        first = await page(w, "limit=2")
        assert (names(first), first.remaining) == (["p0", "p1"], 3)
        await w.put(PODS, "a", "p15")
        await w.delete(PODS, "a", "p3")
        second = await page(w, f"limit=2&continue={first.continue_token}")
        assert (names(second), second.remaining) == (["p2", "p3"], 1)
        assert second.revision == first.revision
        last = await page(w, f"limit=2&continue={second.continue_token}")
        assert (names(last), last.continue_token, last.remaining) == (["p4"], "", None)
        error = await refusal(page(w, f"continue={first.continue_token}&resourceVersion=5"))
        assert error.message == "specifying resource version is not allowed when using continue"


async def test_an_expired_token_comes_with_one_to_go_on_inconsistently() -> None:
    async with world() as w:
        await fill(w)
        first = await page(w, "limit=2")
        await w.put(PODS, "a", "p15")
        await w.storage.compact(w.cacher.revision)
        error = await refusal(page(w, f"limit=2&continue={first.continue_token}"))
        assert (error.code, error.reason) == (410, "Expired")
        assert error.message.startswith("The provided continue parameter is too old to display")
        token = error.status()["metadata"]["continue"]
        assert names(await page(w, f"limit=2&continue={token}")) == ["p15", "p2"]
        error = await refusal(page(w, "resourceVersion=2&resourceVersionMatch=Exact"))
        assert error.message == "The resourceVersion for the provided list is too old."


@seed(11)
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "a-b", "b"]), st.sampled_from("pqr")), max_size=9),
    st.integers(1, 3),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "x=1", "x!=1"]),
    st.booleans(),
)
def test_pages_put_together_are_the_list(
    puts: list[tuple[str, str]], limit: int, namespace: str, selector: str, churn: bool
) -> None:
    asyncio.run(paged(puts, limit, namespace, selector, churn))


async def paged(
    puts: list[tuple[str, str]], limit: int, namespace: str, selector: str, churn: bool
) -> None:
    async with world() as w:
        for i, (ns, name) in enumerate(puts):
            await w.put(PODS, ns, name, {"x": str(i % 2)})
        text = "labelSelector=" + selector.replace("!", "%21").replace("=", "%3D")
        whole = await page(w, text, namespace)
        found: list[tuple[str, int]] = []
        token = ""
        for _ in range(20):
            part = await page(w, f"{text}&limit={limit}&continue={token}", namespace)
            assert len(part.items) <= limit
            assert part.revision == whole.revision
            if part.remaining is not None:
                assert part.remaining == len(whole.items) - len(found) - len(part.items)
            found += [(i.key, i.revision) for i in part.items]
            token = part.continue_token
            if not token:
                break
            if churn:
                await w.put(PODS, "a", "p", {"x": "1"})
        assert found == [(i.key, i.revision) for i in whole.items]


# -- resources that come and go -------------------------------------------------------------------


async def test_a_resource_that_is_not_served_is_a_404() -> None:
    async with world(PODS) as w:
        for call in (
            w.reader.get(THINGS, "a", "t"),
            w.reader.list(THINGS, "a", Query("")),
            w.reader.watch(THINGS, "a", list_options.EVERYTHING, 60),
        ):
            error = await refusal(call)
            assert (error.code, error.reason) == (404, "NotFound")


async def test_reads_wait_for_a_resource_that_is_being_loaded() -> None:
    async with world(PODS) as w:
        await w.storage.create(
            "/registry/example.com/things/a/t", w.value(THINGS, "a", "t", None, {})
        )
        w.cacher.register(THINGS)
        assert (await w.reader.get(THINGS, "a", "t")).name == "t"


# -- watch ----------------------------------------------------------------------------------------


async def watch(w: World, text: str, namespace: str = "", timeout: float = 60) -> Any:
    options = list_options.parse(Query(text), PODS)
    return await w.reader.watch(PODS, namespace, options, timeout)


async def types(watcher: Any) -> list[str]:
    """What is there to read without waiting."""
    out = []
    for _ in range(10):
        out += [type_ for type_, _ in watcher.batch_nowait()]
    return out


async def test_where_a_watch_starts() -> None:
    async with world() as w:
        revisions = await fill(w, 3)
        for text, expected in (
            ("watch=1", ["ADDED"] * 3),
            ("watch=1&resourceVersion=0", ["ADDED"] * 3),
            ("watch=1&allowWatchBookmarks=1", ["ADDED"] * 3 + [BOOKMARK]),
            (f"watch=1&resourceVersion={revisions[0]}", ["ADDED"] * 2),
            (f"watch=1&resourceVersion={revisions[2]}", []),
            ("watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", []),
            ("watch=1&fieldSelector=metadata.name%3Dp1", ["ADDED"]),
            ("", ["ADDED"] * 3),  # as under /watch/
            ("allowWatchBookmarks=1", ["ADDED"] * 3),
        ):
            watcher = await watch(w, text)
            assert await types(watcher) == expected, text
            watcher.end()


async def test_watch_bad_versions() -> None:
    async with world() as w:
        for version in ("x", "-5"):
            error = await refusal(watch(w, f"watch=1&resourceVersion={version}"))
            assert (error.code, error.reason) == (500, "")
            assert error.message.startswith(f'resourceVersion: Invalid value: "{version}"')


async def test_a_watch_from_before_the_history_is_told_so_in_the_stream() -> None:
    async with world() as w:
        await w.put(PODS, "a", "p")
        w.cache(PODS).history.clear(w.cacher.revision)
        watcher = await watch(w, "watch=1&resourceVersion=1")
        ((type_, error),) = watcher.batch_nowait()
        assert (type_, error.code, error.message) == (ERROR, 410, "too old resource version: 1 (2)")
        assert await watcher.batch() == []


async def test_a_watch_from_the_future() -> None:
    async with world() as w:
        first = await watch(w, f"watch=1&resourceVersion={w.cacher.revision + 1}")
        far = await watch(w, "watch=1&resourceVersion=999")
        short = await watch(w, "watch=1&resourceVersion=999", timeout=1)
        await w.put(PODS, "a", "p")
        await w.put(PODS, "a", "q")
        await w.clock.advance(3.2)
        assert await types(first) == ["ADDED"]
        assert not first.over
        ((type_, error),) = far.batch_nowait()
        assert (type_, error.code, error.reason) == (ERROR, 504, "Timeout")
        assert await short.batch() == []


async def test_initial_events_are_not_older_than_asked_for() -> None:
    async with world() as w:
        text = (
            "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan"
            f"&allowWatchBookmarks=1&resourceVersion={w.cacher.revision + 1}"
        )
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(watch(w, text))
            await settle()
            assert not waiting.done()
            await w.put(PODS, "a", "p")
        watcher = waiting.result()
        got = watcher.batch_nowait() + watcher.batch_nowait()
        assert [t for t, _ in got] == ["ADDED", BOOKMARK]
        mark = got[-1][1]
        assert isinstance(mark, Bookmark)
        assert mark.initial_end
        assert mark.revision == w.cacher.revision
