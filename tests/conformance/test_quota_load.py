"""Many clients make, change and delete objects under quotas at once, and the server dies by
`kill -9` at random moments.

At every version: what the objects use is at most what the quota says is used, and that is at most
the hard limit. After a count, as the quota controller makes it, parallel creators alone fill each
quota to the last unit, and then what is said to be used is what is used: nothing drifts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from server_process import Connection, Process, connected, serving
from test_server_crash import until_gone

Json = dict[str, Any]
SPACE = "/api/v1/namespaces/default"
QUOTAS = f"{SPACE}/resourcequotas"
SEED = 20261126
NAMES = 4  # of each client
MIB = 1 << 20
NOT_BEST = {"scopeName": "NotBestEffort", "operator": "Exists"}
HIGH = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
GOLD = "gold.storageclass.storage.k8s.io/requests.storage"

# name: (scopes, hard). Units: one, milli-CPU, MiB.
LIMITS: dict[str, tuple[list[Json], dict[str, int]]] = {
    "counts": ([], {"configmaps": 9, "count/deployments.apps": 5, "count/secrets": 7}),
    "services": ([], {"services": 9, "services.nodeports": 7, "services.loadbalancers": 2}),
    "claims": ([], {"persistentvolumeclaims": 8, "requests.storage": 60, GOLD: 20}),
    "work": ([NOT_BEST], {"pods": 11, "requests.cpu": 1300, "requests.memory": 1024}),
    "idle": ([{"scopeName": "BestEffort", "operator": "Exists"}], {"pods": 4}),
    "high": ([HIGH], {"pods": 3}),
}


def amount(resource: str, number: int) -> str:
    if resource.endswith("cpu"):
        return f"{number}m"
    return f"{number}Mi" if resource.endswith(("memory", "storage")) else str(number)


def number_of(resource: str, text: str) -> int:
    """A quantity as a whole number of its unit."""
    if resource.endswith("cpu"):
        return int(text[:-1]) if text.endswith("m") else int(text) * 1000
    if resource.endswith(("memory", "storage")):
        if text.endswith("Gi"):
            return int(text[:-2]) * 1024
        return int(text[:-2]) if text.endswith("Mi") else int(text) // MIB
    return int(text)


def config_map(random: Random) -> Json:
    return {"data": {"a": "YWJj"}}


def deployment(random: Random) -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


CONTAINER: Json = {"name": "c", "image": "registry.example.com/a"}


def service(random: Random) -> Json:
    ports = [{"name": f"p{n}", "port": 80 + n} for n in range(random.randrange(1, 4))]
    return {
        "spec": {"type": random.choice(("ClusterIP", "NodePort", "LoadBalancer")), "ports": ports}
    }


def claim(random: Random) -> Json:
    requests = {"storage": f"{random.randrange(1, 16)}Mi"}
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": requests}}
    if random.random() < 0.5:
        spec["storageClassName"] = "gold"
    return {"spec": spec}


def pod(random: Random) -> Json:
    spec: Json = {"containers": [dict(CONTAINER)]}
    if random.random() < 0.3:
        spec["priorityClassName"] = "high"
    if random.random() < 0.7:
        cpu, memory = random.randrange(20, 300), random.randrange(10, 200)
        requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
        spec["containers"][0]["resources"] = {"requests": requests}
    return {"spec": spec}


# What clients write: collection, maker, whether it may be replaced by another.
KINDS: tuple[tuple[str, Callable[[Random], Json], bool], ...] = (
    (f"{SPACE}/configmaps", config_map, True),
    (f"{SPACE}/secrets", config_map, False),
    (f"{SPACE}/services", service, True),
    (f"{SPACE}/persistentvolumeclaims", claim, False),
    (f"{SPACE}/pods", pod, False),
    ("/apis/apps/v1/namespaces/default/deployments", deployment, True),
)


def used_by(found: dict[str, list[Json]]) -> dict[str, Counter[str]]:
    """What the objects use of each quota, counted here and not by the server's code."""
    out: dict[str, Counter[str]] = {name: Counter() for name in LIMITS}
    out["counts"]["configmaps"] = len(found["configmaps"])
    out["counts"]["count/deployments.apps"] = len(found["deployments"])
    out["counts"]["count/secrets"] = len(found["secrets"])
    for one in found["services"]:
        kind, ports = one["spec"]["type"], one["spec"]["ports"]
        out["services"]["services"] += 1
        out["services"]["services.loadbalancers"] += kind == "LoadBalancer"
        out["services"]["services.nodeports"] += len(ports) if kind != "ClusterIP" else 0
    for one in found["persistentvolumeclaims"]:
        asked = number_of("storage", one["spec"]["resources"]["requests"]["storage"])
        out["claims"]["persistentvolumeclaims"] += 1
        out["claims"]["requests.storage"] += asked
        out["claims"][GOLD] += asked if one["spec"].get("storageClassName") == "gold" else 0
    for one in found["pods"]:
        asks = one["spec"]["containers"][0].get("resources", {}).get("requests", {})
        out["work" if asks else "idle"]["pods"] += 1
        out["high"]["pods"] += one["spec"].get("priorityClassName") == "high"
        for resource in ("cpu", "memory") if asks else ():
            name = f"requests.{resource}"
            out["work"][name] += number_of(resource, asks[resource])
    return out


async def look(c: Connection, *, exact: bool = False) -> dict[str, tuple[Json, Counter[str]]]:
    """Each quota with what is used of it, as of one version; checked."""
    _, quotas = await c.request("GET", QUOTAS)
    version = quotas["metadata"]["resourceVersion"]
    found: dict[str, list[Json]] = {}
    for path, _, _ in KINDS:
        query = f"?resourceVersion={version}&resourceVersionMatch=Exact"
        status, listed = await c.request("GET", path + query)
        assert status == 200, listed
        items = listed["items"]
        found[path.rsplit("/", 1)[1]] = [
            i for i in items if i["metadata"]["name"] not in ("kubernetes", "kube-root-ca.crt")
        ]
    counted = used_by(found)
    by_name = {q["metadata"]["name"]: q for q in quotas["items"]}
    for name, (_, hard) in LIMITS.items():
        used = by_name[name]["status"]["used"]
        for resource, limit in hard.items():
            said, is_used = number_of(resource, used[resource]), counted[name][resource]
            told = f"{name} {resource}: {is_used} used, {said} said, {limit} allowed"
            assert is_used <= said <= limit, told
            assert not exact or is_used == said, told
    return {name: (by_name[name], counted[name]) for name in LIMITS}


async def prepare(c: Connection) -> None:
    """Quotas that were counted, an account for pods, and a priority class."""
    await c.request("POST", f"{SPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    high = {"metadata": {"name": "high"}, "value": 10}
    await c.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", high)
    for name, (scopes, hard) in LIMITS.items():
        limits = {k: amount(k, v) for k, v in hard.items()}
        spec: Json = {"hard": limits}
        if scopes:
            spec["scopeSelector"] = {"matchExpressions": scopes}
        status, made = await c.request("POST", QUOTAS, {"metadata": {"name": name}, "spec": spec})
        assert status == 201, made
        made["status"] = {"hard": limits, "used": {k: amount(k, 0) for k in hard}}
        status, answer = await c.request("PUT", f"{QUOTAS}/{name}/status", made)
        assert status == 200, answer


async def recount(c: Connection) -> None:
    """What the quota controller does, while nobody writes."""
    for name, (quota, used) in (await look(c)).items():
        quota["status"]["used"] = {k: amount(k, used[k]) for k in LIMITS[name][1]}
        status, answer = await c.request("PUT", f"{QUOTAS}/{name}/status", quota)
        assert status == 200, answer
    await look(c, exact=True)


class Worker:
    """Writes objects of its own names."""

    def __init__(self, number: int) -> None:
        self.random = Random(SEED + number)
        self.number = number
        self.refused = self.stored = self.done = 0

    async def load(self, c: Connection) -> None:
        while True:
            await self.one(c)
            self.done += 1

    async def one(self, c: Connection) -> None:
        path, make, replaced = self.random.choice(KINDS)
        name = f"w{self.number}-{self.random.randrange(NAMES)}"
        body = {"metadata": {"name": name}, **make(self.random)}
        chance = self.random.random()
        if chance < 0.25:
            query = "?gracePeriodSeconds=0" if path.endswith("pods") else ""
            status, answer = await c.request("DELETE", f"{path}/{name}{query}")
            assert status in (200, 404), answer
            if status == 200 and answer["metadata"].get("finalizers"):  # of a claim
                gone = {"metadata": {"name": name}, "spec": answer["spec"]}
                status, answer = await c.request("PUT", f"{path}/{name}", gone)
                assert status in (200, 404), answer
            return
        if chance < 0.5 and replaced:
            status, answer = await c.request("PUT", f"{path}/{name}", body)
        else:
            query = "?dryRun=All" if self.random.random() < 0.1 else ""
            status, answer = await c.request("POST", path + query, body)
        self._took(status, answer)

    async def create(self, c: Connection) -> None:
        """Only creates, until every quota has refused."""
        for serial in range(60):
            path, make, _ = self.random.choice(KINDS)
            name = f"n{self.number}-{serial}"
            body = {"metadata": {"name": name}, **make(self.random)}
            self._took(*await c.request("POST", path, body))

    def _took(self, status: int, answer: Json) -> None:
        assert status in (200, 201, 403, 404, 409, 422), str(answer)
        if status == 403:
            assert "exceeded quota: " in answer["message"], answer
            self.refused += 1
        self.stored += status in (200, 201)


async def watch_over(c: Connection) -> None:
    while True:
        await look(c)
        await asyncio.sleep(0.02)


async def under_load(process: Process, workers: list[Worker], requests: int) -> None:
    """Until so many requests were answered; then it is killed."""
    wanted = sum(w.done for w in workers) + requests
    async with asyncio.TaskGroup() as group:
        for work in (watch_over, *(w.load for w in workers)):
            group.create_task(until_gone(process.port, work))
        while sum(w.done for w in workers) < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        process.kill()


async def clear(c: Connection) -> None:
    for path, _, _ in KINDS:
        for item in (await c.request("GET", path))[1]["items"]:
            at = f"{path}/{item['metadata']['name']}"
            if item["metadata"]["name"] == "kubernetes":
                continue
            _, answer = await c.request("DELETE", f"{at}?gracePeriodSeconds=0")
            if answer["metadata"].get("finalizers"):
                gone = {"metadata": {"name": item["metadata"]["name"]}, "spec": item["spec"]}
                status, answer = await c.request("PUT", at, gone)
                assert status == 200, answer


async def story(directory: Path, clients: int, kills: int, requests: tuple[int, int]) -> None:
    random = Random(SEED)
    workers = [Worker(number) for number in range(clients)]
    for turn in range(kills):
        async with serving(directory) as process:
            async with connected(process.port) as c:
                await (recount(c) if turn else prepare(c))
            await under_load(process, workers, random.randint(*requests))
        assert "Traceback" not in process.log, process.log
    assert sum(w.stored for w in workers) > 20, "too little was stored"
    assert sum(w.refused for w in workers) > 20, "too little was refused"
    async with serving(directory) as process, connected(process.port) as c:
        await look(c)
        await clear(c)
        await recount(c)
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(until_gone(process.port, worker.create))
        for name, (_, used) in (await look(c, exact=True)).items():
            if name == "high":
                continue  # its pods count in the quotas before it, too, which may be full first
            first = next(iter(LIMITS[name][1]))
            full = [k for k, limit in LIMITS[name][1].items() if used[k] >= limit * 0.9]
            assert full, f"{name}: only {used[first]} of {first}"
    assert "Traceback" not in process.log, process.log


@pytest.mark.timeout(120)
async def test_no_quota_is_exceeded_under_load(tmp_path: Path) -> None:
    await story(tmp_path / "data", 8, 1, (300, 400))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_quota_is_exceeded_in_many_crashes(tmp_path: Path) -> None:
    await story(tmp_path / "data", 32, 5, (200, 1500))
