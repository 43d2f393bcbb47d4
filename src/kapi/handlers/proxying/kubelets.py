"""Where a node's kubelet is, and how it is called. For logs, exec, attach, port-forward and the
proxy of nodes.

https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kapi import errors
from kapi.outgoing.dial import Address, Endpoint
from kapi.outgoing.tls import Tls

Json = dict[str, Any]
PORT = 10250  # where a node's status says nothing
_WEBSOCKETS = "ExtendWebSocketsToKubelet"
_HOST_NAME_LABEL = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """What the flags say. `ca`: PEM; without one a kubelet is believed, as the real server does."""

    address_types: Sequence[str]
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def tls(self, *, insecure: bool = False) -> Tls:
        unverified = insecure or not self.ca
        return Tls(
            ca=None if unverified else self.ca,
            certificate=self.certificate,
            key=self.key,
            insecure=unverified,
        )


class Kubelets:
    """`node`: a node by name, or None. `allowed`: which addresses may be called."""

    def __init__(
        self,
        node: Callable[[str], Json | None],
        settings: KubeletSettings,
        allowed: Callable[[Address], bool],
    ) -> None:
        self._node = node
        self._settings = settings
        self.allowed = allowed

    def of(self, name: str, *, insecure: bool = False, asked: str = "nodes") -> Endpoint:
        """Raises ApiError 404 for a node that is not there, in the words of the resource that was
        asked for (of a pod it is a pod by the name of the node), 500 for one without an address.
        """
        node = self._node(name)
        if node is None:
            raise errors.not_found("", asked, name)
        status = node.get("status") or {}
        host = _preferred(node, status.get("addresses") or [], self._settings.address_types)
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        port = endpoint.get("Port") or PORT
        return Endpoint(host, port, self._settings.tls(insecure=insecure), self.allowed)

    def speaks_websocket(self, name: str) -> bool:
        """Whether the node declares that its kubelet takes streams through WebSocket itself."""
        status = (self._node(name) or {}).get("status") or {}
        return _WEBSOCKETS in (status.get("declaredFeatures") or ())

    def check(self, host: str) -> None:
        """Raises ApiError 400 for an address that must not be called; a name is checked later."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        if not self.allowed(address):
            raise errors.bad_request("address not allowed")


def _preferred(node: Json, addresses: Sequence[Json], types: Sequence[str]) -> str:
    for wanted in types:
        for address in addresses:
            if address.get("type") == wanted and address.get("address"):
                return str(address["address"])
        name = (node["metadata"].get("labels") or {}).get(_HOST_NAME_LABEL)
        if wanted == "Hostname" and name:
            return str(name)
    known = " ".join(f"{{{a.get('type', '')} {a.get('address', '')}}}" for a in addresses)
    raise errors.ApiError(500, "", f"no preferred addresses found; known addresses: [{known}]")
