"""Addresses and ports of services: reserved before a service is written, given back when it goes.

Theory of operation. The services themselves say what is taken: at start the in-memory sets are
filled from them (`restore`); from then on the sets are the truth of this process. A write reserves
without awaiting anything, so that two writes under way never get the same address. Before it is
stored, `Reservation.secure` makes the IPAddress objects of what is new; `undo` gives back what a
failed write (or a dry run) took; `commit` gives back what the stored change left behind. A number
is free only when its IPAddress object is gone. Example: a service goes from NodePort to ClusterIP.
`before_write` notes its port as left behind; the write is stored; `commit` frees the port. Had the
write failed, `undo` would have freed nothing, and the port would still be the service's.

An IPAddress object that somebody else made keeps its address from services as long as it exists.

Called by the write pipeline after admission, before the strategy prepares and validates (also for
dry runs), and by deletion.
https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kapi.clock import Entropy
from kapi.errors import ApiError, internal_error, invalid, invalid_value
from kapi.registry.allocation import addresses
from kapi.registry.allocation import service_fields as fields
from kapi.registry.allocation.addresses import Network
from kapi.registry.allocation.ip_objects import GROUP as IP_GROUP
from kapi.registry.allocation.ip_objects import PLURAL as IP_PLURAL
from kapi.registry.allocation.ip_objects import (
    IpObjects,
    Objects,
    canonical,
    of_service,
    reference_to,
)
from kapi.registry.allocation.pools import Addresses, AllocationError, Ports
from kapi.registry.allocation.service_families import settle_families
from kapi.registry.hooks import Occupied
from kapi.registry.resource import ResourceType

Json = dict[str, Any]


class Reservation:
    """What one write took and what it leaves behind (`registry/hooks.py`)."""

    def __init__(self, owner: ServiceAllocation, metadata: Json) -> None:
        self._owner = owner
        self._reference = reference_to(metadata)
        self._undo: list[Callable[[], None]] = []
        self._release: list[Callable[[], None]] = []
        self._secured: set[str] = set()
        self.added: list[str] = []  # addresses that are new
        self.removed: list[str] = []  # addresses that the stored change leaves

    async def secure(self) -> None:
        """The IPAddress objects of the new addresses. Raises Occupied, ApiError."""
        for text in list(self.added):
            try:
                await self._owner.objects.make(text, self._reference)
            except Occupied:
                self.added.remove(text)
                self._owner.occupied(text)
                raise
            self._secured.add(text)

    async def undo(self) -> None:
        """The write did not happen: give back what it took."""
        for action in self._undo:
            action()
        for text in self.added:
            if text in self._secured:
                await self._owner.let_go(text)
            else:
                self._owner.free_address(text)

    async def commit(self) -> None:
        """The change is stored: free what it left."""
        for action in self._release:
            action()
        for text in self.removed:
            await self._owner.let_go(text)

    def doubt(self) -> None:
        """Nothing is given back: the next start counts anew."""

    def took(self, action: Callable[[], None]) -> None:
        self._undo.append(action)

    def leaves(self, action: Callable[[], None]) -> None:
        self._release.append(action)


class ServiceAllocation:
    """The hook of the write pipeline and of deletion for services. One per server."""

    def __init__(
        self,
        ranges: Sequence[Network],
        ports: tuple[int, int],
        entropy: Entropy,
        objects: Objects | None = None,
    ) -> None:
        self._ranges = {a.family: a for a in (Addresses(n, entropy) for n in ranges)}
        self._ports = Ports(*ports, entropy)
        self._others: set[str] = set()  # addresses whose IPAddress object is somebody else's
        self.objects = IpObjects(objects)

    def handles(self, resource: ResourceType, subresource: str) -> bool:
        return not subresource and resource.plural == "services" and not resource.group

    def frees(self, resource: ResourceType) -> bool:
        return (resource.group, resource.plural) in (("", "services"), (IP_GROUP, IP_PLURAL))

    def restore(self, services: Iterable[Json]) -> list[str]:
        """Fill the sets from the stored services, at start. Complaints about what is there twice or
        out of range.
        """
        out = []
        for service in services:
            spec, meta = service.get("spec") or {}, service["metadata"]
            where = f"{meta.get('namespace')}/{meta.get('name')}"
            takes = [functools.partial(self._hold_address, a) for a in service_addresses(spec)]
            takes += [functools.partial(self._ports.hold, n) for n in service_ports(spec)]
            for take in takes:
                try:
                    take()
                except AllocationError as e:
                    out.append(f"{where}: {e}")
        return out

    def load(self, taken: Iterable[str], ports: Iterable[int]) -> None:
        """Take what others have, as far as it is of these ranges."""
        for text in taken:
            self.occupied(text)
        for number in ports:
            with contextlib.suppress(AllocationError):
                self._ports.take(number)

    async def restore_objects(self, services: Iterable[Json], present: Iterable[Json]) -> None:
        """Bring the IPAddress objects in line with the services, at start: what a crash left."""
        found = {obj["metadata"]["name"]: obj for obj in present}
        held = {
            canonical(text): reference_to(service["metadata"])
            for service in services
            for text in service_addresses(service.get("spec") or {})
        }
        for name, obj in found.items():
            if name in held:
                continue
            if of_service(obj):
                await self.objects.drop(name)
            else:
                self.occupied(name)
        for name, reference in held.items():
            obj = found.get(name, {})
            parent = (obj.get("spec") or {}).get("parentRef") or {}
            if obj and of_service(obj) and not reference.items() <= parent.items():
                await self.objects.drop(name)
                obj = {}
            if not obj:
                await self.objects.make(name, reference)

    async def before_write(self, obj: Json, old: Json | None) -> Reservation:
        """Fill in what the client left out, and reserve. Raises ApiError; then nothing is held."""
        reservation = Reservation(self, obj["metadata"])
        spec, before = obj["spec"], old["spec"] if old else None
        try:
            if before is not None:
                fields.patch_allocated(spec, before)
            fields.normalize_cluster_ips(spec, before)
            settle_families(obj, before, tuple(self._ranges))
            if before is None:
                self._all_addresses(obj, reservation)
                self._new_ports(obj, reservation)
            else:
                self._address_changes(obj, before, reservation)
                self._port_changes(obj, before, reservation)
        except ApiError:
            await reservation.undo()
            raise
        return reservation

    async def after_delete(self, obj: Json) -> None:
        if obj.get("kind") == "IPAddress":
            name = obj["metadata"]["name"]
            if name in self._others:
                self._others.discard(name)
                self.free_address(name)
            return
        spec = obj.get("spec") or {}
        for number in service_ports(spec):
            self._ports.free(number)
        for text in service_addresses(spec):
            await self.let_go(text)

    def occupied(self, text: str) -> None:
        """Somebody else's IPAddress object holds an address that no service has."""
        found = self._ranges.get(addresses.ip_family(text))
        if found is not None and canonical(text) not in self._others:
            self._others.add(canonical(text))
            found.occupy(text)

    async def hold_again(self, text: str, reference: Json) -> None:
        """The object of an address that a service has, made anew. Raises ApiError."""
        self._others.discard(canonical(text))
        with contextlib.suppress(AllocationError):
            self._hold_address(text)
        await self.objects.drop(text)
        with contextlib.suppress(Occupied):
            await self.objects.make(text, reference)

    async def let_go(self, text: str) -> None:
        """Free an address, unless its object stays."""
        if await self.objects.drop(text):
            self.free_address(text)

    # -- addresses --------------------------------------------------------------------------------

    def _hold_address(self, text: str) -> None:
        found = self._ranges.get(addresses.ip_family(text))
        if found is not None:
            found.hold(text)

    def free_address(self, text: str) -> None:
        found = self._ranges.get(addresses.ip_family(text))
        if found is not None:
            found.free(text)

    def _all_addresses(self, obj: Json, reservation: Reservation) -> None:
        spec = obj["spec"]
        if spec["type"] == "ExternalName" or fields.headless(spec):
            return
        listed: list[str] = list(spec.get("clusterIPs") or ())
        for i, family in enumerate(spec["ipFamilies"]):
            if i >= len(listed):
                listed.append("")
            listed[i] = self._address(obj, family, listed[i], reservation)
        spec["clusterIPs"] = listed
        spec["clusterIP"] = listed[0]

    def _address(self, obj: Json, family: str, wanted: str, reservation: Reservation) -> str:
        pool = self._ranges[family]
        try:
            if wanted:
                pool.take(wanted)
            else:
                wanted = pool.any()
        except AllocationError as e:
            if not wanted:
                raise internal_error(f"failed to allocate a serviceIP: {e}") from e
            words = f"failed to allocate IP {wanted}: {e}"
            found = [invalid_value("spec.clusterIPs", obj["spec"].get("clusterIPs") or [], words)]
            raise invalid("", "Service", obj["metadata"].get("name", ""), found) from e
        reservation.added.append(wanted)
        return wanted

    def _address_changes(self, obj: Json, old: Json, reservation: Reservation) -> None:
        spec = obj["spec"]
        if old["type"] == "ExternalName" and spec["type"] != "ExternalName":
            self._all_addresses(obj, reservation)
            return
        if fields.headless(old):
            return
        before: list[str] = old.get("clusterIPs") or []
        if spec["type"] == "ExternalName":
            reservation.removed += before
            return
        families: list[str] = spec.get("ipFamilies") or []
        single = spec.get("ipFamilyPolicy") == "SingleStack"
        if not single and len(before) == 1 and len(families) == 2:
            listed = list(spec.get("clusterIPs") or before)
            wanted = listed[1] if len(listed) > 1 else ""
            spec["clusterIPs"] = [listed[0], self._address(obj, families[1], wanted, reservation)]
        elif single and len(before) == 2 and len(families) == 1:
            reservation.removed += before[1:]
            spec["clusterIPs"] = (spec.get("clusterIPs") or before)[:1]

    # -- ports ------------------------------------------------------------------------------------

    def _port(self, obj: Json, index: int, wanted: int, reservation: Reservation) -> int:
        try:
            if wanted:
                self._ports.take(wanted)
            else:
                wanted = self._ports.any()
        except AllocationError as e:
            if not wanted:
                raise internal_error(f"failed to allocate a nodePort: {e}") from e
            found = [invalid_value(f"spec.ports[{index}].nodePort", wanted, str(e))]
            raise invalid("", "Service", obj["metadata"].get("name", ""), found) from e
        reservation.took(functools.partial(self._ports.free, wanted))
        return wanted

    def _new_ports(self, obj: Json, reservation: Reservation) -> None:
        """Ports with the same number in two protocols share one node port."""
        spec = obj["spec"]
        if spec["type"] in ("NodePort", "LoadBalancer"):
            ports = spec.get("ports") or []
            of: dict[int, int] = {}
            for i, port in enumerate(ports):
                wanted = port.get("nodePort", 0)
                if not wanted and not fields.needs_node_ports(spec):
                    continue
                number = port.get("port", 0)
                have = of.get(number, 0)
                if not have:
                    asked = (p.get("nodePort", 0) for p in ports if p.get("port", 0) == number)
                    have = self._port(obj, i, next((n for n in asked if n), 0), reservation)
                    of[number] = port["nodePort"] = have
                elif not wanted:
                    port["nodePort"] = have
                elif wanted != have:
                    self._port(obj, i, wanted, reservation)
        if fields.needs_health_check(spec):
            self._health_port(spec, reservation)

    def _port_changes(self, obj: Json, old: Json, reservation: Reservation) -> None:
        spec = obj["spec"]
        before = [p["nodePort"] for p in old.get("ports") or () if p.get("nodePort")]
        now: set[int] = set()
        if spec["type"] in ("NodePort", "LoadBalancer"):
            taken: set[int] = set()
            for i, port in enumerate(spec.get("ports") or ()):
                wanted = port.get("nodePort", 0)
                if not wanted and not fields.needs_node_ports(spec):
                    continue
                if not wanted:
                    port["nodePort"] = wanted = self._port(obj, i, 0, reservation)
                elif wanted not in before and wanted not in taken:
                    self._port(obj, i, wanted, reservation)
                taken.add(wanted)
                now.add(wanted)
        for number in dict.fromkeys(before):
            if number not in now:
                reservation.leaves(functools.partial(self._ports.free, number))
        self._health_changes(obj, old, reservation)

    def _health_changes(self, obj: Json, old: Json, reservation: Reservation) -> None:
        spec = obj["spec"]
        needed, needs = fields.needs_health_check(old), fields.needs_health_check(spec)
        number = old.get("healthCheckNodePort", 0)
        if needs and not needed:
            self._health_port(spec, reservation)
        elif needed and not needs:
            reservation.leaves(lambda: self._ports.free(number))
        elif needed and spec.get("healthCheckNodePort", 0) != number:
            found = [
                invalid_value(
                    "spec.healthCheckNodePort",
                    spec.get("healthCheckNodePort", 0),
                    "field is immutable",
                )
            ]
            raise invalid("", "Service", obj["metadata"].get("name", ""), found)

    def _health_port(self, spec: Json, reservation: Reservation) -> None:
        wanted = spec.get("healthCheckNodePort", 0)
        try:
            if wanted:
                self._ports.take(wanted)
            else:
                wanted = spec["healthCheckNodePort"] = self._ports.any()
        except AllocationError as e:
            words = (
                f"requested HealthCheck NodePort {wanted}" if wanted else "a HealthCheck NodePort"
            )
            raise internal_error(f"failed to allocate {words}: {e}") from e
        reservation.took(functools.partial(self._ports.free, wanted))


def service_addresses(spec: Mapping[str, Any]) -> list[str]:
    """The addresses that a stored service holds."""
    if spec.get("type") == "ExternalName":
        return []
    listed = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [text for text in listed if text and text != fields.NO_ADDRESS]


def service_ports(spec: Mapping[str, Any]) -> list[int]:
    """The ports of nodes that a stored service holds, each once."""
    listed = [p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        listed.append(spec["healthCheckNodePort"])
    return list(dict.fromkeys(listed))
