"""From a service's name to an address, and the words where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.clock import Entropy
from kapi.outgoing.services import ServiceResolver, host_name
from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]


def service(name: str, **spec: Any) -> Json:
    ports = [{"name": "https", "port": 443, "targetPort": 8443}]
    return {"metadata": {"name": name}, "spec": {"type": "ClusterIP", "ports": ports, **spec}}


SERVICES = {
    "web": service("web", clusterIP="10.0.0.7"),
    "headless": service("headless", clusterIP="None"),
    "outside": service("outside", type="ExternalName", externalName="example.com"),
    "odd": service("odd", type="Odd"),
    "old": service("old", clusterIP="10.0.0.8"),
}
ENDPOINTS = {
    "old": {
        "subsets": [
            {
                "addresses": [{"ip": "10.1.0.1"}],
                "notReadyAddresses": [{"ip": "10.1.0.2"}],
                "ports": [{"name": "https", "port": 9443}, {"name": "other", "port": 1}],
            }
        ]
    }
}
SLICES = {
    "web": [
        {
            "ports": [{"name": "https", "port": 8443}, {"name": "other", "port": 2}],
            "endpoints": [
                {"addresses": ["10.2.0.1"], "conditions": {"ready": False}},
                {"addresses": ["10.2.0.2"], "conditions": {"ready": True}},
                {"addresses": ["10.2.0.3"]},
            ],
        }
    ]
}


def lookup(plural: str, namespace: str, name: str) -> Json | None:
    assert namespace == "ns"
    return (SERVICES if plural == "services" else ENDPOINTS).get(name)


def resolver(**more: Any) -> ServiceResolver:
    return ServiceResolver(lookup, lambda ns, name: SLICES.get(name, []), Entropy(1), **more)


@pytest.mark.parametrize(
    ("name", "port", "found"),
    [("web", 443, ("10.0.0.7", 443)), ("outside", 8443, ("example.com", 8443))],
)
def test_cluster_addresses(name: str, port: int, found: tuple[str, int]) -> None:
    assert resolver().resolve("ns", name, port) == found


@pytest.mark.parametrize(
    ("name", "port", "text"),
    [
        ("none", 443, 'service "none" not found'),
        ("web", 80, 'no service port 80 found for service "web"'),
        ("headless", 443, 'cannot route to service with ClusterIP "None"'),
        ("odd", 443, 'unsupported service type "Odd"'),
    ],
)
def test_why_not(name: str, port: int, text: str) -> None:
    with pytest.raises(OutgoingError) as caught:
        resolver().resolve("ns", name, port)
    assert str(caught.value) == text


def test_endpoints() -> None:
    by_endpoint = resolver(by_endpoint=True)
    drawn = {by_endpoint.resolve("ns", "web", 443) for _ in range(50)}
    assert drawn == {("10.2.0.2", 8443), ("10.2.0.3", 8443)}
    assert by_endpoint.resolve("ns", "old", 443) == ("10.1.0.1", 9443)
    for name, text in (
        ("headless", 'no endpoints available for service "headless"'),
        ("outside", 'unsupported service type "ExternalName"'),
        ("none", 'service "none" not found'),
    ):
        with pytest.raises(OutgoingError) as caught:
            by_endpoint.resolve("ns", name, 443)
        assert str(caught.value) == text


def test_this_server_itself() -> None:
    own = resolver(own_address=lambda: ("127.0.0.1", 6443))
    assert own.resolve("default", "kubernetes", 443) == ("127.0.0.1", 6443)


def test_the_name_that_tls_must_show() -> None:
    assert host_name("ns", "web") == "web.ns.svc"
