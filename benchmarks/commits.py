"""How long a client waits for a create on etcd, and how much of that is etcd's own commit.

Creates of an object, bare transactions that put a value of the same size into the same etcd, and
creates on SQLite take turns in short slices: what else the machine does hits all. `run.py` calls
`beside` after the rows, when a target is on an etcd; the report has a table of its own for it. Many
clients wait for each other: their times are those of a queue.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import objects
from client import Address, context, run
from rows import NAMESPACE, ROUNDS, percentile
from targets import Failed, KapiOnEtcd, Target

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_rpc import Channel

CLIENTS = (1, 16)
SLICE_SECONDS = 0.25
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is created: its title, plural, and one with a number."""

    title: str
    plural: str
    one: Callable[[int], Json]


KINDS = (
    Kind("a config map", "configmaps", lambda number: objects.config_map(f"beside-{number}")),
    Kind("a pod of 3 KB", "pods", lambda number: objects.pod(1_000_000 + number)),
)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds until the answer."""

    p50: float
    p99: float
    mean: float


@dataclass(frozen=True, slots=True)
class Beside:
    """Of the round with the fastest creates on etcd."""

    what: str
    clients: int
    on_etcd: Times
    commit: Times
    on_sqlite: Times
    served: float  # the mean that the server on etcd measures itself, in milliseconds

    @property
    def more(self) -> float:
        """What a create takes beyond a commit, by the medians."""
        return self.on_etcd.p50 - self.commit.p50

    @property
    def served_more(self) -> float:
        """The same of what the server measures, by the means: without TLS, HTTP and the client."""
        return self.served - self.commit.mean


async def beside(target: KapiOnEtcd, sqlite: Target, seconds: float) -> list[Beside]:
    """One for each kind and number of clients."""
    numbers = itertools.count()
    channel = Channel(target.address.host, target.etcd_port, None)
    await channel.connect(5)
    try:
        found = []
        for kind, clients in itertools.product(KINDS, CLIENTS):
            await _creates(target, kind, 1, numbers)
            value = await _value(channel, kind)
            rounds = []
            for _ in range(ROUNDS):
                creates: list[float] = []
                commits: list[float] = []
                others: list[float] = []
                before = await _served(target.address, kind.plural)
                end = time.perf_counter() + 3 * seconds
                while time.perf_counter() < end:
                    creates += await _creates(target, kind, clients, numbers)
                    commits += await _commits(channel, clients, numbers, value)
                    others += await _creates(sqlite, kind, clients, numbers)
                times = (_times(creates), _times(commits), _times(others))
                after = await _served(target.address, kind.plural)
                served = (after[0] - before[0]) / (after[1] - before[1]) * 1000
                rounds.append(Beside(kind.title, clients, *times, served))
            found.append(min(rounds, key=lambda each: each.on_etcd.p50))
        return found
    finally:
        await channel.close()


def _times(seconds: list[float]) -> Times:
    ordered = sorted(seconds)
    mean = sum(ordered) / len(ordered) * 1000
    return Times(percentile(ordered, 0.5), percentile(ordered, 0.99), mean)


async def _served(address: Address, plural: str) -> tuple[float, float]:
    """Seconds that the server spent on creates, and their number, by its own metrics."""
    url = f"https://{address.host}:{address.port}/metrics"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {address.token}"})

    def fetched() -> str:
        with urllib.request.urlopen(request, context=context(), timeout=10) as answer:
            return str(answer.read().decode())

    text = await asyncio.to_thread(fetched)
    found = {"sum": 0.0, "count": 0.0}
    for what, labels, value in re.findall(
        r"^apiserver_request_duration_seconds_(sum|count)\{(.*)\} (\S+)$", text, re.MULTILINE
    ):
        if f'resource="{plural}"' in labels and 'verb="POST"' in labels:
            found[what] += float(value)
    return found["sum"], found["count"]


async def _value(channel: Channel, kind: Kind) -> bytes:
    """What one of the objects is in etcd."""
    prefix = f"/registry/{kind.plural}/default/"
    wanted = messages.range_request(prefix.encode(), prefix[:-1].encode() + b"0", limit=1)
    answer = messages.range_answer(await channel.unary("etcdserverpb.KV/Range", wanted, timeout=5))
    if not answer.kvs:
        raise Failed(f"no {kind.title} is in etcd")
    return answer.kvs[0].value


async def _creates(target: Target, kind: Kind, clients: int, numbers: Iterator[int]) -> list[float]:
    end = time.perf_counter() + SLICE_SECONDS

    def creations() -> Iterator[bytes]:
        while time.perf_counter() < end:
            body = objects.encoded(kind.one(next(numbers)))
            yield target.address.request("POST", f"{NAMESPACE}/{kind.plural}", body)

    tally, _ = await run(target.address, [creations() for _ in range(clients)])
    if tally.failures:
        raise Failed(f"{tally.failures}: {tally.first_failure.decode(errors='replace')}")
    return tally.seconds


async def _commits(
    channel: Channel, clients: int, numbers: Iterator[int], value: bytes
) -> list[float]:
    end = time.perf_counter() + SLICE_SECONDS
    seconds: list[float] = []

    async def client() -> None:
        while time.perf_counter() < end:
            key = b"/bench/%09d" % next(numbers)
            put, instead = messages.put_op(key, value), messages.range_op(key)
            request = messages.txn_request(messages.if_revision(key, 0), put, instead)
            start = time.perf_counter()
            data = await channel.unary("etcdserverpb.KV/Txn", request, timeout=5)
            seconds.append(time.perf_counter() - start)
            assert messages.txn_answer(data).succeeded

    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds
