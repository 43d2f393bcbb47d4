"""Two servers on one etcd: what one writes the other knows, and what must be unique is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from etcd_process import one_member
from replicas_harness import replica, replicas
from server_harness import Running, eventually

from kapi.clock import SystemClock
from kapi.codec.protobuf_format import sealed
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
Json = dict[str, Any]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[list[Running]]:
    async with replicas(tmp_path) as found:
        yield found


def config_map(name: str, **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


def service(name: str, kind: str = "NodePort", **spec: Any) -> Json:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {"metadata": {"name": name}, "spec": {"type": kind, "ports": ports, **spec}}


async def test_a_read_knows_what_the_other_wrote(two: list[Running]) -> None:
    first, second = (run.client for run in two)
    for i in range(10):
        made = await first.post(MAPS, config_map(f"m{i}"))
        version = made["metadata"]["resourceVersion"]
        found = await second.get(f"{MAPS}/m{i}")
        assert found == made
        listed = await second.get(MAPS)
        assert int(listed["metadata"]["resourceVersion"]) >= int(version)
        assert f"m{i}" in [o["metadata"]["name"] for o in listed["items"]]
        changed = await second.put(f"{MAPS}/m{i}", {**found, "data": {"a": "1"}})
        assert await first.get(f"{MAPS}/m{i}") == changed
        stale = await first("PUT", f"{MAPS}/m{i}", made)
        assert stale.status == 409


async def test_watches_go_on_with_the_other(two: list[Running]) -> None:
    first, second = (run.client for run in two)
    start = (await first.get(MAPS))["metadata"]["resourceVersion"]
    async with first.watch(f"{MAPS}?watch=1&resourceVersion={start}") as watch:
        await second.post(MAPS, config_map("a"))
        event = await watch.next()
        assert event is not None
        version = event["object"]["metadata"]["resourceVersion"]
    await first.post(MAPS, config_map("b"))
    await second.delete(f"{MAPS}/a")
    async with second.watch(f"{MAPS}?watch=1&resourceVersion={version}") as watch:
        await first.post(MAPS, config_map("c"))
        assert await watch.take(3) == [("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c")]


async def test_pages_go_on_with_the_other(two: list[Running]) -> None:
    first, second = (run.client for run in two)
    for i in range(5):
        await first.post(MAPS, config_map(f"m{i}"))
    page = await first.get(f"{MAPS}?limit=2")
    await second.post(MAPS, config_map("m00"))
    token = page["metadata"]["continue"]
    rest = await second.get(f"{MAPS}?limit=9&continue={token}")
    names = [o["metadata"]["name"] for o in page["items"] + rest["items"]]
    assert [n for n in names if n.startswith("m")] == [f"m{i}" for i in range(5)]
    assert page["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]


async def test_a_name_is_taken_once(two: list[Running]) -> None:
    answers = await asyncio.gather(
        *(two[i % 2].client("POST", MAPS, config_map("same")) for i in range(10))
    )
    assert sorted(a.status for a in answers) == [201] + [409] * 9


async def test_addresses_and_ports_are_given_once(two: list[Running]) -> None:
    made = await asyncio.gather(
        *(two[i % 2].client.post(SERVICES, service(f"s{i}")) for i in range(30))
    )
    addresses = [s["spec"]["clusterIP"] for s in made]
    ports = [s["spec"]["ports"][0]["nodePort"] for s in made]
    assert len(set(addresses)) == len(addresses)
    assert len(set(ports)) == len(ports)
    one, other = (run.client for run in two)
    taken = service("t", clusterIP=addresses[0])
    refused = await other("POST", SERVICES, taken)
    assert refused.status == 422
    assert "provided IP is already allocated" in refused.message
    taken = service("t")
    taken["spec"]["ports"][0]["nodePort"] = ports[0]
    refused = await one("POST", SERVICES, taken)
    assert refused.status == 422
    assert "provided port is already allocated" in refused.message
    # What one gives back the other can have at once.
    await one.delete(f"{SERVICES}/s0")
    taken["spec"]["clusterIP"] = addresses[0]
    again = await other.post(SERVICES, taken)
    assert again["spec"]["ports"][0]["nodePort"] == ports[0]
    found = await other.get(f"/apis/networking.k8s.io/v1/ipaddresses/{addresses[0]}")
    assert found["spec"]["parentRef"]["name"] == "t"


async def test_one_port_for_many_who_ask_for_it(two: list[Running]) -> None:
    wanted = service("x", clusterIP="10.0.0.77")
    wanted["spec"]["ports"][0]["nodePort"] = 30777
    answers = await asyncio.gather(
        *(
            two[i % 2].client("POST", SERVICES, {**wanted, "metadata": {"name": f"x{i}"}})
            for i in range(8)
        )
    )
    assert sorted(a.status for a in answers) == [201] + [422] * 7


async def test_a_dry_run_takes_nothing(two: list[Running]) -> None:
    one, other = (run.client for run in two)
    dry = await one.post(f"{SERVICES}?dryRun=All", service("d", clusterIP="10.0.0.88"))
    assert dry["spec"]["ports"][0]["nodePort"]
    assert (await one("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.0.0.88")).status == 404
    await other.post(SERVICES, service("d", clusterIP="10.0.0.88"))


async def test_a_refused_service_gives_back(two: list[Running]) -> None:
    one, other = (run.client for run in two)
    bad = service("b", clusterIP="10.0.0.99", sessionAffinity="Sometimes")
    assert (await one("POST", SERVICES, bad)).status == 422
    await other.post(SERVICES, service("b", clusterIP="10.0.0.99"))


async def test_a_quota_holds_across_servers(two: list[Running]) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "5"}}}
    quotas = "/api/v1/namespaces/default/resourcequotas"
    made = await two[0].client.post(quotas, quota)
    hard = {"count/configmaps": "5"}
    made["status"] = {"hard": hard, "used": {"count/configmaps": "0"}}
    await two[0].client.put(f"{quotas}/q/status", made)
    await asyncio.gather(*(run.caught_up() for run in two))
    answers = await asyncio.gather(
        *(two[i % 2].client("POST", MAPS, config_map(f"m{i}")) for i in range(12))
    )
    assert sorted(a.status for a in answers) == [201] * 5 + [403] * 7


async def test_a_custom_kind_of_one_is_served_by_the_other(two: list[Running]) -> None:
    one, other = (run.client for run in two)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await one.post(definitions, definition)
    things = "/apis/example.com/v1/namespaces/default/things"

    async def served() -> bool:
        return (await other("GET", things)).status == 200

    await eventually(served)
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "x": 1}
    made = await other.post(things, thing)
    assert await one.get(f"{things}/t") == made
    await one.delete(f"{definitions}/things.example.com")

    async def gone() -> bool:
        return (await other("GET", things)).status == 404

    await eventually(gone)


async def test_endpoints_are_those_who_live(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/endpoints/kubernetes"
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"

    async def addresses(run: Running) -> list[str]:
        answer = await run.client("GET", path)
        subsets = answer.json.get("subsets") or [] if answer.status == 200 else []
        return [a["ip"] for s in subsets for a in s["addresses"]]

    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1, advertise_address="192.0.2.1") as first:

            async def alone() -> bool:
                return await addresses(first) == ["192.0.2.1"]

            await eventually(alone)
            async with replica([etcd.url], 2, advertise_address="192.0.2.2") as second:

                async def both() -> bool:
                    return await addresses(second) == ["192.0.2.1", "192.0.2.2"]

                await eventually(both)
                found = await first.client.get(slices)
                listed = [a for e in found["endpoints"] for a in e["addresses"]]
                assert listed == ["192.0.2.1", "192.0.2.2"]
                second.server.begin_shutdown()
                await eventually(alone)
                assert (await second.client("GET", MAPS)).status == 200
            assert await alone()


async def test_two_fresh_servers_start_at_the_same_time(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:

        async def start(seed: int, stop: asyncio.Event) -> Json:
            async with replica([etcd.url], seed, advertise_address=f"192.0.2.{seed}") as run:
                found: Json = await run.client.get("/api/v1/namespaces/default/services/kubernetes")
                await stop.wait()
                return found

        stop = asyncio.Event()
        starts = [asyncio.ensure_future(start(seed, stop)) for seed in (1, 2, 3)]
        await asyncio.sleep(0)
        stop.set()
        found = await asyncio.gather(*starts)
        assert {s["metadata"]["uid"] for s in found} == {found[0]["metadata"]["uid"]}
        assert found[0]["spec"]["clusterIP"] == "10.0.0.1"


async def test_the_range_of_ports_has_the_real_form(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url]) as run:
            wanted = service("s")
            wanted["spec"]["ports"][0]["nodePort"] = 30009
            await run.client.post(SERVICES, wanted)
            record = await run.storage.get("/registry/ranges/servicenodeports")
            assert record is not None
            # Bit 9 of a big number, first byte first.
            assert b'"range":"30000-32767","data":"AgA="' in record.value


async def test_objects_of_a_server_of_another_sort(tmp_path: Path) -> None:
    """JSON, protobuf and encrypted values that somebody else put into etcd."""
    with one_member(tmp_path) as etcd:
        raw = await EtcdStorage.open(EtcdSettings(servers=[etcd.url]), SystemClock())
        async with replica([etcd.url]) as run:
            client = run.client
            start = (await client.get(MAPS))["metadata"]["resourceVersion"]
            async with client.watch(f"{MAPS}?watch=1&resourceVersion={start}") as watch:
                key = "/registry/configmaps/default"
                value = (
                    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"json",'
                    b'"namespace":"default","uid":"u","creationTimestamp":null},"data":{"a":"1"}}\n'
                )
                await raw.create(f"{key}/json", value)
                message = sealed(
                    "v1", "ConfigMap", b'\x0a\x14\x0a\x05proto\x12\x00\x1a\x07default"\x00'
                )
                await raw.create(f"{key}/proto", message)
                assert await watch.take(2) == [("ADDED", "json"), ("ADDED", "proto")]
            found = await client.get(f"{MAPS}/json")
            assert found["data"] == {"a": "1"}
            assert (await client.get(f"{MAPS}/proto"))["metadata"]["namespace"] == "default"
            # What kapi writes in its turn has the real form.
            await client.put(f"{MAPS}/json", found)
            await client.put(f"{MAPS}/json", {**found, "data": {"a": "2"}})
            record = await raw.get(f"{key}/json")
            assert record is not None
            assert record.value.startswith(b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap")
            secret = "/registry/secrets/default/s"
            revision = await raw.create(secret, b"k8s:enc:aescbc:v1:key1:\x00\x01")
            answer = await client("GET", "/api/v1/namespaces/default/secrets/s")
            assert answer.status == 500
            assert answer.message.endswith("identity transformer tried to read encrypted data")
            assert (await client("GET", MAPS)).status == 200
            await raw.delete(secret, expected_revision=revision)
            assert (await client.get("/api/v1/namespaces/default/secrets"))["items"] == []
        await raw.close()
