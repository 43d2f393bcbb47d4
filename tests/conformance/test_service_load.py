"""Many clients make, change and delete services at once, and the server dies by `kill -9` at random
moments and starts again on the same data directory.

At every version, before and after: no address and no node port belongs to two services, and every
address of a service has its IPAddress object. After a start the objects are those of the services
and no others; and in the end a full range is full to the last number, and empty again when all is
deleted: nothing leaked. The ranges are small, so that they are full now and then.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from server_process import Connection, Process, connected, serving
from test_server_crash import until_gone

Json = dict[str, Any]
SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
V4, V6 = ipaddress.ip_network("10.0.0.0/26"), ipaddress.ip_network("fd00::/121")
PORTS = range(30000, 30064)
FLAGS = (
    f"--service-cluster-ip-range={V4},{V6}",
    f"--service-node-port-range={PORTS[0]}-{PORTS[-1]}",
)
USABLE = {str(ip) for ip in V4.hosts()}
SEED = 20261125
NAMES = 3  # of each client
FULL = "range is full"


def spec_of(random: Random) -> Json:
    """Any kind of service."""
    kind = random.choice(("ClusterIP", "NodePort", "LoadBalancer", "Headless", "ExternalName"))
    if kind == "ExternalName":
        return {"type": kind, "externalName": "a.example.com"}
    ports: list[Json] = [{"name": "a", "port": 80}]
    if random.random() < 0.3:
        ports += [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec: Json = {"type": kind, "ports": ports, "selector": {"app": "a"}}
    if random.random() < 0.4:
        spec["ipFamilyPolicy"] = random.choice(("PreferDualStack", "RequireDualStack"))
    elif random.random() < 0.3:
        spec["ipFamilies"] = [random.choice(("IPv4", "IPv6"))]
    if kind == "Headless":
        spec |= {"type": "ClusterIP", "clusterIP": "None"}
    elif random.random() < 0.2 and "ipFamilies" not in spec:
        spec["clusterIP"] = str(V4[random.randrange(2, 62)])
    if kind in ("NodePort", "LoadBalancer") and random.random() < 0.3:
        ports[0]["nodePort"] = random.choice(PORTS)
    if kind == "LoadBalancer" and random.random() < 0.6:
        spec["externalTrafficPolicy"] = "Local"
    if kind == "LoadBalancer" and random.random() < 0.3:
        spec["allocateLoadBalancerNodePorts"] = False
    return spec


class Worker:
    """Creates, changes and deletes its own services; nobody else does."""

    def __init__(self, number: int) -> None:
        self.random = Random(SEED + number)
        self.names = [f"w{number}-{i}" for i in range(NAMES)]
        self.living: dict[str, Json] = {}  # as acknowledged
        self.unsure: set[str] = set()  # a request without an answer
        self.done = 0
        self.stop = False

    async def load(self, connection: Connection) -> None:
        """Until the server is gone, or told to stop."""
        while not self.stop:
            name = self.random.choice(self.names)
            if name in self.unsure:
                status, found = await connection.request("GET", f"{SERVICES}/{name}")
                self._stored(name, found if status == 200 else None)
            self.unsure.add(name)
            answer = await self._one(connection, name)
            self._stored(name, answer)
            self.done += 1

    def _stored(self, name: str, obj: Json | None) -> None:
        self.unsure.discard(name)
        if obj is None:
            self.living.pop(name, None)
        else:
            self.living[name] = obj

    async def _one(self, connection: Connection, name: str) -> Json | None:
        """A change of one service; what it is afterwards."""
        held, at = self.living.get(name), f"{SERVICES}/{name}"
        if held is None:
            body: Json = {"metadata": {"name": name}, "spec": spec_of(self.random)}
            if self.random.random() < 0.2:
                body["metadata"]["finalizers"] = ["example.com/hold"]
            status, answer = await connection.request("POST", SERVICES, body)
            return made(status, answer, 201)
        chance = self.random.random()
        if chance < 0.5:
            status, answer = await connection.request("DELETE", at)
            assert status == 200, answer
            if not held["metadata"].get("finalizers"):
                return None
            held = (await connection.request("GET", at))[1]
            del held["metadata"]["finalizers"]
            status, answer = await connection.request("PUT", at, held)
            assert status == 200, answer
            return None
        body = {"metadata": held["metadata"], "spec": spec_of(self.random)}
        if chance > 0.8:  # a client that sends all that it was sent
            body["spec"] = {**held["spec"], "sessionAffinity": "None"}
        query = "?dryRun=All" if self.random.random() < 0.15 else ""
        status, answer = await connection.request("PUT", at + query, body)
        return held if query else made(status, answer, 200) or held


def made(status: int, answer: Json, wanted: int) -> Json | None:
    """What was stored, None if the server had a good reason to refuse."""
    if status == wanted:
        return answer
    assert status == 422 or (status == 500 and FULL in answer["message"]), answer
    return None


def addresses_of(service: Json) -> Iterator[str]:
    for text in service["spec"].get("clusterIPs", ()):
        if text != "None":
            yield text


def ports_of(service: Json) -> set[int]:
    found = {p["nodePort"] for p in service["spec"].get("ports", ()) if "nodePort" in p}
    if "healthCheckNodePort" in service["spec"]:
        found.add(service["spec"]["healthCheckNodePort"])
    return found


def owners(services: list[Json]) -> dict[str, str]:
    """Who has which address. Raises AssertionError if something is had twice."""
    found: dict[str, str] = {}
    ports: dict[int, str] = {}
    for service in services:
        name = service["metadata"]["name"]
        for text in addresses_of(service):
            assert text not in found, f"{text} is of {found[text]} and of {name}"
            found[text] = name
        for number in ports_of(service):
            assert number not in ports, f"{number} is of {ports[number]} and of {name}"
            ports[number] = name
    return found


async def look(connection: Connection, *, exact: bool = False) -> list[Json]:
    """Services and IPAddress objects as of one version; checked."""
    _, listed = await connection.request("GET", "/api/v1/services")
    version = listed["metadata"]["resourceVersion"]
    query = f"?resourceVersion={version}&resourceVersionMatch=Exact"
    status, found = await connection.request("GET", ADDRESSES + query)
    assert status == 200, found
    parents = {i["metadata"]["name"]: i["spec"]["parentRef"]["name"] for i in found["items"]}
    held = owners(listed["items"])
    assert held.items() <= parents.items(), "a service without its IPAddress object"
    if exact:
        assert held == parents, "an IPAddress object without its service"
    services: list[Json] = listed["items"]
    return services


async def watch_over(connection: Connection) -> None:
    while True:
        await look(connection)
        await asyncio.sleep(0.02)


async def under_load(process: Process, workers: list[Worker], changes: int, *, kill: bool) -> None:
    """Until so many changes were made."""
    port, wanted = process.port, sum(w.done for w in workers) + changes
    async with asyncio.TaskGroup() as group:
        guard = group.create_task(until_gone(port, watch_over))
        working = [group.create_task(until_gone(port, worker.load)) for worker in workers]
        while sum(w.done for w in workers) < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if kill:
            process.kill()
            return
        for worker in workers:
            worker.stop = True
        await asyncio.wait(working)
        guard.cancel()


def check(workers: list[Worker], services: list[Json]) -> None:
    """What was acknowledged is what is stored."""
    stored = {s["metadata"]["name"]: s for s in services}
    for worker in workers:
        for name in worker.names:
            if name not in worker.unsure:
                wanted, found = worker.living.get(name), stored.get(name)
                assert (wanted and wanted["spec"]) == (found and found["spec"]), name


async def fill(connection: Connection, services: list[Json]) -> None:
    """Nothing leaked: all that no service has can be had, and no more."""
    free = USABLE - set(owners(services))
    for number in range(len(free)):
        body: Json = {"metadata": {"name": f"fill-{number}"}, "spec": {"ports": [{"port": 80}]}}
        status, answer = await connection.request("POST", SERVICES, body)
        assert status == 201, f"{number} of {len(free)}: {answer}"
        free.remove(answer["spec"]["clusterIP"])
    body["metadata"]["name"] = "too-many"
    status, answer = await connection.request("POST", SERVICES, body)
    words = "Internal error occurred: failed to allocate a serviceIP: range is full"
    assert (status, answer["message"]) == (500, words)
    taken: set[int] = set().union(*(ports_of(s) for s in services))
    ports = [{"name": f"p{n}", "port": n + 1} for n in range(len(PORTS) - len(taken))]
    spec: Json = {"type": "NodePort", "ports": ports, "ipFamilies": ["IPv6"]}
    body = {"metadata": {"name": "all-ports"}, "spec": spec}
    status, answer = await connection.request("POST", SERVICES, body)
    assert status == 201, answer
    spec["ports"] = [{"port": 80}]
    body["metadata"]["name"] = "too-many"
    status, answer = await connection.request("POST", SERVICES, body)
    words = "Internal error occurred: failed to allocate a nodePort: range is full"
    assert (status, answer["message"]) == (500, words)


async def empty(connection: Connection) -> None:
    """When all services are deleted, all is free."""
    for service in await look(connection):
        at = f"{SERVICES}/{service['metadata']['name']}"
        if service["metadata"]["name"] == "kubernetes":
            continue
        await connection.request("DELETE", at)
        status, _ = await connection.request("GET", at)
        if status == 200:
            del service["metadata"]["finalizers"], service["metadata"]["resourceVersion"]
            status, answer = await connection.request("PUT", at, service)
            assert status == 200, answer
    await fill(connection, await look(connection, exact=True))


async def story(directory: Path, clients: int, kills: int, changes: tuple[int, int]) -> None:
    random = Random(SEED)
    workers = [Worker(number) for number in range(clients)]
    for _ in range(kills):
        async with serving(directory, *FLAGS) as process:
            async with connected(process.port) as c:
                check(workers, await look(c, exact=True))
            await under_load(process, workers, random.randint(*changes), kill=True)
        assert "Traceback" not in process.log, process.log
    async with serving(directory, *FLAGS) as process:
        await under_load(process, workers, changes[1], kill=False)
        async with connected(process.port) as c:
            services = await look(c, exact=True)
            check(workers, services)
            await fill(c, services)
            await empty(c)
    assert "Traceback" not in process.log, process.log
    assert "service address" not in process.log, process.log


@pytest.mark.timeout(120)
async def test_nothing_twice_and_nothing_lost_under_load(tmp_path: Path) -> None:
    await story(tmp_path / "data", 12, 1, (60, 90))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_twice_and_nothing_lost_in_many_crashes(tmp_path: Path) -> None:
    await story(tmp_path / "data", 32, 5, (100, 900))
