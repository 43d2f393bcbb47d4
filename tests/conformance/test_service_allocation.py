"""Addresses and ports of services through the whole write pipeline: what ends a service frees what
it had, and what is given up half-way is never handed out twice.
"""

from __future__ import annotations

import asyncio
from typing import Any

from server_harness import Client, running

from kapi.storage.interface import Unavailable
from kapi.storage.memory import MemoryStorage

Json = dict[str, Any]
SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SMALL = ("10.0.0.0/28",)  # .1 to .14; .1 is the server's own


def service(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def objects(client: Client) -> list[str]:
    return sorted(i["metadata"]["name"] for i in (await client.get(ADDRESSES))["items"])


async def test_a_range_is_filled_to_the_last_address_and_used_again() -> None:
    async with running(service_cluster_ip_range=SMALL) as run:
        made = [await run.client.post(SERVICES, service(f"s{n}")) for n in range(13)]
        held = {s["spec"]["clusterIP"] for s in made}
        assert held == {f"10.0.0.{n}" for n in range(2, 15)}
        assert len(await objects(run.client)) == 14
        full = await run.client("POST", SERVICES, service("more"))
        words = "Internal error occurred: failed to allocate a serviceIP: range is full"
        assert (full.status, full.message) == (500, words)
        taken = await run.client("POST", SERVICES, service("more", clusterIP="10.0.0.9"))
        assert taken.status == 422
        await run.client.delete(f"{SERVICES}/s4")
        again = await run.client.post(SERVICES, service("again"))
        assert again["spec"]["clusterIP"] == made[4]["spec"]["clusterIP"]


async def test_the_last_finalizer_frees_what_the_service_had() -> None:
    async with running(service_cluster_ip_range=SMALL) as run:
        body = service("a", type="NodePort", clusterIP="10.0.0.9")
        body["spec"]["ports"][0]["nodePort"] = 30007
        body["metadata"]["finalizers"] = ["example.com/hold"]
        for path in ("a", "a/status"):
            await run.client.post(SERVICES, body)
            await run.client.delete(f"{SERVICES}/a")
            assert "10.0.0.9" in await objects(run.client)
            await run.client.patch(f"{SERVICES}/{path}", {"metadata": {"finalizers": None}})
            assert (await run.client("GET", f"{SERVICES}/a")).status == 404
            assert await objects(run.client) == ["10.0.0.1"]


async def test_a_service_has_its_address_objects_from_its_first_version_on() -> None:
    async with running(service_cluster_ip_range=("10.0.0.0/28", "fd00::/124")) as run:
        made = await run.client.post(SERVICES, service("a", ipFamilyPolicy="RequireDualStack"))
        for text in made["spec"]["clusterIPs"]:
            obj = await run.client.get(f"{ADDRESSES}/{text}")
            version = int(obj["metadata"]["resourceVersion"])
            assert version < int(made["metadata"]["resourceVersion"])
        dry = service("b")
        await run.client.post(f"{SERVICES}?dryRun=All", dry)
        refused = await run.client("POST", SERVICES, service("b", ports=[{"port": 0}]))
        taken = await run.client("POST", SERVICES, service("a"))
        assert (refused.status, taken.status) == (422, 409)
        assert len(await objects(run.client)) == 3


async def test_the_address_of_somebody_elses_object_is_not_handed_out() -> None:
    parent = {"group": "example.com", "resource": "things", "name": "a"}
    mine = {"metadata": {"name": "10.0.0.2"}, "spec": {"parentRef": parent}}
    async with running(service_cluster_ip_range=("10.0.0.0/29",)) as run:  # .2 to .6
        await run.client.post(ADDRESSES, mine)
        made = [await run.client.post(SERVICES, service(f"s{n}")) for n in range(4)]
        assert {s["spec"]["clusterIP"] for s in made} == {f"10.0.0.{n}" for n in range(3, 7)}
        assert (await run.client("POST", SERVICES, service("more"))).status == 500
        await run.client.delete(f"{ADDRESSES}/10.0.0.2")
        assert (await run.client.post(SERVICES, service("more")))["spec"]["clusterIP"] == "10.0.0.2"


class Slow(MemoryStorage):
    """A store whose writes of services are made at once and answered when `answer` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()
        self.answer.set()
        self.asked = asyncio.Event()
        self.lost = False

    async def _late(self, key: str) -> None:
        if "/services/" in key:
            self.asked.set()
            await self.answer.wait()
            if self.lost:
                raise Unavailable("the answer is lost")

    async def create(self, key: str, value: bytes) -> int:
        revision = await super().create(key, value)
        await self._late(key)
        return revision

    async def delete(self, key: str, *, expected_revision: int) -> Any:
        answer = await super().delete(key, expected_revision=expected_revision)
        await self._late(key)
        return answer


async def test_a_request_that_is_given_up_frees_nothing_that_is_stored() -> None:
    store = Slow()
    async with running(storage=store, service_cluster_ip_range=SMALL) as run:
        store.answer.clear()
        late = await given_up(
            run.client, store, "POST", SERVICES, service("a", clusterIP="10.0.0.9")
        )
        assert late == 504
        thief = await run.client("POST", SERVICES, service("b", clusterIP="10.0.0.9"))
        assert thief.status == 422
        assert (await run.client.get(f"{SERVICES}/a"))["spec"]["clusterIP"] == "10.0.0.9"
        store.answer.clear()
        assert await given_up(run.client, store, "DELETE", f"{SERVICES}/a") == 504
        await run.client.post(SERVICES, service("b", clusterIP="10.0.0.9"))
        assert await objects(run.client) == ["10.0.0.1", "10.0.0.9"]


async def given_up(client: Client, store: Slow, method: str, path: str, body: Any = None) -> int:
    """The status of a request whose deadline passes while the store works."""
    store.asked.clear()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client(method, f"{path}?timeout=500ms", body))
        async with asyncio.timeout(10):
            await store.asked.wait()  # made in time, and not answered before the time is over
        await asyncio.sleep(0.5)
        store.answer.set()
        return (await asked).status


async def test_where_the_store_cannot_say_whether_it_wrote_nothing_is_freed() -> None:
    store = Slow()
    wanted = service("a", clusterIP="10.0.0.9", type="NodePort")
    wanted["spec"]["ports"][0]["nodePort"] = 30007
    async with running(storage=store, service_cluster_ip_range=SMALL) as run:
        store.lost = True
        assert (await run.client("POST", SERVICES, wanted)).status == 503
        store.lost = False
        other = service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30007}])
        for body in (service("b", clusterIP="10.0.0.9"), other):
            assert (await run.client("POST", SERVICES, body)).status == 422
        assert (await run.client.get(f"{SERVICES}/a"))["spec"]["clusterIP"] == "10.0.0.9"


async def test_what_a_crash_left_is_put_right_at_the_start() -> None:
    store = Kept()
    async with running(storage=store, service_cluster_ip_range=SMALL) as run:
        made = await run.client.post(SERVICES, service("a"))
        held = made["spec"]["clusterIP"]
        await run.client.delete(f"{ADDRESSES}/{held}")
        gone = await run.client.post(SERVICES, service("gone"))
        key = "/registry/services/specs/default/gone"
        version = int(gone["metadata"]["resourceVersion"])
        await store.delete(key, expected_revision=version)  # as if the process ended here
    async with running(storage=store, service_cluster_ip_range=SMALL) as run:
        assert await objects(run.client) == sorted(["10.0.0.1", held])
        parent = (await run.client.get(f"{ADDRESSES}/{held}"))["spec"]["parentRef"]
        assert parent == {"resource": "services", "namespace": "default", "name": "a"}
        again = service("b", clusterIP=gone["spec"]["clusterIP"])
        await run.client.post(SERVICES, again)


class Kept(MemoryStorage):
    """A store that is still there for the next server."""

    async def close(self) -> None:
        pass
