"""How long a client waits for a create on etcd, and how much of that is etcd's own commit.

Creates of pods, and bare transactions that put a value of the same size into the same etcd, take
turns in short slices: what else the machine does hits both. `run.py` calls `beside` after the rows,
when the target is on an etcd; the report has a table of its own for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import objects
from client import run
from rows import NAMESPACE, ROUNDS, percentile
from targets import Failed, KapiOnEtcd

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_rpc import Channel

CLIENTS = (1, 16)
SLICE_SECONDS = 0.1
POD = b"/registry/pods/default/shop-000007"  # the row "create" has made it


@dataclass(frozen=True, slots=True)
class Beside:
    """Milliseconds until the answer, of the round with the fastest creates."""

    clients: int
    create_p50: float
    create_p99: float
    commit_p50: float
    commit_p99: float

    @property
    def more(self) -> float:
        """What a create takes beyond a commit, by the medians."""
        return self.create_p50 - self.commit_p50


async def beside(target: KapiOnEtcd, seconds: float) -> list[Beside]:
    """One for each number of clients."""
    numbers = itertools.count()
    channel = Channel(target.address.host, target.etcd_port, None)
    await channel.connect(5)
    try:
        value = await _value(channel)
        found = []
        for clients in CLIENTS:
            rounds = []
            for _ in range(ROUNDS):
                creates: list[float] = []
                commits: list[float] = []
                end = time.perf_counter() + 2 * seconds
                while time.perf_counter() < end:
                    creates += await _creates(target, clients, numbers)
                    commits += await _commits(channel, clients, numbers, value)
                rounds.append(_beside(clients, sorted(creates), sorted(commits)))
            found.append(min(rounds, key=lambda each: each.create_p50))
        return found
    finally:
        await channel.close()


def _beside(clients: int, creates: list[float], commits: list[float]) -> Beside:
    each = [percentile(of, share) for of in (creates, commits) for share in (0.5, 0.99)]
    return Beside(clients, *each)


async def _value(channel: Channel) -> bytes:
    """What a pod is in etcd."""
    data = await channel.unary("etcdserverpb.KV/Range", messages.range_request(POD), timeout=5)
    answer = messages.range_answer(data)
    if not answer.kvs:
        raise Failed("the pod that commits are to be as large as is not in etcd")
    return answer.kvs[0].value


async def _creates(target: KapiOnEtcd, clients: int, numbers: Iterator[int]) -> list[float]:
    end = time.perf_counter() + SLICE_SECONDS

    def pods() -> Iterator[bytes]:
        while time.perf_counter() < end:
            body = objects.encoded(objects.pod(1_000_000 + next(numbers)))
            yield target.address.request("POST", f"{NAMESPACE}/pods", body)

    tally, _ = await run(target.address, [pods() for _ in range(clients)])
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
