"""Addresses that are accepted but oddly spelled are warned of, wherever they stand."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import context, kind, made

Json = dict[str, Any]
ODD, RANGE = "2001:DB8::1", "2001:DB8::/32"
ADDRESSES = {"addresses": [{"ip": ODD}], "ports": [{"port": 80}]}
MANAGED = "endpoints.kubernetes.io/managed-by"
SLICES = "endpointslices.discovery.k8s.io"
INGRESS = {"status": {"loadBalancer": {"ingress": [{"ip": ODD}]}}}
FROM = {"ipBlock": {"cidr": RANGE, "except": [RANGE]}}
RULES = {"ingress": [{"from": [FROM]}], "egress": [{"to": [FROM]}]}
PORT = {"ports": [{"port": 80}]}


@pytest.mark.parametrize(
    ("name", "obj", "subresource", "paths"),
    [
        ("endpoints", {"subsets": [ADDRESSES]}, "", ["subsets[0].addresses[0].ip"]),
        (
            "endpoints",
            {"metadata": {"name": "a", "labels": {MANAGED: "endpoint-controller"}},
             "subsets": [ADDRESSES]}, "", [],
        ),
        (SLICES, {"addressType": "IPv6", "endpoints": [{"addresses": [ODD]}]}, "",
         ["endpoints[0].addresses[0]"]),
        (
            "services",
            {"spec": PORT | {"type": "LoadBalancer", "clusterIP": ODD, "clusterIPs": [ODD],
                             "loadBalancerIP": ODD, "loadBalancerSourceRanges": [RANGE]}},
            "",
            ["spec.clusterIPs[0]", "spec.loadBalancerIP", "spec.loadBalancerSourceRanges[0]"],
        ),
        ("services", {"spec": PORT, **INGRESS}, "status", ["status.loadBalancer.ingress[0]"]),
        ("ingresses.networking.k8s.io", INGRESS, "status", ["status.loadBalancer.ingress[0]"]),
        (
            "networkpolicies.networking.k8s.io",
            {"spec": {"podSelector": {}, **RULES}},
            "",
            [f"spec.{at}.ipBlock.{field}" for at in ("ingress[0].from[0]", "egress[0].to[0]")
             for field in ("cidr", "except[0]")],
        ),
        ("pods", {"spec": {"containers": []}, "status": {"podIPs": [{"ip": ODD}],
                                                         "hostIPs": [{"ip": ODD}]}},
         "status", ["status.podIPs[0].ip", "status.hostIPs[0].ip"]),
    ],
)  # fmt: skip
def test_odd_addresses(name: str, obj: Json, subresource: str, paths: list[str]) -> None:
    resource = kind(name)
    about = context("UPDATE", next(iter(resource.versions.values())), subresource)
    old = made(name, obj)
    found = resource.strategy.warnings(
        made(name, obj, old=old, subresource=subresource), old, about
    )
    canonical = "should be in RFC 5952 canonical format"
    assert [w.partition(":")[0] for w in found if canonical in w] == paths
    assert len(found) == len(paths)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"externalName": "a"},
            'spec.externalName is ignored when spec.type is not "ExternalName"',
        ),
        (
            {"trafficDistribution": "PreferClose"},
            'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
        ),
    ],
)
def test_other_warnings_of_services(spec: Json, expected: str) -> None:
    resource = kind("services")
    about = context("CREATE", resource.versions["v1"])
    obj = made("services", {"spec": {**PORT, **spec}})
    assert resource.strategy.warnings(obj, None, about) == [expected]
