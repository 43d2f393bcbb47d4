"""Load on two servers over three members of etcd while all of them are killed and frozen in turn.

What clients saw is a linearizable history of what etcd says happened; nothing acknowledged is lost,
nothing is made twice; watches that go on with whatever server is there see each change once and in
order. `KAPI_SOAK_SECONDS` says how long, 20 s unless set; the seed is in the text of a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from etcd_process import Etcd, three_members
from linearizable import Call, State, problems
from server_process import Connection, Gone, Process
from storage_story import collect
from validators import flat

from kapi.clock import SystemClock
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.interface import Event

Json = dict[str, Any]
SECONDS = float(os.environ.get("KAPI_SOAK_SECONDS", "20"))
SEED = int(os.environ.get("KAPI_SOAK_SEED", "20261124"))
COLLECTION = "/api/v1/namespaces/default/configmaps"
PREFIX = "/registry/configmaps/default/"
NAMES = [f"key-{i}" for i in range(4)]
CLIENTS = 6
WATCHERS = 2
LOST = (Gone, OSError, TimeoutError)


@dataclass
class Cluster:
    """Members and servers, which may be down; and where a client may try."""

    directory: Path
    members: list[Etcd]
    servers: list[Process | None] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    async def start_server(self, number: int) -> None:
        kubeconfig = self.directory / f"{number}.kubeconfig"
        process = Process(
            self.directory / "data",
            f"--kubeconfig={kubeconfig}",
            "--etcd-servers=" + ",".join(m.url for m in self.members),
            "--etcd-compaction-interval=0s",
        )
        try:
            await process.ready()
        except (AssertionError, TimeoutError):
            process.close()  # etcd was down just then: it is started again
            raise
        self.servers[number] = process

    async def ensure_server(self, number: int) -> None:
        while self.servers[number] is None:
            with contextlib.suppress(AssertionError, TimeoutError):
                await self.start_server(number)

    def ports(self) -> list[int]:
        return [s.port for s in self.servers if s is not None]


class Client:
    """Calls on a few objects that all clients share; every call is remembered."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.number = number
        self.random = Random(SEED * 1000 + number)
        self.calls: dict[str, list[Call]] = {name: [] for name in NAMES}
        self._connection: Connection | None = None
        self._serial = 0
        self._known: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if self._connection is None:
                    ports = self.cluster.ports()
                    if not ports:
                        await asyncio.sleep(0.05)
                        continue
                    async with asyncio.timeout(2):
                        self._connection = await Connection.open(self.random.choice(ports))
            except LOST:
                await asyncio.sleep(0.05)
                continue
            await self._call(self._connection, self.random.choice(NAMES))
            await asyncio.sleep(self.random.random() * 0.02)
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*LOST):
                async with asyncio.timeout(1):
                    await connection.close()

    async def _call(self, connection: Connection, name: str) -> None:
        known = self._known.get(name, 0)
        chance = self.random.random()
        at = f"{COLLECTION}/{name}"
        self._serial += 1
        value = f"{self.number}.{self._serial}"
        body: Json = {"metadata": {"name": name}, "data": {"v": value}}
        if chance < 0.45:
            await self._made("read", name, connection.request("GET", at))
        elif not known:
            await self._made("create", name, connection.request("POST", COLLECTION, body), value)
        elif chance < 0.9:
            body["metadata"]["resourceVersion"] = str(known)
            call = connection.request("PUT", at, body)
            await self._made("change", name, call, value, known)
        else:
            options = {"preconditions": {"resourceVersion": str(known)}}
            await self._made("delete", name, connection.request("DELETE", at, options), None, known)

    async def _made(
        self,
        kind: str,
        name: str,
        request: Awaitable[tuple[int, Any]],
        value: str | None = None,
        expected: int = 0,
    ) -> None:
        begin = time.monotonic()
        status = 0
        answer: Any = None
        try:
            status, answer = await request
        except LOST:
            await self._drop()
        end = time.monotonic()
        outcome, revision = "unknown", 0
        if status in (200, 201):
            outcome = "made"
            if kind != "delete":
                revision = int(answer["metadata"]["resourceVersion"])
                value = answer["data"]["v"]
            self._known[name] = revision
        elif status == 404 and kind == "read":
            outcome = "made"
            self._known[name] = 0
        elif status in (404, 409):
            outcome = "refused"
            self._known.pop(name, None)
            if kind == "create":
                self._known[name] = 1  # something stands there: a read will tell
        elif status == 503:
            outcome = "nothing"
        else:
            assert status in (0, 504, 429), (status, answer)
        self.calls[name].append(
            Call(
                kind=kind,
                begin=begin,
                end=end,
                outcome=outcome,
                value=value,
                revision=revision,
                expected=expected,
            )
        )


class Follower:
    """A watch that goes on, from its last version, with any server that is there."""

    def __init__(self, cluster: Cluster, number: int, start: int) -> None:
        self.cluster = cluster
        self.random = Random(SEED * 77 + number)
        self.at = start
        self.seen: list[tuple[int, str, str]] = []
        self.resumed = 0

    async def run(self) -> None:
        while True:
            ports = self.cluster.ports()
            if ports:
                with contextlib.suppress(*LOST, AssertionError):
                    await self._follow(self.random.choice(ports))
            self.resumed += 1
            await asyncio.sleep(0.05)

    async def _follow(self, port: int) -> None:
        async with asyncio.timeout(2):
            connection = await Connection.open(port)
        try:
            path = f"{COLLECTION}?watch=1&resourceVersion={self.at}&timeoutSeconds=3"
            async for event in connection.watch(path):
                if event["type"] == "ERROR":
                    assert event["object"]["code"] in (500, 503, 504), event
                    return
                meta = event["object"]["metadata"]
                self.at = int(meta["resourceVersion"])
                self.seen.append((self.at, event["type"], meta["name"]))
        finally:
            with contextlib.suppress(*LOST):
                async with asyncio.timeout(1):
                    await connection.close()


async def disturb(cluster: Cluster, stop: asyncio.Event) -> None:
    """One fault after the other until told to stop; then everything is up again."""
    random = Random(SEED)

    async def pause(low: float, high: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(low, high)):
                await stop.wait()

    async def kill_member(member: Etcd) -> None:
        member.kill()
        await pause(0.3, 1.5)
        member.start()

    async def freeze_member(member: Etcd) -> None:
        member.freeze()
        await pause(0.3, 3)
        member.thaw()

    async def kill_two(member: Etcd) -> None:
        other = cluster.members[(cluster.members.index(member) + 1) % 3]
        member.kill()
        other.kill()
        await pause(0.3, 1)
        member.start()
        other.start()

    async def kill_server(_: Etcd) -> None:
        number = random.randrange(len(cluster.servers))
        process, cluster.servers[number] = cluster.servers[number], None
        if process is not None:
            process.kill()
            process.close()
        await cluster.ensure_server(number)

    faults: list[Callable[[Etcd], Awaitable[None]]] = [
        kill_member,
        freeze_member,
        kill_server,
        kill_server,
        kill_two,
    ]
    while not stop.is_set():
        await pause(0.5, 2)
        fault = random.choice(faults)
        await fault(random.choice(cluster.members))
        cluster.faults[fault.__name__] += 1


async def truth(cluster: Cluster, start: int) -> list[Event]:
    """Every change of the objects, as etcd has them."""
    urls = [m.url for m in cluster.members]
    storage = await EtcdStorage.open(EtcdSettings(servers=urls), SystemClock())
    try:
        last = await storage.current_revision()
        # So that the watch has an end to wait for.
        await storage.create("/registry/configmaps/other/end", b"{}")
        events = flat(await collect(storage.watch("/registry/", after_revision=start), last + 1))
        return [e for e in events if e.key.startswith(PREFIX)]
    finally:
        await storage.close()


def states_of(events: list[Event], name: str) -> list[State]:
    """What the key was; values are found in the stored bytes: the entry "v" of a map."""
    entry = b"\n\x01v\x12"
    out = []
    for event in events:
        if event.key != PREFIX + name:
            continue
        value = None
        if event.type != "delete":
            start = event.value.index(entry) + len(entry) + 1
            value = event.value[start : start + event.value[start - 1]].decode()
        out.append(State(event.revision, value))
    return out


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
async def test_what_clients_see_while_everything_fails_in_turn(tmp_path: Path) -> None:
    with three_members(tmp_path) as members:
        cluster = Cluster(tmp_path, members, [None, None])
        for number in range(2):
            await cluster.ensure_server(number)
        try:
            await _soak(cluster)
        finally:
            for server in cluster.servers:
                if server is not None:
                    server.close()


async def _soak(cluster: Cluster) -> None:
    connection = await Connection.open(cluster.ports()[0])
    _, listed = await connection.request("GET", COLLECTION)
    await connection.close()
    start = int(listed["metadata"]["resourceVersion"])
    clients = [Client(cluster, number) for number in range(CLIENTS)]
    followers = [Follower(cluster, number, start) for number in range(WATCHERS)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(follower.run()) for follower in followers]
        disturbing = tasks.create_task(disturb(cluster, stop))
        calling = [tasks.create_task(client.run(stop)) for client in clients]
        await asyncio.sleep(SECONDS)
        stop.set()
        await asyncio.wait([disturbing, *calling])
        events = await truth(cluster, start)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while any(len(f.seen) < len(events) for f in followers):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        for task in following:
            task.cancel()
    counts = Counter(c.outcome for client in clients for n in NAMES for c in client.calls[n])
    print(f"\nseed {SEED}: {dict(counts)}, {len(events)} changes, {dict(cluster.faults)}")
    found = [
        problem
        for name in NAMES
        for problem in problems(
            [c for client in clients for c in client.calls[name]],
            states_of(events, name),
        )
    ]
    assert not found, f"seed {SEED}: " + "\n".join(found[:10])
    words = {"create": "ADDED", "update": "MODIFIED", "delete": "DELETED"}
    happened = [(e.revision, words[e.type], e.key.removeprefix(PREFIX)) for e in events]
    for follower in followers:
        assert follower.seen == happened
    assert sum(cluster.faults.values()) >= SECONDS / 15
    assert counts["made"] > SECONDS
