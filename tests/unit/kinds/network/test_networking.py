"""networking.k8s.io, discovery.k8s.io, coordination.k8s.io: what is found, filled in and shown."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import cells, changed, defaulted, findings, made, places

from kapi.kinds.network.networking import host_complaints
from kapi.registry import names

Json = dict[str, Any]
NET = "networking.k8s.io"
SUBDOMAIN = names.dns_subdomain("B")[0]
NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
SERVICE: Json = {"service": {"name": "a", "port": {"number": 80}}}


# -- ingresses ----------------------------------------------------------------------------------


def backend_findings(backend: Json) -> list[str]:
    return findings(f"ingresses.{NET}", {"spec": {"defaultBackend": backend}})


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (SERVICE, []),
        ({"service": {"name": "a", "port": {"name": "http"}}}, []),
        ({"resource": {"apiGroup": "example.com", "kind": "K", "name": "n"}}, []),
        ({}, [': Invalid value: "": resource or service backend is required']),
        (
            {**SERVICE, "resource": {"kind": "K", "name": "n"}},
            [': Invalid value: "": cannot set both resource and service backends'],
        ),
        ({"service": {"name": "a"}}, [": Required value: port name or number is required"]),
        (
            {"service": {"port": {"number": 80, "name": "http"}}},
            [
                ".service.name: Required value",
                ': Invalid value: "": cannot set both port name & port number',
            ],
        ),
        (
            {"service": {"name": "a", "port": {"number": 65536}}},
            [".service.port.number: Invalid value: 65536: must be between 1 and 65535, inclusive"],
        ),
        (
            {"resource": {"apiGroup": "B", "kind": "a/b"}},
            [
                f'.resource.apiGroup: Invalid value: "B": {SUBDOMAIN}',
                ".resource.kind: Invalid value: \"a/b\": may not contain '/'",
                ".resource.name: Required value",
            ],
        ),
    ],
)
def test_backends(backend: Json, expected: list[str]) -> None:
    assert backend_findings(backend) == [f"spec.defaultBackend{text}" for text in expected]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ({"pathType": "Prefix", "path": "/a"}, []),
        ({"pathType": "ImplementationSpecific"}, []),
        ({"path": "/a"}, [".pathType: Required value: pathType must be specified"]),
        ({"pathType": "Exact"}, ['.path: Invalid value: "": must be an absolute path']),
        (
            {"pathType": "ImplementationSpecific", "path": "a"},
            ['.path: Invalid value: "a": must be an absolute path'],
        ),
        (
            {"pathType": "X", "path": "a"},
            [
                '.pathType: Unsupported value: "X": supported values: "Exact", '
                '"ImplementationSpecific", "Prefix"'
            ],
        ),
        (
            {"pathType": "Prefix", "path": "/a//b/.."},
            [
                ".path: Invalid value: \"/a//b/..\": must not contain '//'",
                ".path: Invalid value: \"/a//b/..\": cannot end with '/..'",
            ],
        ),
        ({"pathType": "ImplementationSpecific", "path": "/a//b"}, []),
    ],
)
def test_paths(path: Json, expected: list[str]) -> None:
    rule = {"http": {"paths": [{**path, "backend": SERVICE}]}}
    where = "spec.rules[0].http.paths[0]"
    assert findings(f"ingresses.{NET}", {"spec": {"rules": [rule]}}) == [
        f"{where}{text}" for text in expected
    ]


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("a.example.com", True),
        ("*.example.com", True),
        ("*", False),
        ("*.*.com", False),
        ("a.*.com", False),
        ("A.example.com", False),
        ("a" * 254, False),
    ],
)
def test_hosts(host: str, good: bool) -> None:
    assert (host_complaints(host) == []) is good


def test_ingresses() -> None:
    assert findings(f"ingresses.{NET}", {"spec": {}}) == [
        "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"
    ]
    tls = [{"hosts": ["B"], "secretName": "B"}]
    spec = {"rules": [{"host": "1.2.3.4", "http": {"paths": []}}], "ingressClassName": "B"}
    assert findings(f"ingresses.{NET}", {"spec": {**spec, "tls": tls}}) == [
        'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        "spec.rules[0].http.paths: Required value",
        f'spec.tls[0].hosts[0]: Invalid value: "B": {SUBDOMAIN}',
        f'spec.tls[0].secretName: Invalid value: "B": {SUBDOMAIN}',
        f'spec.ingressClassName: Invalid value: "B": {SUBDOMAIN}',
    ]


def test_a_bad_secret_name_may_stay() -> None:
    old = {"spec": {"defaultBackend": SERVICE, "tls": [{"secretName": "B"}]}}
    assert changed(f"ingresses.{NET}", old, old) == []


def test_ingress_cells() -> None:
    rules = [{"host": h} for h in "abcd"]
    shown = cells(f"ingresses.{NET}", made(f"ingresses.{NET}", {"spec": {"rules": rules}}))
    assert (shown["Class"], shown["Hosts"], shown["Ports"]) == ("<none>", "a,b,c + 1 more...", "80")
    obj = {"spec": {"rules": [{}], "tls": [{}], "ingressClassName": "n"}}
    shown = cells(f"ingresses.{NET}", made(f"ingresses.{NET}", obj))
    assert (shown["Class"], shown["Hosts"], shown["Ports"]) == ("n", "*", "80, 443")


def test_ingress_classes() -> None:
    parameters = {"kind": "A", "name": "b", "scope": "Namespace"}
    obj: Json = {"spec": {"controller": "x", "parameters": parameters}}
    name = f"ingressclasses.{NET}"
    assert findings(name, obj) == [
        'spec.controller: Invalid value: "x": must be a domain-prefixed path '
        '(such as "acme.io/foo")',
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ]
    assert changed(name, {"spec": {"controller": "a.b/c"}}, {"spec": {"controller": "a.b/d"}}) == [
        'spec.controller: Invalid value: "a.b/d": field is immutable'
    ]
    marked = {"ingressclass.kubernetes.io/is-default-class": "true"}
    first = {"metadata": {"name": "a", "annotations": marked}}
    obj = {**first, "spec": {"parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}}
    shown = cells(name, made(name, obj))
    assert (shown["Name"], shown["Parameters"]) == ("a (default)", "K.g/n")


# -- policies -----------------------------------------------------------------------------------


def test_the_types_of_a_policy_follow_its_rules() -> None:
    def types(spec: Json) -> list[str]:
        found: list[str] = defaulted(f"networkpolicies.{NET}", {"spec": spec})["spec"][
            "policyTypes"
        ]
        return found

    assert types({}) == ["Ingress"]
    assert types({"egress": [{}]}) == ["Ingress", "Egress"]
    assert types({"egress": [{}], "policyTypes": ["Egress"]}) == ["Egress"]


def test_policies() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}
    ports: list[Json] = [{"port": 0}, {"port": 80, "endPort": 70}, {"protocol": "X"}]
    spec = {
        "podSelector": {"matchExpressions": [{"key": "a", "operator": "X"}]},
        "ingress": [{"from": [{"ipBlock": block, "podSelector": {}}, {}], "ports": ports}],
        "policyTypes": ["X"],
    }
    rule = "spec.ingress[0]"
    assert findings(f"networkpolicies.{NET}", {"spec": spec}) == [
        'spec.podSelector.matchExpressions[0].operator: Invalid value: "X": '
        "not a valid selector operator",
        f"{rule}.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        f"{rule}.ports[1].endPort: Invalid value: 80: must be greater than or equal to `port`",
        f'{rule}.ports[2].protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"',
        f'{rule}.from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": '
        "must be a strict subset of `cidr`",
        f"{rule}.from[0]: Forbidden: may not specify both ipBlock and another peer",
        f"{rule}.from[1]: Required value: must specify a peer",
        'spec.policyTypes[0]: Unsupported value: "X": supported values: "Ingress", "Egress"',
    ]


# -- ranges and addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (["10.0.0.0/8"], []),
        (["10.0.0.0/8", "fd00::/64"], []),
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            ["10.0.0.0/8", "10.1.0.0/16"],
            [
                'spec.cidrs: Invalid value: ["10.0.0.0/8","10.1.0.0/16"]: may specify no more '
                "than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
        ),
        (
            ["10.0.0.1/8"],
            [
                'spec.cidrs[0]: Invalid value: "10.0.0.1/8": must be in canonical form '
                '("10.0.0.0/8")'
            ],
        ),
    ],
)
def test_ranges(ranges: list[str], expected: list[str]) -> None:
    assert findings(f"servicecidrs.{NET}", {"spec": {"cidrs": ranges}}) == expected


def test_a_range_may_get_a_second_family() -> None:
    def change(old: list[str], new: list[str]) -> list[str]:
        before, after = ({"spec": {"cidrs": c}} for c in (old, new))
        return changed(f"servicecidrs.{NET}", before, after)

    assert change(["10.0.0.0/8"], ["10.0.0.0/8", "fd00::/64"]) == []
    assert change(["10.0.0.0/8"], ["11.0.0.0/8"]) == [
        'spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable'
    ]
    assert change(["10.0.0.0/8", "fd00::/64"], ["10.0.0.0/8"]) == [
        'spec.cidrs: Invalid value: ["10.0.0.0/8"]: field is immutable'
    ]


def test_addresses() -> None:
    name = f"ipaddresses.{NET}"
    assert findings(name, {"spec": {}}) == ["spec.parentRef: Required value"]
    assert findings(name, {"spec": {"parentRef": {"group": "B"}}}) == [
        f'spec.parentRef.group: Invalid value: "B": {SUBDOMAIN}',
        "spec.parentRef.resource: Required value",
        "spec.parentRef.name: Required value",
    ]
    reference = {"resource": "services", "namespace": "n", "name": "s"}
    obj = {"spec": {"parentRef": reference}}
    other = {"spec": {"parentRef": {**reference, "name": "t"}}}
    assert changed(name, obj, other) == ["spec.parentRef: Invalid value: null: field is immutable"]
    assert cells(name, made(name, obj))["ParentRef"] == "services/n/s"


# -- slices and leases --------------------------------------------------------------------------


def test_slices() -> None:
    obj = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["x", "fd::1"]}, {"addresses": []}],
        "ports": [{"name": "a", "port": 80}, {"name": "a"}, {"protocol": "X"}],
    }
    name = "endpointslices.discovery.k8s.io"
    assert findings(name, obj) == [
        f'endpoints[0].addresses[0]: Invalid value: "x": {NOT_IP}',
        'endpoints[0].addresses[1]: Invalid value: "fd::1": must be an IPv4 address',
        'ports[1].name: Duplicate value: "a"',
        'ports[2].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        "endpoints[1].addresses: Required value",
    ]
    assert findings(name, {"addressType": "X"}) == [
        'addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"'
    ]
    good = {"addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}], "ports": [{}]}
    assert findings(name, good) == []
    none = {"addressType": "IPv4"}
    assert changed(name, none, {"addressType": "IPv6"}) == [
        "addressType: Invalid value: null: field is immutable"
    ]


def test_slice_cells() -> None:
    name = "endpointslices.discovery.k8s.io"
    endpoints = [{"addresses": [f"1.1.1.{n}"]} for n in range(1, 6)]
    obj = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "a", "port": 80}, {}]}
    shown = cells(name, made(name, obj))
    assert shown["Ports"] == "80,*"
    assert shown["Endpoints"] == "1.1.1.1,1.1.1.2,1.1.1.3 + 2 more..."
    bare = cells(name, made(name, {"addressType": "IPv4"}))
    assert (bare["Ports"], bare["Endpoints"]) == ("<unset>", "<unset>")


def test_leases() -> None:
    spec = {"leaseDurationSeconds": 0, "leaseTransitions": -1}
    assert findings("leases.coordination.k8s.io", {"spec": spec}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_the_class_of_an_ingress_is_said_once() -> None:
    obj = {
        "metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}},
        "spec": {
            "ingressClassName": "b",
            "defaultBackend": {"resource": {"kind": "A", "name": "b"}},
        },
    }
    assert findings(f"ingresses.{NET}", obj) == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match '
        "`ingressClassName` when both are specified"
    ]


def test_ranges_of_services_are_one_of_a_family() -> None:
    for ranges in (["10.0.0.0/8", "10.1.0.0/16"], ["10.0.0.0/8", "fd00::/64", "fd01::/64"]):
        seen = findings(f"servicecidrs.{NET}", {"spec": {"cidrs": ranges}})
        assert places(seen) == ["spec.cidrs: Invalid value"]
