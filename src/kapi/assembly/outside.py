"""Puts `outgoing/` into a server: the client that calls others, and where their services are.

Called by `server.py` once; it closes the client when it stops. Webhooks, aggregated servers and
proxies share both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.handlers.proxying.kubelets import Kubelets, KubeletSettings
from kapi.options.table import Options
from kapi.outgoing.client import Client
from kapi.outgoing.reach import proxyable
from kapi.outgoing.services import ServiceResolver

Json = dict[str, Any]
SERVICE_LABEL = "kubernetes.io/service-name"  # of an EndpointSlice: whose endpoints it has
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Outside:
    """How other servers are reached."""

    client: Client
    services: ServiceResolver
    kubelets: Kubelets


def build_outside(
    options: Options, clock: Clock, entropy: Entropy, lister: Callable[[str, str], Lister]
) -> Outside:
    """`lister`: by group and plural."""
    listers = {plural: lister("", plural) for plural in ("services", "endpoints", "pods")}
    slices_lister = lister("discovery.k8s.io", "endpointslices")

    def lookup(plural: str, namespace: str, name: str) -> Json | None:
        return listers[plural].get(namespace, name)

    def slices(namespace: str, name: str) -> list[Json]:
        return [
            found
            for found in slices_lister.list(namespace)
            if (found["metadata"].get("labels") or {}).get(SERVICE_LABEL) == name
        ]

    def own_address() -> tuple[str, int]:
        address = options.bind_address
        return _ANYWHERE.get(address, address), options.secure_port

    services = ServiceResolver(
        lookup,
        slices,
        entropy,
        by_endpoint=options.enable_aggregator_routing,
        own_address=own_address if options.secure_port else None,
    )
    nodes = lister("", "nodes")
    kubelets = Kubelets(
        lambda name: nodes.get("", name),
        KubeletSettings(
            address_types=options.kubelet_preferred_address_types,
            ca=_text(options.kubelet_certificate_authority),
            certificate=options.kubelet_client_certificate,
            key=options.kubelet_client_key,
        ),
        proxyable(options.proxy_allowed_cidrs),
    )
    return Outside(Client(clock), services, kubelets)


def _text(path: str) -> str:
    return Path(path).read_text() if path else ""
