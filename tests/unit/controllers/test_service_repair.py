"""What is found wrong with services, and what is done about it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from kapi.clock import Entropy, rfc3339
from kapi.controllers.service_repair import GRACE_S, ServiceRepair, findings
from kapi.errors import ApiError
from kapi.registry.allocation.ip_objects import ip_object, reference_to

Json = dict[str, Any]
RANGES = [ip_network("10.0.0.0/24"), ip_network("fd00::/112")]
PORTS = (30000, 30010)
NOW = 1_700_000_000.0


def service(name: str, *addresses: str, ports: tuple[int, ...] = (), age: float = 100) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"{name}-uid",
            "creationTimestamp": rfc3339(NOW - age),
        },
        "spec": {
            "type": "NodePort",
            "clusterIPs": list(addresses),
            "ports": [{"nodePort": port} for port in ports],
        },
    }


def address(text: str, owner: Json, age: float = 100) -> Json:
    obj = ip_object(text, reference_to(owner["metadata"]))
    obj["metadata"]["creationTimestamp"] = rfc3339(NOW - age)
    return obj


def found(services: list[Json], present: list[Json]) -> Any:
    return findings(services, present, RANGES, PORTS, NOW)


def notes(services: list[Json], present: list[Json]) -> list[tuple[str, str, str]]:
    events = found(services, present).events
    return [(e.service["metadata"]["name"], e.reason, e.note) for e in events]


def test_all_is_well() -> None:
    a = service("a", "10.0.0.1", "fd00::1", ports=(30001,))
    assert notes([a], [address("10.0.0.1", a), address("fd00::1", a)]) == []
    headless = service("h", "None")
    assert notes([headless], []) == []


def test_what_lacks_its_object() -> None:
    a = service("a", "10.0.0.1")
    assert notes([a], []) == [
        ("a", "ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.0.0.1 is not allocated; repairing")
    ]
    assert found([a], []).missing == [("10.0.0.1", a)]


def test_an_object_of_somebody_else() -> None:
    a, b = service("a", "10.0.0.1"), service("b")
    assert [n[1] for n in notes([a, b], [address("10.0.0.1", b)])] == ["IPAddressWrongReference"]
    assert found([a, b], [address("10.0.0.1", b)]).wrong == [("10.0.0.1", a)]


def test_the_older_service_is_in_the_right() -> None:
    young = service("young", "10.0.0.1", ports=(30001,), age=1)
    old = service("old", "10.0.0.1", ports=(30001,), age=9)
    assert notes([young, old], [address("10.0.0.1", old)]) == [
        (
            "young",
            "ClusterIPAlreadyAllocated",
            "Cluster IP [IPv4]: 10.0.0.1 was assigned to multiple services; please recreate "
            "service",
        ),
        (
            "young",
            "PortAlreadyAllocated",
            "Port 30001 was assigned to multiple services; please recreate service",
        ),
    ]


def test_out_of_range() -> None:
    a = service("a", "192.168.0.1", ports=(80,))
    assert [n[1] for n in notes([a], [address("192.168.0.1", a)])] == [
        "ClusterIPOutOfRange",
        "PortOutOfRange",
    ]


def test_leaked_objects_have_a_minute() -> None:
    gone = service("gone")
    fresh, old = (address(f"10.0.0.{i}", gone, age) for i, age in ((1, 1), (2, GRACE_S + 1)))
    foreign = {"metadata": {"name": "10.0.0.3", "creationTimestamp": rfc3339(0)}, "spec": {}}
    assert found([], [fresh, old, foreign]).leaked == ["10.0.0.2"]


class Stage:
    """Services and objects, as the cache has them, and what was done."""

    def __init__(self, services: list[Json], present: list[Json]) -> None:
        self.services, self.present = services, present
        self.stored = {s["metadata"]["name"]: s for s in services}
        self.done: list[str] = []
        self.events: dict[str, Json] = {}

    def repair(self) -> ServiceRepair:
        stage = self

        class Listed:
            def __init__(self, objects: list[Json]) -> None:
                self.objects = objects

            def list(self, namespace: str = "") -> list[Json]:
                return self.objects

        class Clock:
            def now(self) -> float:
                return NOW

            def monotonic(self) -> float:
                return NOW

            async def sleep(self, seconds: float) -> None: ...

        class Stored:
            async def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None:
                return stage.stored.get(name)

            async def create(self, group: str, plural: str, namespace: str, obj: Json) -> None:
                name = obj["metadata"]["name"]
                if name in stage.events:
                    raise ApiError(409, "AlreadyExists", "there is one")
                stage.events[name] = obj

        class Allocation:
            async def hold_again(self, text: str, reference: Json) -> None:
                stage.done.append(f"{text} for {reference['name']}")

            async def let_go(self, text: str) -> None:
                stage.done.append(f"without {text}")

        return ServiceRepair(
            Clock(),
            Entropy(1),
            Listed(self.services),
            Listed(self.present),
            Stored(),
            Allocation(),
            RANGES,
            PORTS,
        )


async def test_repairing() -> None:
    a, b, gone = service("a", "10.0.0.1"), service("b", "10.0.0.2"), service("gone")
    stage = Stage([a, b], [address("10.0.0.2", a), address("10.0.0.3", gone)])
    await stage.repair().step()
    assert stage.done == ["without 10.0.0.3", "10.0.0.1 for a", "10.0.0.2 for b"]
    assert {(e["reason"], e["regarding"]["name"]) for e in stage.events.values()} == {
        ("ClusterIPNotAllocated", "a"),
        ("IPAddressWrongReference", "b"),
    }
    await stage.repair().step()
    assert len(stage.events) == 2


async def test_a_service_that_is_gone_meanwhile_gets_nothing() -> None:
    a = service("a", "10.0.0.1")
    stage = Stage([a], [])
    del stage.stored["a"]
    await stage.repair().step()
    assert stage.done == []
    stage.stored["a"] = service("a", "10.0.0.9")
    await stage.repair().step()
    assert stage.done == []
