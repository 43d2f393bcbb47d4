"""The IPAddress objects of services' addresses: made before a service is stored with one, removed
after it left it.

So whoever sees a service sees the objects of its addresses, and a crash leaves at most an object
without its service, which the next start removes. Used by `allocate.py`.
https://kubernetes.io/docs/reference/networking/virtual-ips/#ip-address-objects
"""

from __future__ import annotations

from typing import Any, Protocol

from kapi import log
from kapi.errors import ApiError
from kapi.registry.allocation import addresses
from kapi.registry.hooks import Occupied

Json = dict[str, Any]

GROUP, PLURAL = "networking.k8s.io", "ipaddresses"
FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
ALREADY_EXISTS = 409

_log = log.get("registry.ip_objects")


class Objects(Protocol):
    """What allocation needs of the registry."""

    async def create(self, group: str, plural: str, obj: Json) -> None:
        """Raises ApiError 409 if it exists."""

    async def delete(self, group: str, plural: str, name: str) -> None:
        """Gone, also if it never was. Raises ApiError."""


class IpObjects:
    """Makes and removes them. `objects`: None where nobody keeps any, as in tests."""

    def __init__(self, objects: Objects | None) -> None:
        self._objects = objects

    async def make(self, text: str, reference: Json) -> None:
        """Raises Occupied if there is one already, ApiError."""
        if self._objects is None:
            return
        try:
            await self._objects.create(GROUP, PLURAL, ip_object(text, reference))
        except ApiError as e:
            if e.code == ALREADY_EXISTS:
                raise Occupied(text) from None
            raise

    async def drop(self, text: str) -> bool:
        """Whether it is gone."""
        if self._objects is None:
            return True
        try:
            await self._objects.delete(GROUP, PLURAL, canonical(text))
        except ApiError as e:
            _log.warning("address object stays", address=text, problem=e.message)
            return False
        return True


def ip_object(text: str, reference: Json) -> Json:
    """The IPAddress object of a service's address."""
    return {
        "kind": "IPAddress",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {
            "name": canonical(text),
            "labels": {FAMILY_LABEL: addresses.ip_family(text), MANAGED_LABEL: MANAGER},
        },
        "spec": {"parentRef": dict(reference)},
    }


def reference_to(metadata: Json) -> Json:
    """How an IPAddress names the service that has it."""
    return {
        "resource": "services",
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
    }


def of_service(obj: Json) -> bool:
    """Whether an IPAddress object is one of those that are made here."""
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    managed = (obj["metadata"].get("labels") or {}).get(MANAGED_LABEL) == MANAGER
    return managed and parent.get("resource") == "services" and not parent.get("group")


def canonical(text: str) -> str:
    ip = addresses.parse_ip(text)
    return str(ip) if ip is not None else text
