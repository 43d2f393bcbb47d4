"""Addresses and ports of services: nothing twice, nothing lost, and the words of refusals."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import random
from collections.abc import Sequence
from typing import Any

import pytest

from kapi.clock import Entropy
from kapi.errors import ApiError, already_exists, service_unavailable
from kapi.registry.allocation.allocate import (
    Reservation,
    ServiceAllocation,
    service_addresses,
    service_ports,
)
from kapi.registry.allocation.ip_objects import ip_object
from kapi.registry.hooks import Occupied

Json = dict[str, Any]
V4, V6 = "10.96.0.0/16", "fd00:10::/112"


class Kept:
    """IPAddress objects by name."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.broken = False

    async def create(self, group: str, plural: str, obj: Json) -> None:
        assert (group, plural) == ("networking.k8s.io", "ipaddresses")
        name = obj["metadata"]["name"]
        if name in self.objects:
            raise already_exists(group, plural, name)
        self.objects[name] = obj

    async def delete(self, group: str, plural: str, name: str) -> None:
        assert (group, plural) == ("networking.k8s.io", "ipaddresses")
        if self.broken:
            raise service_unavailable("not now", retry_after=1)
        self.objects.pop(name, None)


def allocation(
    *ranges: str, ports: tuple[int, int] = (30000, 32767), kept: Kept | None = None
) -> ServiceAllocation:
    networks = [ipaddress.ip_network(text) for text in ranges or (V4,)]
    return ServiceAllocation(networks, ports, Entropy(1), kept)


def service(name: str = "a", ports: Sequence[Json] = ({"port": 80},), **spec: Any) -> Json:
    listed = [{"protocol": "TCP", **copy.deepcopy(p)} for p in ports]
    spec = {"type": "ClusterIP", "ports": listed, "selector": {"app": "a"}, **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": copy.deepcopy(spec)}


async def written(to: ServiceAllocation, obj: Json, old: Json | None = None) -> Json:
    reservation = await to.before_write(obj, old)
    await reservation.secure()
    await reservation.commit()
    return obj


async def refused(to: ServiceAllocation, obj: Json, old: Json | None = None) -> Json:
    with pytest.raises(ApiError) as e:
        await to.before_write(obj, old)
    return e.value.status()


def causes(status: Json) -> list[tuple[str, str]]:
    return [(c["field"], c["message"]) for c in status["details"]["causes"]]


async def test_an_address_and_its_families() -> None:
    obj = await written(allocation(), service())
    spec = obj["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network(V4)
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_both_families() -> None:
    to = allocation(V4, V6)
    spec = (await written(to, service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert [ipaddress.ip_address(a).version for a in spec["clusterIPs"]] == [4, 6]
    only = (await written(to, service(ipFamilies=["IPv6"])))["spec"]
    assert ipaddress.ip_address(only["clusterIP"]).version == 6
    alone = (await written(allocation(), service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert alone["ipFamilies"] == ["IPv4"]


async def test_families_the_cluster_lacks() -> None:
    status = await refused(allocation(), service(ipFamilyPolicy="RequireDualStack"))
    words = 'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack'
    assert causes(status) == [("spec.ipFamilyPolicy", f"{words} services")]
    status = await refused(allocation(), service(ipFamilies=["IPv6"]))
    words = 'Invalid value: "IPv6": not configured on this cluster'
    assert causes(status) == [("spec.ipFamilies[0]", words)]


async def test_requested_addresses() -> None:
    to = allocation()
    await written(to, service(clusterIP="10.96.3.4"))
    status = await refused(to, service("b", clusterIP="10.96.3.4"))
    words = 'Invalid value: ["10.96.3.4"]: failed to allocate IP 10.96.3.4: '
    assert causes(status) == [("spec.clusterIPs", words + "provided IP is already allocated")]
    status = await refused(to, service("b", clusterIP="192.168.1.1"))
    assert causes(status)[0][1].endswith("the provided network does not match the current range")
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    assert status["details"]["name"] == "b"


async def test_a_refused_write_holds_nothing() -> None:
    to = allocation(ports=(30000, 30003))
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "nodePort": 40000}]
    status = await refused(to, service(ports=ports, type="NodePort", clusterIP="10.96.3.4"))
    words = "provided port is not in the valid range. The range of valid ports is 30000-30003"
    assert causes(status) == [("spec.ports[1].nodePort", f"Invalid value: 40000: {words}")]
    four = [{"port": n, "name": f"p{n}"} for n in range(4)]
    await written(to, service("b", four, type="NodePort", clusterIP="10.96.3.4"))


async def test_undo_gives_back() -> None:
    to = allocation()
    reservation = await to.before_write(service(clusterIP="10.96.3.4"), None)
    await refused(to, service(clusterIP="10.96.3.4"))
    await reservation.undo()
    await written(to, service(clusterIP="10.96.3.4"))


async def test_undo_of_an_update_takes_nothing_away() -> None:
    to = allocation()
    old = await written(to, service(ports=[{"port": 80, "nodePort": 30100}], type="NodePort"))
    changed = copy.deepcopy(old)
    changed["spec"]["type"] = "ClusterIP"
    del changed["spec"]["ports"][0]["nodePort"]
    reservation = await to.before_write(changed, old)
    taken = service("b", [{"port": 80, "nodePort": 30100}], type="NodePort")
    await refused(to, copy.deepcopy(taken))
    await reservation.undo()
    await refused(to, copy.deepcopy(taken))
    await (await to.before_write(copy.deepcopy(changed), old)).commit()
    await written(to, taken)


async def test_a_full_range() -> None:
    to = allocation("10.0.0.0/30")
    assert {(await written(to, service(n)))["spec"]["clusterIP"] for n in "ab"} == {
        "10.0.0.1",
        "10.0.0.2",
    }
    status = await refused(to, service("c"))
    assert (status["code"], status["reason"]) == (500, "InternalError")
    assert status["message"].endswith("failed to allocate a serviceIP: range is full")
    to = allocation(ports=(30000, 30000))
    await written(to, service(type="NodePort"))
    status = await refused(to, service("b", type="NodePort"))
    assert status["message"].endswith("failed to allocate a nodePort: range is full")


async def test_headless_and_external_names_hold_nothing() -> None:
    to = allocation("10.0.0.0/30")
    for n in range(5):
        spec = (await written(to, service(f"h{n}", clusterIP="None")))["spec"]
        assert spec["clusterIPs"] == ["None"]
        obj = service(f"e{n}", (), type="ExternalName", externalName="a.example.com")
        assert "clusterIP" not in (await written(to, obj))["spec"]
    await written(to, service("a"))


async def test_one_node_port_for_a_number_in_two_protocols() -> None:
    ports = [
        {"port": 53, "name": "tcp", "protocol": "TCP"},
        {"port": 53, "name": "udp", "protocol": "UDP", "nodePort": 30053},
    ]
    spec = (await written(allocation(), service(ports=ports, type="NodePort")))["spec"]
    assert [p["nodePort"] for p in spec["ports"]] == [30053, 30053]


async def test_load_balancers_without_node_ports() -> None:
    obj = service(type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in (await written(allocation(), obj))["spec"]["ports"][0]


async def test_health_check_port() -> None:
    to = allocation(ports=(30000, 30001))
    old = await written(to, service(type="LoadBalancer", externalTrafficPolicy="Local"))
    number = old["spec"]["healthCheckNodePort"]
    assert {number, old["spec"]["ports"][0]["nodePort"]} == {30000, 30001}
    moved = copy.deepcopy(old)
    moved["spec"]["healthCheckNodePort"] = 31000
    words = "Invalid value: 31000: field is immutable"
    assert causes(await refused(to, moved, old)) == [("spec.healthCheckNodePort", words)]
    same = copy.deepcopy(old)
    del same["spec"]["healthCheckNodePort"]
    assert (await written(to, same, old))["spec"]["healthCheckNodePort"] == number
    status = await refused(to, service("b", type="NodePort"))
    assert status["code"] == 500
    new = copy.deepcopy(old)
    new["spec"]["externalTrafficPolicy"] = "Cluster"
    await written(to, new, old)
    await written(to, service("b", type="NodePort"))


async def test_an_update_without_the_allocated_values_keeps_them() -> None:
    to = allocation()
    old = await written(to, service(type="NodePort"))
    new = await written(to, service(type="NodePort"), old)
    assert new == old


async def test_a_change_to_external_name_frees_the_address() -> None:
    kept = Kept()
    to = allocation("10.0.0.0/30", kept=kept)
    old = await written(to, service())
    held = old["spec"]["clusterIP"]
    assert list(kept.objects) == [held]
    new = service(ports=(), type="ExternalName", externalName="a.example.com")
    await written(to, new, old)
    assert kept.objects == {}
    back = await written(to, service(), new)
    assert list(kept.objects) == [back["spec"]["clusterIP"]]
    await written(to, service("b"))


async def test_a_second_family_comes_and_goes() -> None:
    kept = Kept()
    to = allocation(V4, V6, kept=kept)
    old = await written(to, service())
    dual = copy.deepcopy(old)
    dual["spec"]["ipFamilyPolicy"] = "PreferDualStack"
    await written(to, dual, old)
    assert dual["spec"]["clusterIPs"][0] == old["spec"]["clusterIP"]
    assert sorted(kept.objects) == sorted(dual["spec"]["clusterIPs"])
    single = copy.deepcopy(dual)
    single["spec"]["ipFamilyPolicy"] = "SingleStack"
    await written(to, single, dual)
    assert single["spec"]["clusterIPs"] == old["spec"]["clusterIPs"]
    assert list(kept.objects) == old["spec"]["clusterIPs"]


async def test_objects_of_addresses() -> None:
    kept = Kept()
    to = allocation(kept=kept)
    obj = await written(to, service("web"))
    name = obj["spec"]["clusterIP"]
    assert kept.objects == {
        name: {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": name,
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": "IPv4",
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}},
        }
    }
    await to.after_delete(obj)
    assert kept.objects == {}
    await written(to, service(clusterIP=name))


async def test_what_is_stored_is_taken_at_start() -> None:
    stored = await written(allocation(), service(type="NodePort"))
    to = allocation()
    assert to.restore([stored]) == []
    spec = stored["spec"]
    await refused(to, service("b", clusterIP=spec["clusterIP"]))
    await refused(to, service("b", [dict(spec["ports"][0])], type="NodePort"))
    twice = copy.deepcopy(stored)
    twice["metadata"]["name"] = "twin"
    twice["spec"]["ports"].append({"port": 81, "nodePort": 30007})
    assert to.restore([twice]) == [
        "default/twin: provided IP is already allocated",
        "default/twin: provided port is already allocated",
    ]
    await refused(to, service("b", [{"port": 80, "nodePort": 30007}], type="NodePort"))


async def test_objects_follow_the_stored_services() -> None:
    kept = Kept()
    stored = await written(allocation(), service())
    name = stored["spec"]["clusterIP"]
    left = ip_object("10.96.9.9", {"resource": "services", "namespace": "x", "name": "gone"})
    kept.objects["10.96.9.9"] = left
    await allocation(kept=kept).restore_objects([stored], [left])
    assert list(kept.objects) == [name]
    of_another = ip_object(name, {"resource": "services", "namespace": "default", "name": "b"})
    kept.objects[name] = of_another
    await allocation(kept=kept).restore_objects([stored], [of_another])
    assert kept.objects[name]["spec"]["parentRef"]["name"] == "a"


async def test_an_address_object_of_somebody_else_keeps_its_address() -> None:
    kept = Kept()
    to = allocation("10.0.0.0/30", kept=kept)
    mine = ip_object("10.0.0.1", {"resource": "services"})
    mine["metadata"]["labels"] = {}
    kept.objects["10.0.0.1"] = mine
    wanted = await to.before_write(service(clusterIP="10.0.0.1"), None)
    with pytest.raises(Occupied):
        await wanted.secure()
    await wanted.undo()
    status = await refused(to, service(clusterIP="10.0.0.1"))
    assert causes(status)[0][1].endswith("provided IP is already allocated")
    assert (await written(to, service()))["spec"]["clusterIP"] == "10.0.0.2"
    again = allocation("10.0.0.0/30", kept=kept)
    await again.restore_objects([], [mine])
    await refused(again, service(clusterIP="10.0.0.1"))
    for one in (to, again):
        await one.after_delete(kept.objects.pop("10.0.0.1", mine))
        await written(one, service("b", clusterIP="10.0.0.1"))
        await one.after_delete(service("b", clusterIP="10.0.0.1"))


async def test_what_two_hold_is_free_when_both_are_gone() -> None:
    first = await written(allocation(), service(clusterIP="10.96.3.4", type="NodePort"))
    second = copy.deepcopy(first)
    second["metadata"]["name"] = "b"
    to = allocation()
    assert len(to.restore([first, second])) == 2
    number = first["spec"]["ports"][0]["nodePort"]
    for gone in (first, second):
        await refused(to, service("c", clusterIP="10.96.3.4"))
        await refused(to, service("c", [{"port": 80, "nodePort": number}], type="NodePort"))
        await to.after_delete(gone)
    await written(to, service("c", clusterIP="10.96.3.4"))


async def test_an_address_is_free_when_its_object_is_gone() -> None:
    kept = Kept()
    to = allocation("10.0.0.0/30", kept=kept)
    obj = await written(to, service(clusterIP="10.0.0.1"))
    kept.broken = True
    await to.after_delete(obj)
    await refused(to, service("b", clusterIP="10.0.0.1"))
    kept.broken = False
    await to.after_delete(obj)
    await written(to, service("b", clusterIP="10.0.0.1"))


async def test_nothing_twice_under_concurrent_writes() -> None:
    to = allocation("10.0.0.0/24", ports=(30000, 30299))
    chance = random.Random(7)

    async def write(name: str) -> Json | None:
        obj = service(name, type="NodePort")
        reservation: Reservation = await to.before_write(obj, None)
        await asyncio.sleep(0.0001 * chance.randrange(20))
        if chance.random() < 0.3:
            await reservation.undo()
            return None
        await reservation.commit()
        return obj

    for _ in range(5):
        made = await asyncio.gather(*(write(f"s{n}") for n in range(200)))
        stored = [obj for obj in made if obj is not None]
        held = [a for obj in stored for a in service_addresses(obj["spec"])]
        numbers = [n for obj in stored for n in service_ports(obj["spec"])]
        assert len(set(held)) == len(held) == len(stored)
        assert len(set(numbers)) == len(numbers) == len(stored)
        for obj in stored:
            await to.after_delete(obj)


async def test_a_long_life_leaks_nothing() -> None:
    """Random creates, updates (some undone) and deletions; at the end all can be had again."""
    to = allocation("10.0.0.0/26", "fd00::/122", ports=(30000, 30063))
    chance = random.Random(11)
    stored: dict[str, Json] = {}
    refusals: list[int] = []
    for _ in range(600):
        name = f"s{chance.randrange(12)}"
        old = stored.get(name)
        if old is not None and chance.random() < 0.3:
            await to.after_delete(stored.pop(name))
            continue
        kind = chance.choice(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"))
        obj = service(name, type=kind)
        if kind == "ExternalName":
            obj = service(name, (), type=kind, externalName="a.example.com")
        elif chance.random() < 0.5:
            obj["spec"]["ipFamilyPolicy"] = "PreferDualStack"
        if kind == "LoadBalancer" and chance.random() < 0.5:
            obj["spec"]["externalTrafficPolicy"] = "Local"
        try:
            reservation = await to.before_write(obj, old)
        except ApiError as e:
            refusals.append(e.code)
            continue
        if chance.random() < 0.3:
            await reservation.undo()
        else:
            await reservation.commit()
            stored[name] = obj
        held = [a for s in stored.values() for a in service_addresses(s["spec"])]
        numbers = [n for s in stored.values() for n in service_ports(s["spec"])]
        assert len(set(held)) == len(held)
        assert len(set(numbers)) == len(numbers)
    assert set(refusals) <= {422}
    for obj in stored.values():
        await to.after_delete(obj)
    ports = [{"port": n, "name": f"p{n}"} for n in range(1, 65)]
    await written(to, service("all", ports, type="NodePort"))
    for n in range(61):
        await written(to, service(f"n{n}"))
