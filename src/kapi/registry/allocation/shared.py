"""Addresses and ports of services where several servers write to one store.

Nothing is remembered here but lost races. A write picks from what the store says is free, by the
very rules of `allocate.py`: one of those is made for each pick, with what is taken in it. Before
the service is stored its picks are *claimed*: an address by creating its IPAddress object, ports by
a compare-and-set of the shared bitmap (`port_range.py`). Who loses a claim picks again.

A server that dies between claim and write leaves a claim without a service. `restore_objects`,
which every server runs at its start and now and then, gives it back once it is old enough that no
write can be under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from kapi import log
from kapi.clock import Clock, Entropy
from kapi.registry.allocation.addresses import Network
from kapi.registry.allocation.allocate import ServiceAllocation, service_addresses, service_ports
from kapi.registry.allocation.ip_objects import (
    GROUP,
    PLURAL,
    IpObjects,
    canonical,
    of_service,
    reference_to,
)
from kapi.registry.allocation.port_range import PortRange
from kapi.registry.hooks import Occupied
from kapi.registry.resource import ResourceType
from kapi.schema.scalars import parse_time

Json = dict[str, Any]
# A claim without a service is a write under way until it is this old.
GRACE_S: Final = 60.0
# So many looks in a row must find a port without a service before it is given back.
LOOKS: Final = 3

_log = log.get("registry.shared_allocation")


class Objects(Protocol):
    """What is needed of the registry, past the cache."""

    async def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None: ...

    async def create(self, group: str, plural: str, obj: Json) -> None:
        """Raises ApiError 409 if it exists."""

    async def delete(self, group: str, plural: str, name: str) -> None:
        """Gone, also if it never was. Raises ApiError."""


class Claim:
    """What one write takes and what it leaves behind (`registry/hooks.py`)."""

    def __init__(self, owner: SharedAllocation, obj: Json, old: Json | None) -> None:
        self._owner = owner
        self.reference = reference_to(obj["metadata"])
        addresses = service_addresses(obj["spec"])
        before = service_addresses(old["spec"]) if old else []
        ports = set(service_ports(obj["spec"]))
        ports_before = set(service_ports(old["spec"])) if old else set()
        self.addresses = [a for a in addresses if a not in before]
        self.left_addresses = [a for a in before if a not in addresses]
        self.ports, self.left_ports = ports - ports_before, ports_before - ports
        self._made: list[str] = []
        self._taken: set[int] = set()

    async def secure(self) -> None:
        """Claim it. Raises Occupied, ApiError."""
        for text in self.addresses:
            if await self._owner.claim(text, self.reference):
                self._made.append(text)
        lost = await self._owner.port_range.claim(self.ports)
        if lost:
            raise Occupied(str(min(lost)))
        self._taken = self.ports

    async def undo(self) -> None:
        """The write did not happen."""
        free = [a for a in self._made if not await self._owner.holds(self.reference, a)]
        await self._owner.give_back(free, self._taken)

    async def commit(self) -> None:
        """The change is stored."""
        await self._owner.give_back(self.left_addresses, self.left_ports)

    def doubt(self) -> None:
        """What has no service will be found."""


class SharedAllocation:
    """The hook of the write pipeline and of deletion for services. One per server."""

    def __init__(
        self,
        ranges: Sequence[Network],
        port_range: PortRange,
        clock: Clock,
        entropy: Entropy,
        objects: Objects,
        known_addresses: Callable[[], Iterable[str]],
    ) -> None:
        """`known_addresses`: the names of the IPAddress objects, as far as the cache has them."""
        self._ranges, self._entropy, self._clock = ranges, entropy, clock
        self._objects = objects
        self._ip_objects = IpObjects(objects)
        self._known_addresses = known_addresses
        self.port_range = port_range
        self._lost: set[str] = set()  # addresses that others have and the cache may not show yet
        self._unused: dict[int, int] = {}  # port → looks in a row that found no service

    def handles(self, resource: ResourceType, subresource: str) -> bool:
        return not subresource and resource.plural == "services" and not resource.group

    def frees(self, resource: ResourceType) -> bool:
        return self.handles(resource, "")

    async def before_write(self, obj: Json, old: Json | None) -> Claim:
        """Fill in what the client left out. Raises ApiError."""
        ports = (self.port_range.first, self.port_range.last)
        picks = ServiceAllocation(self._ranges, ports, self._entropy)
        known = set(self._known_addresses())
        own = set() if old else await self._own(obj, known)
        picks.load((known | await self._still_lost(known)) - own, await self.port_range.taken())
        await picks.before_write(obj, old)
        return Claim(self, obj, old)

    async def _own(self, obj: Json, known: set[str]) -> set[str]:
        """Of the addresses that a new service asks for and that the cache has, those it may have:
        another server gave them back a moment ago, or they are claimed for it, by another try to
        make it or by another server that makes it at this moment."""
        asked = [canonical(a) for a in service_addresses(obj["spec"])]
        reference = reference_to(obj["metadata"])
        return {a for a in asked if a in known and await self._is_open(a, reference)}

    async def _is_open(self, name: str, reference: Json) -> bool:
        found = await self._objects.get(GROUP, PLURAL, "", name)
        return found is None or (found.get("spec") or {}).get("parentRef") == reference

    async def _still_lost(self, known: set[str]) -> set[str]:
        """The lost addresses that still have an object."""
        for text in self._lost - known:
            if await self._objects.get(GROUP, PLURAL, "", text) is None:
                self._lost.discard(text)
        self._lost -= known
        return self._lost

    async def claim(self, text: str, reference: Json) -> bool:
        """Whether its object was made; False: there is one for the same service. Raises Occupied,
        ApiError."""
        try:
            await self._ip_objects.make(text, reference)
        except Occupied:
            if await self._is_claimed(canonical(text), reference):
                return False
            self._lost.add(canonical(text))
            raise
        return True

    async def _is_claimed(self, name: str, reference: Json) -> bool:
        found = await self._objects.get(GROUP, PLURAL, "", name)
        return found is not None and (found.get("spec") or {}).get("parentRef") == reference

    async def holds(self, reference: Json, text: str) -> bool:
        """Whether the service is there and has the address."""
        service = await self._objects.get(
            "", "services", reference.get("namespace", ""), reference.get("name", "")
        )
        listed = service_addresses((service or {}).get("spec") or {})
        return canonical(text) in map(canonical, listed)

    async def after_delete(self, obj: Json) -> None:
        spec = obj.get("spec") or {}
        await self.give_back(service_addresses(spec), service_ports(spec))

    async def give_back(self, addresses: Iterable[str], ports: Iterable[int]) -> None:
        await self.port_range.release(ports)
        for text in addresses:
            await self._ip_objects.drop(text)

    # -- repair -----------------------------------------------------------------------------------

    async def restore_objects(self, services: Iterable[Json], present: Iterable[Json]) -> None:
        """Bring claims in line with the services. Raises ApiError.

        Both are of the cache; before anything is removed the store is asked.
        """
        held: dict[str, Json] = {}
        used: set[int] = set()
        for service in services:
            spec = service.get("spec") or {}
            used.update(service_ports(spec))
            reference = reference_to(service["metadata"])
            held |= {canonical(text): reference for text in service_addresses(spec)}
        found = {obj["metadata"]["name"]: obj for obj in present}
        for name in held.keys() - found.keys():
            if not await self._is_claimed(name, held[name]):
                await self._make(name, held[name])
        for name, obj in found.items():
            if name not in held and await self._is_leaked(obj):
                _log.warning("an address had no service", address=name)
                await self._ip_objects.drop(name)
        taken = await self.port_range.taken()
        self._unused = {p: self._unused.get(p, 0) + 1 for p in taken - used}
        leaked = {p for p, looks in self._unused.items() if looks >= LOOKS}
        if leaked:
            _log.warning("ports had no service", ports=sorted(leaked))
        await self.port_range.renew(used, leaked)

    async def _make(self, name: str, reference: Json) -> None:
        try:
            await self._ip_objects.make(name, reference)
        except Occupied:
            _log.warning("a service's address is somebody else's", address=name)

    async def _is_leaked(self, obj: Json) -> bool:
        if not of_service(obj):
            return False
        made = parse_time(obj["metadata"]["creationTimestamp"])[0]
        if made > self._clock.now() - GRACE_S:
            return False
        return not await self.holds(obj["spec"]["parentRef"], obj["metadata"]["name"])
