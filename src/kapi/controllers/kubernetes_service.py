"""The Service `kubernetes` in `default`, and the endpoints that lead from it to this server.

Clients in the cluster reach the server by it. The Service has the first address of the service
range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from kapi.controllers.objects import Fixed

Json = dict[str, Any]

NAMESPACE = "default"
NAME = "kubernetes"


def fixed_objects(
    bootstrap: Mapping[str, Sequence[Json]],
    cluster_ips: Sequence[str],
    advertise_address: str,
    secure_port: int,
) -> list[Fixed]:
    """The Service; its endpoints too if others can reach `advertise_address` ("": nobody)."""
    (service,) = bootstrap["services"]
    family = "IPv6" if ip_address(cluster_ips[0]).version == 6 else "IPv4"
    ports = [{**service["spec"]["ports"][0], "targetPort": secure_port}]
    spec = {
        **service["spec"],
        "clusterIP": cluster_ips[0],
        "clusterIPs": list(cluster_ips),
        "ipFamilies": [family],
        "ports": ports,
    }
    obj = {"kind": "Service", "apiVersion": "v1", **service, "spec": spec}
    fixed = [Fixed(group="", resource="services", object=obj, merge=merge_service)]
    if advertise_address and is_reachable(advertise_address):
        fixed += endpoints([advertise_address], secure_port)
    return fixed


def endpoints(addresses: Sequence[str], port: int) -> list[Fixed]:
    """The objects that lead from the Service to servers at these addresses."""
    return [_slice(addresses, port), _endpoints(addresses, port)]


def is_reachable(address: str) -> bool:
    """False for addresses that the API refuses in endpoints."""
    ip = ip_address(address)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast)


def merge_service(existing: Json, wanted: Json) -> Json | None:
    """The ports as they should be; the rest of a Service stays."""
    ports = existing["spec"].get("ports")
    if ports == wanted["spec"]["ports"]:
        return None
    return {**existing, "spec": {**existing["spec"], "ports": wanted["spec"]["ports"]}}


def _slice(addresses: Sequence[str], port: int) -> Fixed:
    group = "discovery.k8s.io"
    family = "IPv6" if ip_address(addresses[0]).version == 6 else "IPv4"
    obj = {
        "kind": "EndpointSlice",
        "apiVersion": f"{group}/v1",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": NAME},
        },
        "addressType": family,
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
        "ports": [{"name": "https", "protocol": "TCP", "port": port}],
    }
    return Fixed(group=group, resource="endpointslices", object=obj, merge=merge_slice)


def merge_slice(existing: Json, wanted: Json) -> Json | None:
    """Addresses and ports as they are now; others do not stay."""
    merged = {**existing, **{key: wanted[key] for key in ("endpoints", "ports")}}
    return merged if merged != existing else None


def _endpoints(addresses: Sequence[str], port: int) -> Fixed:
    obj = {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": a} for a in addresses],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }
    return Fixed(group="", resource="endpoints", object=obj, merge=merge_endpoints)


def merge_endpoints(existing: Json, wanted: Json) -> Json | None:
    subsets = wanted["subsets"]
    return {**existing, "subsets": subsets} if existing.get("subsets") != subsets else None
