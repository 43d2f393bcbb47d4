"""Addresses and ports that several servers give out: claims, lost ones, and what is leaked."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
from typing import Any

import pytest

from kapi import errors
from kapi.clock import Entropy, rfc3339
from kapi.errors import ApiError
from kapi.registry.allocation.port_range import KEY, PortRange
from kapi.registry.allocation.shared import GRACE_S, LOOKS, SharedAllocation
from kapi.registry.hooks import Occupied
from kapi.storage.memory import MemoryStorage

Json = dict[str, Any]
NOW = 1_000_000.0


class Registry:
    """Services and IPAddress objects that all servers see, after a turn of the loop."""

    def __init__(self) -> None:
        self.addresses: dict[str, Json] = {}
        self.services: dict[str, Json] = {}

    async def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None:
        await asyncio.sleep(0)
        return (self.services if plural == "services" else self.addresses).get(name)

    async def create(self, group: str, plural: str, obj: Json) -> None:
        await asyncio.sleep(0)
        name = obj["metadata"]["name"]
        if name in self.addresses:
            raise errors.already_exists(group, plural, name)
        meta = {**obj["metadata"], "creationTimestamp": rfc3339(NOW)}
        self.addresses[name] = {**obj, "metadata": meta}

    async def delete(self, group: str, plural: str, name: str) -> None:
        await asyncio.sleep(0)
        self.addresses.pop(name, None)


class Time:
    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


class Cluster:
    """Servers over one registry and one store. A cache that lags shows `seen`."""

    def __init__(self, *, network: str = "10.0.0.0/27", lags: bool = False) -> None:
        self.registry = Registry()
        self.storage = MemoryStorage()
        self.network = ipaddress.ip_network(network)
        self.lags = lags
        self.seen: list[str] = []  # what a cache that lags shows
        self.time = Time(NOW)

    def server(self, seed: int) -> SharedAllocation:
        return SharedAllocation(
            [self.network],
            PortRange(self.storage, 30000, 30015),
            self.time,
            Entropy(seed),
            self.registry,
            lambda: self.seen if self.lags else list(self.registry.addresses),
        )

    async def write(self, server: SharedAllocation, obj: Json, old: Json | None = None) -> Json:
        """As the write pipeline does it."""
        while True:
            wanted = copy.deepcopy(obj)
            claim = await server.before_write(wanted, old)
            try:
                await claim.secure()
            except Occupied:
                await claim.undo()
                continue
            self.registry.services[obj["metadata"]["name"]] = wanted
            await claim.commit()
            return wanted

    async def ports(self) -> set[int]:
        return await PortRange(self.storage, 30000, 30015).taken()


def service(name: str, kind: str = "NodePort", **spec: Any) -> Json:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "ports": ports, "selector": {"a": "b"}, **spec},
    }


@pytest.mark.parametrize("lags", [False, True])
async def test_nothing_is_given_twice(lags: bool) -> None:
    cluster = Cluster(lags=lags)
    servers = [cluster.server(7) for _ in range(3)]  # the same seed: they want the same
    made = await asyncio.gather(
        *(cluster.write(servers[i % 3], service(f"s{i}")) for i in range(12))
    )
    assert len({s["spec"]["clusterIP"] for s in made}) == 12
    assert len({s["spec"]["ports"][0]["nodePort"] for s in made}) == 12
    assert {s["spec"]["clusterIP"] for s in made} == set(cluster.registry.addresses)
    assert {s["spec"]["ports"][0]["nodePort"] for s in made} == await cluster.ports()


async def test_abandoned_claims_are_free_again() -> None:
    cluster = Cluster()
    claim = await cluster.server(1).before_write(service("a"), None)
    await claim.secure()
    assert len(cluster.registry.addresses) == len(await cluster.ports()) == 1
    await claim.undo()
    assert not cluster.registry.addresses
    assert not await cluster.ports()


async def test_a_dry_run_claims_nothing() -> None:
    cluster = Cluster()
    obj = service("a")
    claim = await cluster.server(1).before_write(obj, None)
    assert obj["spec"]["clusterIP"]
    assert obj["spec"]["ports"][0]["nodePort"]
    assert not cluster.registry.addresses
    assert not await cluster.ports()
    await claim.undo()


async def test_a_change_gives_back_what_it_leaves() -> None:
    cluster = Cluster()
    old = await cluster.write(cluster.server(1), service("a"))
    new = copy.deepcopy(old)
    new["spec"]["type"] = "ClusterIP"
    del new["spec"]["ports"][0]["nodePort"]
    await cluster.write(cluster.server(2), new, old)
    assert not await cluster.ports()
    await cluster.server(3).after_delete(new)
    assert not cluster.registry.addresses


async def test_what_another_has_is_refused() -> None:
    cluster = Cluster(lags=True)
    await cluster.write(cluster.server(1), service("a", clusterIP="10.0.0.9"))
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        await cluster.write(cluster.server(2), service("b", clusterIP="10.0.0.9"))
    assert list(cluster.registry.addresses) == ["10.0.0.9"]


async def test_an_address_may_be_asked_for_as_soon_as_it_is_given_back() -> None:
    """By another server, whose cache does not know it yet."""
    cluster = Cluster(lags=True)
    old = await cluster.write(cluster.server(1), service("a", clusterIP="10.0.0.9"))
    cluster.seen = ["10.0.0.9"]
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        await cluster.write(cluster.server(2), service("b", clusterIP="10.0.0.9"))
    await cluster.server(1).after_delete(old)
    await cluster.write(cluster.server(2), service("b", clusterIP="10.0.0.9"))
    assert list(cluster.registry.addresses) == ["10.0.0.9"]


async def test_a_claim_for_the_same_service_is_shared() -> None:
    """Two servers make the same service at once; who loses leaves the winner its address."""
    cluster = Cluster()
    first = await cluster.server(1).before_write(service("a", clusterIP="10.0.0.9"), None)
    await first.secure()
    obj = service("a", clusterIP="10.0.0.9")
    second = await cluster.server(2).before_write(obj, None)
    await second.secure()
    cluster.registry.services["a"] = obj
    await first.undo()
    await second.commit()
    assert list(cluster.registry.addresses) == ["10.0.0.9"]


async def test_leaked_claims_are_given_back_when_they_are_old() -> None:
    cluster = Cluster()
    server = cluster.server(1)
    await (await cluster.server(2).before_write(service("lost"), None)).secure()  # then it died
    held = await cluster.write(cluster.server(2), service("held"))

    async def restore(now: float) -> None:
        cluster.time.time = now
        services = [*cluster.registry.services.values()]
        await server.restore_objects(services, [*cluster.registry.addresses.values()])

    for _ in range(LOOKS - 1):
        await restore(NOW + GRACE_S - 1)
    assert len(cluster.registry.addresses) == len(await cluster.ports()) == 2
    await restore(NOW + GRACE_S + 1)
    assert list(cluster.registry.addresses) == [held["spec"]["clusterIP"]]
    assert await cluster.ports() == {held["spec"]["ports"][0]["nodePort"]}


async def test_missing_claims_are_made() -> None:
    cluster = Cluster()
    made = await cluster.write(cluster.server(1), service("a"))
    cluster.registry.addresses.clear()
    record = await cluster.storage.get(KEY)
    assert record is not None
    await cluster.storage.delete(KEY, expected_revision=record.revision)
    await cluster.server(2).restore_objects([made], [])
    assert list(cluster.registry.addresses) == [made["spec"]["clusterIP"]]
    assert await cluster.ports() == {made["spec"]["ports"][0]["nodePort"]}


async def test_ports_of_another_range_are_forgotten() -> None:
    storage = MemoryStorage()
    await PortRange(storage, 30000, 30015).claim([30001])
    other = PortRange(storage, 31000, 31015)
    assert await other.taken() == set()
    assert await other.claim([31000, 30001]) == set()
    assert await other.taken() == {31000}
