"""`--etcd-servers-overrides`: events in an etcd of their own, as large clusters have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from etcd_process import Etcd, one_member
from replicas_harness import catalog
from server_harness import Running, eventually, running

from kapi.__main__ import run
from kapi.assembly.stores import open_store, translated
from kapi.clock import SystemClock
from kapi.options.table import Options
from kapi.storage import keys
from kapi.storage.parts import PartedStorage, parts_of
from kapi.storage.sqlite import SqliteStorage

Json = dict[str, Any]
EVENTS, MAPS = "/api/v1/namespaces/default/events", "/api/v1/namespaces/default/configmaps"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


def event(name: str) -> Json:
    return {
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Test",
        "type": "Normal",
    }


@asynccontextmanager
async def served(main: Etcd, other: Etcd, seed: int = 1, **flags: Any) -> AsyncIterator[Running]:
    options: Json = {
        "etcd_servers": (main.url,),
        "etcd_servers_overrides": (f"/events#{other.url}",),
        "etcd_healthcheck_timeout": 0.5,
        "etcd_readycheck_timeout": 0.5,
        "bind_address": "127.0.0.1",
        **flags,
    }
    storage = await open_store(Options(**options), SystemClock())
    whole = translated(storage, Options(**options), catalog())
    async with running(storage=whole, alone=False, seed=seed, **options) as made:
        yield made


def two(stack: ExitStack, directory: Path) -> tuple[Etcd, Etcd]:
    made = []
    for name in ("main", "events"):
        (directory / name).mkdir()
        made.append(stack.enter_context(one_member(directory / name)))
    return made[0], made[1]


async def test_events_count_for_themselves(tmp_path: Path) -> None:
    with ExitStack() as stack:
        etcds = two(stack, tmp_path)
        async with served(*etcds) as one, served(*etcds, seed=2) as two_:
            main, others = parts_of(one.storage)
            assert list(others) == ["events"]
            elsewhere = others["events"]
            for i in range(7):
                await one.client.post(EVENTS, event(f"e{i}"))
            assert [r.key for r in (await elsewhere.list(keys.ROOT)).records] == [
                f"/registry/events/default/e{i}" for i in range(7)
            ]
            assert (await main.list("/registry/events/")).records == []
            # Every answer speaks of the revisions of its own store, on either server.
            for path, store in ((EVENTS, elsewhere), (NEW_EVENTS, elsewhere), (MAPS, main)):
                listed = await two_.client.get(path)
                revision = await store.current_revision()
                assert listed["metadata"]["resourceVersion"] == str(revision), path
            made = await one.client.post(EVENTS, event("late"))
            assert int(made["metadata"]["resourceVersion"]) == await elsewhere.current_revision()


async def test_lists_pages_and_watches(tmp_path: Path) -> None:
    with ExitStack() as stack:
        etcds = two(stack, tmp_path)
        async with served(*etcds) as one, served(*etcds, seed=2) as other:
            for i in range(5):
                await one.client.post(EVENTS, event(f"e{i}"))
            page = await one.client.get(f"{EVENTS}?limit=2")
            revision = page["metadata"]["resourceVersion"]
            await one.client.post(EVENTS, event("e2-later"))
            await one.client.post(MAPS, {"metadata": {"name": "m"}})
            names = [o["metadata"]["name"] for o in page["items"]]
            while token := page["metadata"].get("continue"):
                page = await other.client.get(f"{EVENTS}?limit=2&continue={token}")
                assert page["metadata"]["resourceVersion"] == revision
                names += [o["metadata"]["name"] for o in page["items"]]
            assert names == [f"e{i}" for i in range(5)]
            exact = f"{EVENTS}?resourceVersion={revision}&resourceVersionMatch=Exact"
            assert len((await other.client.get(exact))["items"]) == 5
            path = f"{EVENTS}?watch=1&resourceVersion={revision}"
            async with other.client.watch(path) as watch:
                assert await watch.take(1) == [("ADDED", "e2-later")]
                await one.client.delete(f"{EVENTS}/e0")
                assert await watch.take(1) == [("DELETED", "e0")]
            # A revision of the main store says nothing about events.
            far = int((await one.client.get(MAPS))["metadata"]["resourceVersion"])
            assert far > int(revision)
            answer = await one.client("GET", f"{EVENTS}?resourceVersion={far + 1000}")
            assert answer.status == 504
            current = (await one.client.get(EVENTS))["metadata"]["resourceVersion"]
            assert f"current: {current}" in answer.message


async def test_each_store_has_its_checks(tmp_path: Path) -> None:
    with ExitStack() as stack:
        main, other = two(stack, tmp_path)
        async with served(main, other) as one:
            verbose = await one.client("GET", "/readyz?verbose")
            assert verbose.body.startswith(
                b"[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n"
                b"[+]etcd-override-0 ok\n[+]etcd-override-readiness-0 ok\n[+]informer-sync ok\n"
            )
            other.freeze()
            try:

                async def noticed() -> bool:
                    return (await one.client("GET", "/livez/etcd-override-0")).status == 500

                await eventually(noticed, 10)
                for path in ("/livez", "/livez?exclude=etcd-readiness"):
                    assert (await one.client("GET", path)).status == 500
                for path in (
                    "/livez?exclude=etcd",
                    "/livez?exclude=etcd-override-0",
                    "/livez/etcd",
                ):
                    assert (await one.client("GET", path)).status == 200
                # What is not there disturbs nobody else.
                await one.client.post(MAPS, {"metadata": {"name": "m"}})
                assert len((await one.client.get(MAPS))["items"]) == 1
            finally:
                other.thaw()

            async def well() -> bool:
                return (await one.client("GET", "/readyz")).status == 200

            await eventually(well, 10)
            await one.client.post(EVENTS, event("after"))


async def test_events_end_in_their_own_store(tmp_path: Path) -> None:
    with ExitStack() as stack:
        etcds = two(stack, tmp_path)
        async with served(*etcds, event_ttl=1.0) as one:
            await one.client.post(EVENTS, event("short"))
            async with one.client.watch(f"{EVENTS}?watch=1&resourceVersion=0") as watch:
                first = await watch.next(10)
                assert first is not None
                last = first if first["type"] == "DELETED" else await watch.next(10)
                assert last is not None
                assert last["type"] == "DELETED"


def test_a_snapshot_is_of_all_stores(tmp_path: Path) -> None:
    snapshot, again = str(tmp_path / "s"), str(tmp_path / "t")

    async def fill(options: Options) -> int:
        storage = translated(await open_store(options, SystemClock()), options, catalog())
        assert isinstance(storage, PartedStorage)
        for i in range(3):
            meta = f'"metadata":{{"name":"e{i}"}}'
            for kind, plural in (("Event", "events"), ("ConfigMap", "configmaps")):
                value = f'{{"kind":"{kind}","apiVersion":"v1",{meta}}}'
                await storage.create(f"/registry/{plural}/default/e{i}", value.encode())
        found = max([await store.current_revision() for store in storage.stores])
        await storage.close()
        return found

    async def look(options: Options) -> tuple[list[list[str]], int]:
        storage = await open_store(options, SystemClock())
        assert isinstance(storage, PartedStorage)
        found = [(await s.list(keys.ROOT)).records for s in storage.stores]
        lowest = min([await s.current_revision() for s in storage.stores])
        await storage.close()
        return [[r.key for r in records] for records in found], lowest

    events, maps = (
        [f"/registry/{plural}/default/e{i}" for i in range(3)]
        for plural in ("events", "configmaps")
    )
    with ExitStack() as stack:
        main, other = two(stack, tmp_path)
        (tmp_path / "next").mkdir()
        new_main, new_other = two(stack, tmp_path / "next")
        old, new = (
            Options(etcd_servers=(a.url,), etcd_servers_overrides=(f"/events#{b.url}",))
            for a, b in ((main, other), (new_main, new_other))
        )
        revision = asyncio.run(fill(old))
        flags = [
            [
                f"--etcd-servers={o.etcd_servers[0]}",
                f"--etcd-servers-overrides={o.etcd_servers_overrides[0]}",
            ]
            for o in (old, new)
        ]
        assert run(["snapshot", "save", snapshot, *flags[0]]) == 0
        assert run(["snapshot", "restore", snapshot, *flags[1]]) == 0
        found, lowest = asyncio.run(look(new))
        assert found == [maps, events]
        assert lowest > revision
        assert run(["snapshot", "restore", snapshot, *flags[1]]) == 1  # not empty any more
        assert run(["snapshot", "save", again, *flags[1]]) == 0
    assert run(["snapshot", "restore", again, "--data-dir", str(tmp_path / "one")]) == 0

    async def whole() -> list[str]:
        storage = await SqliteStorage.open(tmp_path / "one")
        try:
            return [r.key for r in (await storage.list(keys.ROOT)).records]
        finally:
            await storage.close()

    assert asyncio.run(whole()) == [*maps, *events]
