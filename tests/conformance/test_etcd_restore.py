"""A real etcd that goes back to a backup, or is replaced, under servers that run: they notice, say
so, list everything anew, and their clients are told to do the same."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from etcd_process import Etcd, one_member
from ports import free_ports
from replicas_harness import replica
from server_harness import Running, eventually

from kapi.clock import SystemClock
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import EtcdClient, EtcdFiles

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
WAIT_S = 30.0


async def make(server: Running, *names: str, **data: str) -> None:
    for name in names:
        await server.client.post(MAPS, {"metadata": {"name": name}, "data": data})


async def listed(server: Running) -> dict[str, Json]:
    answer = await server.client("GET", MAPS)
    if answer.status != 200:
        return {}
    found = {o["metadata"]["name"]: o.get("data", {}) for o in answer.json["items"]}
    found.pop("kube-root-ca.crt", None)
    return found


def lists(server: Running, expected: dict[str, Json]) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return await listed(server) == expected

    return so


async def ready(server: Running) -> None:
    async def so() -> bool:
        return (await server.client("GET", "/readyz")).status == 200

    await eventually(so, WAIT_S)


async def revision(server: Running) -> int:
    return int((await server.client.get(MAPS))["metadata"]["resourceVersion"])


async def ends_with_410(watch: Any) -> None:
    """A watch gives whatever it has, then that it is too old, and ends."""
    last = None
    while (event := await watch.next(WAIT_S)) is not None:
        last = event
    assert last is not None
    assert last["type"] == "ERROR"
    assert (last["object"]["code"], last["object"]["reason"]) == (410, "Expired")


async def works(one: Running, other: Running, name: str) -> None:
    """What is written at one is seen at the other, by a list and by a watch from there."""
    start = await revision(other)
    async with other.client.watch(f"{MAPS}?watch=1&resourceVersion={start}") as watch:
        await make(one, name)
        assert await watch.take(1) == [("ADDED", name)]
    assert name in await listed(other)
    assert name in await listed(one)


async def test_a_backup_is_restored(tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1) as one, replica([etcd.url], 2) as two:
            await make(one, "kept", "changed", "removed", state="old")
            etcd.save(backup)
            then = await revision(one)
            body = {"metadata": {"name": "changed"}, "data": {"state": "new"}}
            await one.client.put(f"{MAPS}/changed", body)
            await one.client.delete(f"{MAPS}/removed")
            await make(one, *(f"lost{i}" for i in range(20)))
            last = await revision(two)
            assert last > then
            path = f"{MAPS}?watch=1&resourceVersion={last}"
            async with one.client.watch(path) as first, two.client.watch(path) as second:
                etcd.kill()
                etcd.restore(backup)
                etcd.start()
                etcd.wait()
                await ends_with_410(first)
                await ends_with_410(second)
            old = {name: {"state": "old"} for name in ("kept", "changed", "removed")}
            for server in (one, two):
                await eventually(lists(server, old), WAIT_S)
                await ready(server)
                assert (await server.client("GET", f"{MAPS}/lost3")).status == 404
                assert await revision(server) < last
                # A version that has not happened yet is none that is too old.
                future = await server.client("GET", f"{MAPS}?resourceVersion={last + 1000}")
                assert future.status == 504
            await works(one, two, "after")
            await works(two, one, "later")


async def test_others_wrote_past_what_was_seen(tmp_path: Path) -> None:
    """Neither the revision nor the cluster's id tells; the history does."""
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1) as one, replica([etcd.url], 2) as two:
            await make(one, "kept", state="old")
            etcd.stop()
            shutil.copytree(etcd.data, tmp_path / "copy")
            etcd.start()
            etcd.wait()
            await eventually(lists(one, {"kept": {"state": "old"}}), WAIT_S)
            await ready(one)
            await make(one, "lost")
            last = await revision(one)
            async with one.client.watch(f"{MAPS}?watch=1&resourceVersion={last}") as watch:
                etcd.stop()
                shutil.rmtree(etcd.data)
                shutil.move(tmp_path / "copy", etcd.data)
                await written_elsewhere(etcd, 50)
                etcd.start()
                etcd.wait()
                await ends_with_410(watch)
            for server in (one, two):
                await eventually(lists(server, {"kept": {"state": "old"}}), WAIT_S)
                await ready(server)
                assert await revision(server) > last
            await works(one, two, "after")


async def test_revisions_that_were_bumped_and_compacted(tmp_path: Path) -> None:
    """As etcdutl does it with --bump-revision and --mark-compacted."""
    backup = tmp_path / "backup.db"
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1) as one, replica([etcd.url], 2) as two:
            await make(one, "kept", state="old")
            etcd.save(backup)
            await make(one, "lost")
            last = await revision(one)
            async with two.client.watch(f"{MAPS}?watch=1&resourceVersion={last}") as watch:
                etcd.kill()
                etcd.restore(backup)
                await written_elsewhere(etcd, 200, compacted=True)
                etcd.start()
                etcd.wait()
                await ends_with_410(watch)
            for server in (one, two):
                await eventually(lists(server, {"kept": {"state": "old"}}), WAIT_S)
                await ready(server)
                assert await revision(server) > last
                gone = await server.client("GET", f"{MAPS}?resourceVersion={last}&limit=1")
                assert gone.status == 410
            await works(one, two, "after")


async def test_another_cluster_in_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1) as one:
            await make(one, "lost")
            last = await revision(one)
            async with one.client.watch(f"{MAPS}?watch=1&resourceVersion={last}") as watch:
                etcd.kill()
                (peer,) = free_ports(1)
                (tmp_path / "other").mkdir()
                fast = ("--heartbeat-interval=10", "--election-timeout=50", "--unsafe-no-fsync")
                other = Etcd(tmp_path / "other", "new", etcd.client_port, peer, "", fast)
                other.start()
                try:
                    other.wait()
                    await ends_with_410(watch)
                    await eventually(lists(one, {}), WAIT_S)
                    await ready(one)
                    await one.client.post("/api/v1/namespaces", {"metadata": {"name": "fresh"}})
                    await one.client.post(
                        "/api/v1/namespaces/fresh/configmaps", {"metadata": {"name": "m"}}
                    )
                    assert "etcd is not the one that it was" in caplog.text
                finally:
                    await one.server.stop()
                    other.kill()


async def written_elsewhere(etcd: Etcd, writes: int, *, compacted: bool = False) -> None:
    """Run it where nobody looks for it, and write to it."""
    port, peer = free_ports(2)
    hidden = Etcd(etcd.directory, etcd.name, port, peer, "", etcd.command[8:])
    hidden.start()
    client = EtcdClient([hidden.url], EtcdFiles(), SystemClock())
    try:
        hidden.wait()
        for i in range(writes):
            data = await client.write("KV/Put", messages.put_request(b"elsewhere", b"%d" % i))
        if compacted:
            newest = messages.revision_of(data)
            await client.write("KV/Compact", messages.compaction_request(newest))
    finally:
        await client.close()
        hidden.stop()
