"""A service's name → where to dial: its cluster address, or one of its ready endpoints.

For webhooks and aggregated servers (`resolve`), and for the proxy of services, which goes by port
name and by endpoint always (`endpoints_of`). The name that TLS must show is
`<name>.<namespace>.svc` (`host_name`). Pure but for the draw among endpoints.
https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kapi import errors
from kapi.clock import Entropy
from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]
# (plural, namespace, name) → the object of the core group, or None.
Lookup = Callable[[str, str, str], Json | None]
# (namespace, service) → the EndpointSlices that carry the service's name in their label.
Slices = Callable[[str, str], list[Json]]

_CLUSTER_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")
HEADLESS = "None"


@dataclass(frozen=True, slots=True)
class ReadyAt:
    """An endpoint that takes connections, and the object that it is."""

    host: str
    port: int
    target: Json | None


def host_name(namespace: str, name: str) -> str:
    return f"{name}.{namespace}.svc"


class ServiceResolver:
    """`by_endpoint`: dial endpoints instead of cluster addresses (--enable-aggregator-routing).
    `own_address`: host and port of this server, which `default/kubernetes` stands for.
    """

    def __init__(
        self,
        lookup: Lookup,
        slices: Slices,
        entropy: Entropy,
        *,
        by_endpoint: bool = False,
        own_address: Callable[[], tuple[str, int]] | None = None,
    ) -> None:
        self.lookup = lookup
        self.slices = slices
        self._entropy = entropy
        self._by_endpoint = by_endpoint
        self._own_address = own_address

    def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Host and port to dial. Raises OutgoingError in the real server's words."""
        if self._own_address is not None and (namespace, name) == ("default", "kubernetes"):
            return self._own_address()
        service = self.lookup("services", namespace, name)
        if service is None:
            raise OutgoingError(f'service "{name}" not found')
        spec = service.get("spec") or {}
        kind = spec.get("type", "ClusterIP")
        if self._by_endpoint:
            wanted = _port(service, port)
            if kind not in _CLUSTER_TYPES:
                raise OutgoingError(f'unsupported service type "{kind}"')
            found = list(self.endpoints_of(namespace, name, wanted.get("name", "")))
            if not found:
                raise OutgoingError(f'no endpoints available for service "{name}"')
            return found[self._entropy.below(len(found))]
        if kind == "ClusterIP" and spec.get("clusterIP") == HEADLESS:
            raise OutgoingError('cannot route to service with ClusterIP "None"')
        if kind in _CLUSTER_TYPES:
            return str(spec.get("clusterIP", "")), int(_port(service, port)["port"])
        if kind == "ExternalName":
            return str(spec.get("externalName", "")), port
        raise OutgoingError(f'unsupported service type "{kind}"')

    def endpoints_of(self, namespace: str, name: str, port_name: str) -> Iterator[tuple[str, int]]:
        """Ready addresses that serve the port of this name."""
        for at in self.ready(namespace, name, port_name):
            yield at.host, at.port

    def ready(self, namespace: str, name: str, port_name: str) -> Iterator[ReadyAt]:
        """Ready endpoints that serve the port of this name: from slices, else from Endpoints."""
        slices = self.slices(namespace, name)
        for found in slices:
            yield from _of_slice(found, port_name)
        if slices:
            return
        endpoints = self.lookup("endpoints", namespace, name)
        for subset in (endpoints or {}).get("subsets") or ():
            for port in subset.get("ports") or ():
                if port.get("name", "") == port_name:
                    for address in subset.get("addresses") or ():
                        target = address.get("targetRef")
                        yield ReadyAt(address["ip"], int(port["port"]), target)

    def has_endpoints(self, namespace: str, name: str) -> bool:
        """Whether there are slices, or subsets, at all."""
        if self.slices(namespace, name):
            return True
        endpoints = self.lookup("endpoints", namespace, name)
        return bool((endpoints or {}).get("subsets"))

    def is_pod(self, namespace: str, at: ReadyAt) -> bool:
        """Whether the endpoint is a pod of the namespace that has this address."""
        target = at.target or {}
        if target.get("namespace", namespace) != namespace or not target.get("name"):
            return False
        pod = self.lookup("pods", namespace, target["name"])
        addresses = ((pod or {}).get("status") or {}).get("podIPs") or ()
        return any(address.get("ip") == at.host for address in addresses)


def _of_slice(found: Json, port_name: str) -> Iterator[ReadyAt]:
    for port in found.get("ports") or ():
        if (port.get("name") or "") != port_name or not port.get("port"):
            continue
        for endpoint in found.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready")
            if ready is not False and endpoint.get("addresses"):
                host, target = endpoint["addresses"][0], endpoint.get("targetRef")
                yield ReadyAt(host, int(port["port"]), target)


def _port(service: Json, port: int) -> Json:
    for candidate in (service.get("spec") or {}).get("ports") or ():
        if candidate.get("port") == port:
            found: Json = candidate
            return found
    name = errors.quote(service["metadata"]["name"])
    raise OutgoingError(f"no service port {port} found for service {name}")
