"""The resource suite over built-in kinds and over made-up ones; and what is left when a kind
goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
import resource_suite
import resource_suite_documents
import resource_suite_watch
from resource_suite import Check, Sample, names, version_of
from resource_suite_documents import all_documents_without
from resource_suite_samples import BUILT_IN, CONFIG_MAP, MADE_UP, STAR, WIDGET, resource_of
from served import ManualClock
from server_harness import Running, running

from kapi.storage.interface import AlreadyExists
from kapi.storage.memory import MemoryStorage

CHECKS = (
    *resource_suite.CHECKS,
    *resource_suite_watch.CHECKS,
    *resource_suite_documents.CHECKS,
)
SAMPLES = (*BUILT_IN, *MADE_UP)
_serial = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run() -> AsyncIterator[Running]:
    async with running() as made:
        for sample in MADE_UP:
            made.server.serve(resource_of(sample))
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.plural)
async def test_of_every_resource(run: Running, sample: Sample, check: Check) -> None:
    await resource_suite.in_its_own_place(run, sample, check, next(_serial))


async def test_watches_time_out() -> None:
    clock = ManualClock()
    async with running(clock=clock) as run:
        path = f"{CONFIG_MAP.of('default')}?watch=1&resourceVersion=1&timeoutSeconds=10"
        async with run.client.watch(path) as w:
            await clock.advance(9)
            await run.client.post(CONFIG_MAP.of("default"), CONFIG_MAP.make("one"))
            assert await w.take(1) == [("ADDED", "one")]
            await clock.advance(2)
            assert await w.ended()


async def test_versions_that_are_not_there() -> None:
    clock = ManualClock()
    async with running(clock=clock) as run:
        c, collection = run.client, CONFIG_MAP.of("default")
        for query in ("watch=1&resourceVersion=x", "watch=1&resourceVersion=-1"):
            assert (await c("GET", f"{collection}?{query}")).status in (400, 500)
        future = await run.storage.current_revision() + 1000
        asked = asyncio.gather(
            c("GET", f"{collection}?resourceVersion={future}"),
            c("GET", f"/api/v1/namespaces/default?resourceVersion={future}"),
        )
        await clock.advance(5)
        for answer in await asked:
            assert answer.expect(504)["reason"] == "Timeout"
            assert answer.header("retry-after") == "1"
        async with c.watch(f"{collection}?watch=1&resourceVersion={future}") as w:
            await clock.advance(5)
            event = await w.next()
            assert event is not None
            assert event["type"] == "ERROR"
            assert await w.ended()


async def test_a_resource_that_comes_and_goes() -> None:
    async with running() as run:
        c = run.client
        await all_documents_without(run, WIDGET)
        run.server.serve(resource_of(WIDGET))
        run.server.serve(resource_of(STAR))
        await c.post(WIDGET.of("default"), WIDGET.make("one"))
        other = resource_suite_documents.CHECKS
        for check in other:
            await check(run, WIDGET, "default")
        start = version_of(await c.get(WIDGET.of("default")))
        path = f"{WIDGET.of('default')}?watch=1&resourceVersion={start}"
        async with c.watch(path) as w, c.watch(f"{STAR.all()}?watch=1") as star:
            run.server.unserve(WIDGET.group, WIDGET.plural)
            assert await w.ended()
            await c.post(STAR.all(), STAR.make("sirius"))
            assert await star.take(1) == [("ADDED", "sirius")]
        await all_documents_without(run, WIDGET)
        for method in ("GET", "PUT", "DELETE"):
            answer = await c(method, WIDGET.at("default", "one"), WIDGET.make("one"))
            assert answer.status == 404
        assert (await c("POST", WIDGET.of("default"), WIDGET.make("two"))).status == 404
        run.server.unserve(WIDGET.group, WIDGET.plural)


async def test_a_resource_that_comes_back_finds_its_objects() -> None:
    async with running() as run:
        run.server.serve(resource_of(WIDGET))
        made = await run.client.post(WIDGET.of("default"), WIDGET.make("one"))
        run.server.unserve(WIDGET.group, WIDGET.plural)
        run.server.serve(resource_of(WIDGET))
        assert await run.client.get(WIDGET.at("default", "one")) == made
        assert names(await run.client.get(WIDGET.of("default"))) == ["one"]


async def test_servers_side_by_side_share_nothing() -> None:
    async with running(seed=1) as one, running(seed=2, alone=False) as two:
        one.server.serve(resource_of(WIDGET))
        await one.client.post(WIDGET.of("default"), WIDGET.make("w"))
        assert (await two.client("GET", WIDGET.of("default"))).status == 404
        path = "/api/v1/namespaces/default/configmaps"
        await one.client.post(path, {"metadata": {"name": "a"}})
        assert "a" not in names(await two.client.get(path))
        async with two.client.watch(f"{path}?watch=1&resourceVersion=0") as w:
            await one.client.post(path, {"metadata": {"name": "b"}})
            await two.client.post(path, {"metadata": {"name": "mine"}})
            found = [("ADDED", name) for name in names(await two.client.get(path))]
            assert await w.take(len(found)) == found
            await one.caught_up()
            await two.client.post(path, {"metadata": {"name": "last"}})
            assert await w.take(1) == [("ADDED", "last")]
        uids = [
            (await run.client.get("/api/v1/namespaces/default"))["metadata"]["uid"]
            for run in (one, two)
        ]
        assert uids[0] != uids[1]


async def test_a_server_may_stop_twice_and_early() -> None:
    async with running() as run:
        await run.server.stop()
        await run.server.stop()
        refused = await run.client("GET", "/api/v1/namespaces/default")
        assert refused.status in (200, 429, 503)


class TakenOnce(MemoryStorage):
    """A store in which the first generated name of a config map is taken."""

    taken = ""

    async def create(self, key: str, value: bytes) -> int:
        if "/made-" in key and not self.taken:
            self.taken = key
            raise AlreadyExists(key)
        return await super().create(key, value)


async def test_another_name_is_generated_where_the_first_is_taken() -> None:
    store = TakenOnce()
    async with running(storage=store) as run:
        body = {"metadata": {"generateName": "made-"}}
        made = await run.client.post("/api/v1/namespaces/default/configmaps", body)
        assert store.taken
        assert not store.taken.endswith(made["metadata"]["name"])
