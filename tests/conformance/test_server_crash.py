"""Load over HTTPS and `kill -9` at a random moment, again and again on one data directory.

Afterwards every acknowledged write is there, and two watches that were resumed from their last
version after each crash have seen every change once and in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from server_process import Connection, Gone, connected, serving

Json = dict[str, Any]
COLLECTION = "/api/v1/namespaces/default/configmaps"
ROUNDS = 20
WRITERS = 8
NAMES = 12  # of each writer
LOAD_S = (0.05, 0.5)  # how long a round lasts
SEED = 20261124
ABSENT = None


@dataclass
class Key:
    """What a writer knows of one of its objects."""

    value: str | None = ABSENT  # as acknowledged
    version: int = 0
    maybe: list[str | None] = field(default_factory=list)  # of a request without an answer


class Writer:
    """Creates, replaces and deletes its own objects; nobody else does."""

    def __init__(self, number: int) -> None:
        self.random = Random(SEED + number)
        self.keys = {f"w{number}-{i}": Key() for i in range(NAMES)}
        self.acknowledged: list[tuple[int, str]] = []  # versions told in answers
        self._serial = 0

    async def load(self, connection: Connection) -> None:
        """Write until the server is gone."""
        while True:
            name = self.random.choice(list(self.keys))
            await self._write(connection, name, self.keys[name])

    async def _write(self, connection: Connection, name: str, key: Key) -> None:
        self._serial += 1
        value = f"{name}.{self._serial}"
        body: Json = {"metadata": {"name": name}, "data": {"v": value}}
        at = f"{COLLECTION}/{name}"
        # What happened to a request without an answer is found out first.
        if key.maybe:
            status, found = await connection.request("GET", at)
            assert status in (200, 404), (status, found)
            seen = found["data"]["v"] if status == 200 else ABSENT
            assert seen in (key.value, *key.maybe), f"{name}: {seen} was never written"
            key.value, key.maybe = seen, []
            return
        if key.value is ABSENT:
            wanted: str | None = value
            call = connection.request("POST", COLLECTION, body)
        elif self.random.random() < 0.2:
            wanted, call = ABSENT, connection.request("DELETE", at)
        else:
            wanted, call = value, connection.request("PUT", at, body)
        key.maybe = [wanted]
        status, answer = await call
        assert status in (200, 201), (name, status, answer)
        key.value, key.maybe = wanted, []
        if wanted is not ABSENT:
            self.acknowledged.append((int(answer["metadata"]["resourceVersion"]), value))

    def check(self, stored: Json) -> None:
        for name, key in self.keys.items():
            found = stored.get(name)
            assert found in (key.value, *key.maybe), f"{name}: {found}, not {key.value}"


class Watcher:
    """One client that watches through all crashes."""

    def __init__(self, start: int) -> None:
        self.version = start
        self.events: list[tuple[int, str, str, str]] = []

    async def follow(self, connection: Connection) -> None:
        path = f"{COLLECTION}?watch=1&allowWatchBookmarks=1&resourceVersion={self.version}"
        async for event in connection.watch(path):
            self.take(event)

    def take(self, event: Json) -> None:
        assert event["type"] != "ERROR", event
        obj = event["object"]
        version = int(obj["metadata"]["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self.version = max(self.version, version)
            return
        assert version > self.version, f"{event} came after version {self.version}"
        self.version = version
        self.events.append(
            (version, event["type"], obj["metadata"]["name"], obj.get("data", {}).get("v", ""))
        )

    def state(self) -> dict[str, str]:
        """What a client that kept up would hold."""
        kept: dict[str, str] = {}
        for _, kind, name, value in self.events:
            if kind == "DELETED":
                assert kept.pop(name) == value, f"{name} went as another than it was"
            else:
                assert (kind == "ADDED") == (name not in kept), f"{kind} of {name}"
                kept[name] = value
        return kept


async def until_gone(port: int, work: Callable[[Connection], Awaitable[None]]) -> None:
    try:
        connection = await Connection.open(port)
    except OSError:
        return  # it was gone before
    try:
        await work(connection)
    except Gone:
        return
    finally:
        connection.writer.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    random = Random(SEED)
    directory = tmp_path / "data"
    writers = [Writer(number) for number in range(WRITERS)]
    watchers: list[Watcher] = []
    for _ in range(ROUNDS):
        async with serving(directory) as process:
            if not watchers:
                async with connected(process.port) as c:
                    listed = (await c.request("GET", COLLECTION))[1]
                start = int(listed["metadata"]["resourceVersion"])
                watchers = [Watcher(start), Watcher(start)]
            async with asyncio.TaskGroup() as group:
                for work in (*(w.load for w in writers), *(w.follow for w in watchers)):
                    group.create_task(until_gone(process.port, work))
                await asyncio.sleep(random.uniform(*LOAD_S))
                process.kill()
        assert "Traceback" not in process.log, process.log
    async with serving(directory) as process, connected(process.port) as c:
        listed = (await c.request("GET", COLLECTION))[1]
        stored = {i["metadata"]["name"]: i["data"]["v"] for i in listed["items"]}
        for writer in writers:
            writer.check(stored)
        last = int(listed["metadata"]["resourceVersion"])
        for watcher in watchers:
            await caught_up(process.port, watcher, last, stored)
            told = {(version, value) for version, _, _, value in watcher.events}
            for writer in writers:
                missing = set(writer.acknowledged) - told
                assert not missing, f"no watch told of {missing}"
        assert watchers[0].events == watchers[1].events
        assert len(watchers[0].events) > ROUNDS * WRITERS, "too little happened"


async def caught_up(port: int, watcher: Watcher, last: int, stored: Json) -> None:
    """Let a watcher see the rest; then it must hold what is stored."""
    connection = await Connection.open(port)
    path = f"{COLLECTION}?watch=1&timeoutSeconds=1&resourceVersion={watcher.version}"
    async for event in connection.watch(path):
        watcher.take(event)
    await connection.close()
    assert watcher.version <= last
    assert watcher.state() == stored
