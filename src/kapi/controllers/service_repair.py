"""Looks whether services, their addresses and their ports still agree, and brings them in line.

Each address of a service has an IPAddress object that refers to it: one that is missing is made,
one that refers to somebody else is made anew, one without its service goes after a minute, since
the service may be just being written. What only a user can mend (two services with one address or
port, one out of range) becomes an event at the service.

Theory of operation. `findings` is pure: from services and objects of the cache to what is wrong.
The cache may lag, so before something is made, the service is read once more from the store.
https://kubernetes.io/docs/reference/networking/virtual-ips/#ip-address-objects
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock, Entropy, rfc3339_micro
from kapi.errors import ApiError
from kapi.registry.allocation.addresses import ip_family
from kapi.registry.allocation.allocate import service_addresses, service_ports
from kapi.registry.allocation.ip_objects import canonical, of_service, reference_to
from kapi.schema.scalars import parse_time
from kapi.storage.interface import StorageError

Json = dict[str, Any]
Network = IPv4Network | IPv6Network
REPAIR_S = 180.0
GRACE_S = 60.0  # how old an object without its service must be
ADDRESSES, PORTS = "ipallocator-repair-controller", "portallocator-repair-controller"

_log = log.get("service-repair")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a service, as its event says it."""

    service: Json
    controller: str
    reason: str
    note: str


@dataclass(slots=True)
class Findings:
    events: list[Finding]
    missing: list[tuple[str, Json]]  # address, service
    wrong: list[tuple[str, Json]]  # address of an object that refers to another, service
    leaked: list[str]


def findings(
    services: Sequence[Json],
    present: Iterable[Json],
    ranges: Sequence[Network],
    ports: tuple[int, int],
    now: float,
) -> Findings:
    """What is wrong; `present` are the IPAddress objects. The older service is in the right."""
    out = Findings([], [], [], [])
    objects = {obj["metadata"]["name"]: obj for obj in present}
    holders: dict[str, Json] = {}
    taken: set[int] = set()
    for service in sorted(services, key=lambda s: s["metadata"].get("creationTimestamp", "")):
        spec = service.get("spec") or {}
        for text in service_addresses(spec):
            _address(out, service, text, holders, objects, ranges)
        for number in service_ports(spec):
            _port(out, service, number, taken, ports)
    for name, obj in objects.items():
        if name not in holders and of_service(obj) and now - _made(obj) > GRACE_S:
            out.leaked.append(name)
    return out


def _address(
    out: Findings,
    service: Json,
    text: str,
    holders: dict[str, Json],
    objects: dict[str, Json],
    ranges: Sequence[Network],
) -> None:
    def say(reason: str, words: str) -> None:
        note = f"Cluster IP [{ip_family(text)}]: {text} {words}"
        out.events.append(Finding(service, ADDRESSES, reason, note))

    name = canonical(text)
    if not any(ip_address(name) in network for network in ranges):
        say(
            "ClusterIPOutOfRange",
            "is not within any configured Service CIDR; please recreate service",
        )
    if name in holders:
        say(
            "ClusterIPAlreadyAllocated",
            "was assigned to multiple services; please recreate service",
        )
        return
    holders[name] = service
    obj = objects.get(name)
    if obj is None:
        say("ClusterIPNotAllocated", "is not allocated; repairing")
        out.missing.append((name, service))
        return
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    if of_service(obj) and not reference_to(service["metadata"]).items() <= parent.items():
        say("IPAddressWrongReference", "has a wrong reference; repairing")
        out.wrong.append((name, service))


def _port(
    out: Findings, service: Json, number: int, taken: set[int], ports: tuple[int, int]
) -> None:
    def say(reason: str, words: str) -> None:
        out.events.append(Finding(service, PORTS, reason, f"Port {number} {words}"))

    if not ports[0] <= number <= ports[1]:
        where = f"{ports[0]}-{ports[1]}"
        say("PortOutOfRange", f"is not within the port range {where}; please recreate service")
    elif number in taken:
        say("PortAlreadyAllocated", "was assigned to multiple services; please recreate service")
    taken.add(number)


def _made(obj: Json) -> float:
    return float(parse_time(obj["metadata"]["creationTimestamp"])[0])


class Lister(Protocol):
    def list(self, namespace: str = "") -> list[Json]: ...


class Objects(Protocol):
    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None: ...
    async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None: ...


class Allocation(Protocol):
    """What is repaired with: `registry/allocation/allocate.py`."""

    async def hold_again(self, text: str, reference: Json) -> None:
        """The object of an address that a service has. Raises ApiError."""

    async def let_go(self, text: str) -> None: ...


class ServiceRepair:
    def __init__(
        self,
        clock: Clock,
        entropy: Entropy,
        services: Lister,
        addresses: Lister,
        objects: Objects,
        allocation: Allocation,
        ranges: Sequence[Network],
        ports: tuple[int, int],
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._services = services
        self._addresses = addresses
        self._objects = objects
        self._allocation = allocation
        self._ranges = ranges
        self._ports = ports

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(REPAIR_S * self._entropy.jitter(0.9, 1.1))
            try:
                await self.step()
            except (ApiError, StorageError) as error:
                _log.warning("services were not repaired", error=str(error))

    async def step(self) -> Findings:
        """One look, and what it leads to. Raises ApiError, StorageError."""
        found = findings(
            self._services.list(),
            self._addresses.list(),
            self._ranges,
            self._ports,
            self._clock.now(),
        )
        for text in found.leaked:
            _log.warning("an address without its service goes", address=text)
            await self._allocation.let_go(text)
        for text, service in (*found.missing, *found.wrong):
            if await self._holds(service, text):
                await self._allocation.hold_again(text, reference_to(service["metadata"]))
        for finding in found.events:
            await self._tell(finding)
        return found

    async def _holds(self, service: Json, text: str) -> bool:
        """Whether the service is still there, with this address."""
        meta = service["metadata"]
        now = await self._objects.get("", "services", meta["namespace"], meta["name"])
        if now is None or now["metadata"].get("uid") != meta.get("uid"):
            return False
        return text in map(canonical, service_addresses(now.get("spec") or {}))

    async def _tell(self, finding: Finding) -> None:
        """An event at the service: one for each finding, until it is over or comes again."""
        meta = finding.service["metadata"]
        _log.warning(finding.note, service=f"{meta['namespace']}/{meta['name']}")
        digest = hashlib.sha256(f"{meta.get('uid')} {finding.note}".encode()).hexdigest()[:16]
        event = {
            "kind": "Event",
            "apiVersion": "events.k8s.io/v1",
            "metadata": {"name": f"{meta['name']}.{digest}", "namespace": meta["namespace"]},
            "eventTime": rfc3339_micro(self._clock.now()),
            "reportingController": finding.controller,
            "reportingInstance": f"{finding.controller}-kapi",
            "action": "ClusterIPAllocation"
            if finding.controller == ADDRESSES
            else "PortAllocation",
            "reason": finding.reason,
            "regarding": {
                "kind": "Service",
                "apiVersion": "v1",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta.get("uid", ""),
            },
            "note": finding.note,
            "type": "Warning",
        }
        try:
            await self._objects.create("events.k8s.io", "events", meta["namespace"], event)
        except ApiError as error:
            if error.code != _EXISTS:
                _log.warning("no event was written", error=error.message)


_EXISTS = 409
