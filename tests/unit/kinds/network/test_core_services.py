"""Services and Endpoints: what is filled in, found, warned of and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kind_bench import cells, changed, context, defaulted, findings, kind, made

from kapi.registry import names

Json = dict[str, Any]
NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
PORT_RANGE = "must be between 1 and 65535, inclusive"


def service(ports: Sequence[Json] = ({"port": 80},), **spec: Any) -> Json:
    """As the allocation leaves it."""
    base = {
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": list(ports),
    }
    return {"spec": {**base, **spec}}


def balancer(*ingress: Json, **spec: Any) -> Json:
    return {
        **service(type="LoadBalancer", **spec),
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def test_defaults() -> None:
    spec = defaulted("services", {"spec": {"ports": [{"port": 80}]}})["spec"]
    assert spec == {
        "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
        "internalTrafficPolicy": "Cluster",
    }
    spec = defaulted("services", {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}})[
        "spec"
    ]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True
    spec = defaulted("services", {"spec": {"type": "ExternalName", "externalName": "a.b"}})["spec"]
    assert "internalTrafficPolicy" not in spec


def test_a_load_balancers_addresses_are_virtual() -> None:
    status = defaulted("services", balancer({"ip": "1.2.3.4"}, {"hostname": "a.b"}))["status"]
    assert status["loadBalancer"]["ingress"] == [
        {"ip": "1.2.3.4", "ipMode": "VIP"},
        {"hostname": "a.b"},
    ]


@pytest.mark.parametrize(
    ("ports", "spec", "expected"),
    [
        ([{"port": 80}], {}, []),
        ([], {}, ["spec.ports: Required value"]),
        ([], {"clusterIP": "None", "clusterIPs": ["None"]}, []),
        (
            [{"port": 0}, {"port": 70000, "name": "a"}],
            {},
            [
                "spec.ports[0].name: Required value",
                f"spec.ports[0].port: Invalid value: 0: {PORT_RANGE}",
                f"spec.ports[0].targetPort: Invalid value: 0: {PORT_RANGE}",
                f"spec.ports[1].port: Invalid value: 70000: {PORT_RANGE}",
                f"spec.ports[1].targetPort: Invalid value: 70000: {PORT_RANGE}",
            ],
        ),
        (
            [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}],
            {},
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (
            [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}],
            {},
            [
                'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,'
                '"Port":80,"TargetPort":0,"NodePort":0}'
            ],
        ),
        (
            [{"port": 80, "nodePort": 30000}],
            {},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            [{"port": 80, "protocol": "ICMP"}],
            {},
            [
                'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", '
                '"TCP", "UDP"'
            ],
        ),
    ],
)
def test_ports(ports: list[Json], spec: Json, expected: list[str]) -> None:
    assert findings("services", service(ports, **spec)) == expected


ONLY = "may only be used when `type` is 'LoadBalancer'"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"type": "Bad"},
            [
                'spec.type: Unsupported value: "Bad": supported values: "ClusterIP", '
                '"ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            {"type": "ExternalName"},
            [
                *(
                    f"spec.{name}: Forbidden: may not be set for ExternalName services"
                    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
                ),
                "spec.externalName: Required value",
            ],
        ),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            [
                'spec.clusterIPs[0]: Invalid value: "None": '
                "may not be set to 'None' for NodePort services"
            ],
        ),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}},
            },
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {"externalTrafficPolicy": "Local"},
            [
                'spec.externalTrafficPolicy: Invalid value: "Local": '
                "may only be set for externally-accessible services"
            ],
        ),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"], "loadBalancerClass": "a/b"},
            [
                f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY}",
                f"spec.loadBalancerClass: Forbidden: {ONLY}",
            ],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["x"]},
            [
                'spec.LoadBalancerSourceRanges[0]: Invalid value: "x": must be a valid CIDR '
                "value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
        (
            {"type": "ClusterIP", "allocateLoadBalancerNodePorts": True},
            [f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY}"],
        ),
        (
            {"externalIPs": ["127.0.0.1", "x"]},
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
                f'spec.externalIPs[1]: Invalid value: "x": {NOT_IP}',
            ],
        ),
        (
            {"trafficDistribution": "Near", "internalTrafficPolicy": "Some"},
            [
                'spec.internalTrafficPolicy: Unsupported value: "Some": supported values: '
                '"Cluster", "Local"',
                'spec.trafficDistribution: Unsupported value: "Near": supported values: '
                '"PreferClose", "PreferSameNode", "PreferSameZone"',
            ],
        ),
        (
            {"healthCheckNodePort": 30000},
            [
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is "
                "'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            ],
        ),
    ],
)
def test_findings(spec: Json, expected: list[str]) -> None:
    assert findings("services", service(**spec)) == expected


def test_addresses_stay() -> None:
    other = service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"])
    assert changed("services", service(), other) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'
    ]
    both: Json = {"clusterIPs": ["10.0.0.1", "fd::1"], "ipFamilies": ["IPv4", "IPv6"]}
    dual = service(**both, ipFamilyPolicy="PreferDualStack")
    less = service(ipFamilyPolicy="PreferDualStack")
    assert changed("services", service(), dual) == []
    assert changed("services", dual, service()) == []
    found = changed("services", dual, less)
    assert len(found) == 2
    assert all("must be set to 'SingleStack' when releasing" in text for text in found)


def test_the_class_of_a_load_balancer_stays() -> None:
    one, two = (service(type="LoadBalancer", loadBalancerClass=f"a/{n}") for n in "bc")
    assert changed("services", one, two) == [
        'spec.loadBalancerClass: Invalid value: "a/c": may not change once set'
    ]
    assert changed("services", one, service(type="ClusterIP", loadBalancerClass="a/b")) == []


def test_what_a_change_of_type_takes_along() -> None:
    node_port = service([{"port": 80, "nodePort": 30000}], type="NodePort")
    old = made("services", node_port)
    new = made("services", service([{"port": 80, "nodePort": 30000}]), old=old)
    assert "nodePort" not in new["spec"]["ports"][0]
    asked = made("services", service([{"port": 80, "nodePort": 30001}]), old=old)
    assert asked["spec"]["ports"][0]["nodePort"] == 30001  # and is found fault with


def test_load_balancer_status() -> None:
    status = balancer({"ip": "1.2.3.4"})["status"]
    assert changed("services", service(), {**service(), "status": status}, "status") == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "
        "'LoadBalancer'"
    ]
    ingress: list[Json] = [
        {"ip": "1.2.3"},
        {"hostname": "1.2.3.4"},
        {"ip": "1.2.3.4", "ipMode": "X"},
        {"hostname": "a.example.com", "ipMode": "VIP"},
    ]
    path = "status.loadBalancer.ingress"
    assert changed("services", balancer(), balancer(*ingress), "status") == [
        f'{path}[0].ip: Invalid value: "1.2.3": {NOT_IP}',
        f'{path}[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        f'{path}[2].ipMode: Unsupported value: "X": supported values: "Proxy", "VIP"',
        f"{path}[3].ipMode: Forbidden: may not be specified when `ip` is not set",
    ]


def test_warnings() -> None:
    strategy = kind("services").strategy
    about = context("CREATE", kind("services").versions["v1"])

    def warned(**spec: Any) -> list[str]:
        return strategy.warnings(made("services", service(**spec)), None, about)

    assert warned() == []
    none = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert warned(**none, loadBalancerIP="1.1.1.1", sessionAffinity="ClientIP") == [
        "spec.loadBalancerIP is ignored for headless services",
        "spec.SessionAffinity is ignored for headless services",
    ]
    assert warned(externalIPs=["1.1.1.1"]) == [
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    ]


@pytest.mark.parametrize(
    ("obj", "external", "ports"),
    [
        (service(), "<none>", "80/TCP"),
        (service([]), "<none>", "<none>"),
        (service([{"port": 80, "nodePort": 30000}], type="NodePort"), "<none>", "80:30000/TCP"),
        (service(externalIPs=["1.1.1.1", "2.2.2.2"]), "1.1.1.1,2.2.2.2", "80/TCP"),
        (service(type="ExternalName", externalName="a.b"), "a.b", "80/TCP"),
        (service(type="LoadBalancer"), "<pending>", "80/TCP"),
        (balancer({"ip": "1.1.1.1"}, {"hostname": "a.b"}), "1.1.1.1,a.b", "80/TCP"),
        (balancer({"ip": "1.1.1.1"}, externalIPs=["2.2.2.2"]), "1.1.1.1,2.2.2.2", "80/TCP"),
    ],
)
def test_cells(obj: Json, external: str, ports: str) -> None:
    shown = cells("services", made("services", service()) | defaulted("services", obj))
    assert (shown["External-IP"], shown["Port(s)"]) == (external, ports)


def test_field_selectors() -> None:
    select = kind("services").field_selectors
    obj = made("services", service(type="NodePort"))
    assert {name: of(obj) for name, of in select.items() if name.startswith("spec.")} == {
        "spec.clusterIP": "10.0.0.1",
        "spec.type": "NodePort",
    }


def test_endpoints() -> None:
    subsets: list[Json] = [
        {"ports": [{"port": 80}]},
        {
            "addresses": [{"ip": "127.0.0.1", "hostname": "A"}],
            "ports": [{"port": 0, "protocol": "X"}, {"port": 80}],
        },
    ]
    obj: Json = {"subsets": subsets}
    assert findings("endpoints", obj) == [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        f'subsets[1].addresses[0].hostname: Invalid value: "A": {names.dns_label("A")[0]}',
        'subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": '
        "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        "subsets[1].ports[0].name: Required value",
        f"subsets[1].ports[0].port: Invalid value: 0: {PORT_RANGE}",
        'subsets[1].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", '
        '"TCP", "UDP"',
        "subsets[1].ports[1].name: Required value",
    ]
    assert changed("endpoints", obj, obj) == []  # what stands there may stay


def test_endpoints_cells() -> None:
    many = [{"ip": f"10.0.0.{n}"} for n in range(1, 6)]
    obj = made("endpoints", {"subsets": [{"addresses": many, "ports": [{"port": 80}]}]})
    shown = cells("endpoints", obj)["Endpoints"]
    assert shown == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert cells("endpoints", made("endpoints", {}))["Endpoints"] == "<none>"
