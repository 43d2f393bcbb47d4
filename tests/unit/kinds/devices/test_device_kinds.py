"""resource.k8s.io: claims, templates, classes, slices and taints: what is found, and in which
version's fields.
"""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import changed, findings, made, places

Json = dict[str, Any]
GROUP = "resource.k8s.io"
EXACT: Json = {"deviceClassName": "gpu"}


def claim(*requests: Json, **devices: Any) -> Json:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


def of_claim(*requests: Json, version: str = "", **devices: Any) -> list[str]:
    seen = findings(f"resourceclaims.{GROUP}", claim(*requests, **devices), version=version)
    return [text.removeprefix("spec.devices.") for text in seen]


REQUEST: Json = {"name": "r", "exactly": EXACT}


@pytest.mark.parametrize(
    ("requests", "devices", "expected"),
    [
        ([REQUEST], {}, []),
        ([{"name": "r"}], {}, ["requests[0]: Required value: exactly one of"]),
        (
            [{**REQUEST, "firstAvailable": [{"name": "s"}]}],
            {},
            [
                "requests[0]: Invalid value: null: exactly one of",
                "requests[0].firstAvailable[0].deviceClassName: Required value",
            ],
        ),
        # What a plain request must have is found first, what an alternative must, last.
        (
            [
                {"name": "R", "firstAvailable": [{"name": "s"}]},
                {"name": "t", "exactly": {}},
            ],
            {},
            [
                'requests[0].name: Invalid value: "R": a lowercase',
                "requests[1].exactly.deviceClassName: Required value",
                "requests[0].firstAvailable[0].deviceClassName: Required value",
            ],
        ),
        (
            [REQUEST, {**REQUEST}],
            {},
            ['requests[1]: Duplicate value: {"name":"r"'],
        ),
        (
            [{"name": "r", "exactly": {**EXACT, "allocationMode": "Some", "count": 1}}],
            {},
            ["requests[0].exactly.allocationMode: Unsupported value"],
        ),
        (
            [{"name": "r", "exactly": {**EXACT, "allocationMode": "All", "count": 1}}],
            {},
            ["requests[0].exactly.count: Invalid value: 1: must not be specified"],
        ),
        (
            [{"name": "r", "exactly": {**EXACT, "tolerations": [{"value": "v"}, {"key": "/"}]}}],
            {},
            [
                'requests[0].exactly.tolerations[1].key: Invalid value: "/": prefix part',
                'requests[0].exactly.tolerations[1].key: Invalid value: "/": name part must be non',
                'requests[0].exactly.tolerations[1].key: Invalid value: "/": name part must cons',
            ],
        ),
        (
            [REQUEST],
            {"constraints": [{"requests": ["x", "r/s", "a/b/c"], "matchAttribute": "a.b/c"}]},
            [
                'constraints[0].requests[0]: Invalid value: "x": must be the name',
                'constraints[0].requests[1]: Invalid value: "r/s": must be the name',
                'constraints[0].requests[2]: Invalid value: "a/b/c": must be the name',
            ],
        ),
        (
            [REQUEST],
            {"constraints": [{"requests": ["r", "r"], "matchAttribute": "c"}]},
            [
                'constraints[0].requests[1]: Duplicate value: "r"',
                'constraints[0].matchAttribute: Invalid value: "c": a fully qualified',
            ],
        ),
        (
            [REQUEST],
            {"config": [{"opaque": {"driver": "a_b", "parameters": [1]}}]},
            [
                'config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid',
                'config[0].opaque.driver: Invalid value: "a_b": an RFC 1123 subdomain',
            ],
        ),
        (
            [{"name": f"r{i}", "exactly": EXACT} for i in range(33)],
            {},
            ["requests: Too many: 33: must have at most 32 items"],
        ),
    ],
)
def test_claims(requests: list[Json], devices: Json, expected: list[str]) -> None:
    seen = of_claim(*requests, **devices)
    assert len(seen) == len(expected), seen
    assert all(text.startswith(start) for text, start in zip(seen, expected, strict=True)), seen


def test_findings_stand_where_the_version_of_the_request_has_the_field() -> None:
    flat = claim({"name": "r", "deviceClassName": "gpu", "allocationMode": "Some"})
    obj = made(f"resourceclaims.{GROUP}", flat, version="v1beta1")
    assert obj["spec"]["devices"]["requests"][0]["exactly"]["allocationMode"] == "Some"
    assert of_claim(
        {"name": "r", "deviceClassName": "gpu", "allocationMode": "Some"}, version="v1beta1"
    ) == [
        'requests[0].allocationMode: Unsupported value: "Some": supported values: "All", '
        '"ExactCount"'
    ]


SLICE: Json = {"driver": "d.example.com", "pool": {"name": "p", "resourceSliceCount": 1}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["spec: Required value"]),
        ({"nodeName": "n"}, []),
        ({"nodeName": "n", "allNodes": True}, ["spec: Invalid value"]),
        (
            {"nodeName": "n", "pool": {"name": "P/", "resourceSliceCount": 0, "generation": -1}},
            [
                "spec.pool.name: Invalid value",
                "spec.pool.name: Invalid value",
                "spec.pool.resourceSliceCount: Invalid value",
                "spec.pool.generation: Invalid value",
            ],
        ),
        (
            {"nodeName": "n", "sharedCounters": [{"name": "c", "counters": {"A": {"value": "1"}}}]},
            ["spec.sharedCounters[0].counters: Invalid value"],
        ),
    ],
)
def test_slices(spec: Json, expected: list[str]) -> None:
    seen = findings(f"resourceslices.{GROUP}", {"spec": {**SLICE, **spec}})
    assert places(seen) == expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            {"attributes": {"a": {"string": "x", "int": 1}, "b/c/d": {"bool": True}}},
            [".attributes: Invalid value", ".attributes[a]: Invalid value"],
        ),
        ({"attributes": {"v": {"version": "1"}}}, [".attributes[v].version: Invalid value"]),
        (
            {"taints": [{"key": "a", "effect": "X"}]},
            [".taints[0].effect: Unsupported value"],
        ),
        (
            {"capacity": {"c": {"value": "1", "requestPolicy": {"default": "2"}}}},
            [".capacity[c].requestPolicy: Forbidden"],
        ),
    ],
)
def test_devices(device: Json, expected: list[str]) -> None:
    spec = {**SLICE, "nodeName": "n", "devices": [{"name": "a", **device}]}
    seen = findings(f"resourceslices.{GROUP}", {"spec": spec})
    assert places(seen) == [f"spec.devices[0]{place}" for place in expected]


def test_what_may_change_in_slices_and_claims() -> None:
    before = {"spec": {**SLICE, "nodeName": "n"}}
    after = {"spec": {**SLICE, "driver": "e", "nodeName": "m"}}
    assert changed(f"resourceslices.{GROUP}", before, after) == [
        'spec.driver: Invalid value: "e": field is immutable',
        'spec.nodeName: Invalid value: "m": field is immutable',
    ]
    assert changed(f"resourceclaims.{GROUP}", claim(REQUEST), claim({**REQUEST, "name": "s"})) == [
        "spec: Invalid value: null: field is immutable"
    ]


RESULT: Json = {"request": "r", "driver": "d", "pool": "p", "device": "d"}
ALLOCATED: Json = {"allocation": {"devices": {"results": [RESULT]}}}
USER: Json = {"resource": "pods", "name": "p", "uid": "u"}
DEVICE: Json = {"driver": "d", "pool": "p", "device": "d"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({**ALLOCATED, "reservedFor": [USER]}, []),
        (
            {"reservedFor": [{**USER, "name": ""}]},
            ["reservedFor[0].name: Required value", "reservedFor: Forbidden"],
        ),
        (
            {"allocation": {"devices": {"results": [{**RESULT, "request": "x", "driver": "D_"}]}}},
            [
                "allocation.devices.results[0].request: Invalid value",
                "allocation.devices.results[0].driver: Invalid value",
            ],
        ),
        (
            {**ALLOCATED, "reservedFor": [USER, USER], "devices": [{**DEVICE, "device": "x"}]},
            ["devices[0]: Invalid value", "reservedFor[1]: Duplicate value"],
        ),
        (
            {
                **ALLOCATED,
                "devices": [
                    {
                        **DEVICE,
                        "networkData": {
                            "ips": ["1.2.3.4", "1.2.3.4/24", "1.2.3.4/24"],
                            "interfaceName": "x" * 257,
                        },
                    }
                ],
            },
            [
                "devices[0].networkData.ips[0]: Invalid value",
                "devices[0].networkData.interfaceName: Too long",
                "devices[0].networkData.ips[2]: Duplicate value",
            ],
        ),
    ],
)
def test_what_a_claims_status_may_say(status: Json, expected: list[str]) -> None:
    before = claim(REQUEST)
    after = {**before, "status": status}
    seen = changed(f"resourceclaims.{GROUP}", before, after, subresource="status")
    assert places(seen) == [f"status.{place}" for place in expected]


def test_classes_and_taints() -> None:
    spec: Json = {
        "selectors": [{"cel": {"expression": "1"}}, {}],
        "config": [{}],
        "extendedResourceName": "a",
    }
    assert places(findings(f"deviceclasses.{GROUP}", {"spec": spec})) == [
        "spec.selectors[0].cel.expression: Invalid value",
        "spec.selectors[1].cel: Required value",
        "spec.config[0].opaque: Required value",
        "spec.extendedResourceName: Invalid value",
    ]
    spec = {"taint": {"key": "a", "effect": "X"}, "deviceSelector": {"driver": "D_"}}
    assert places(findings(f"devicetaintrules.{GROUP}", {"spec": spec})) == [
        "spec.deviceSelector.driver: Invalid value",
        "spec.taint.effect: Unsupported value",
    ]


def test_questions_about_pools() -> None:
    name = f"resourcepoolstatusrequests.{GROUP}"
    asked = {"spec": {"driver": "d.example.com"}}
    assert findings(name, asked) == []
    bad = {"spec": {"driver": "D_", "poolName": "P", "limit": 1001}}
    assert places(findings(name, bad)) == [
        "spec.driver: Invalid value",
        "spec.poolName: Invalid value",
        "spec.limit: Invalid value",
    ]
    assert places(changed(name, asked, bad))[0] == "spec: Invalid value"
    pool = {"driver": "d", "poolName": "p", "generation": 1, "totalDevices": -1}
    answer = {**asked, "status": {"pools": [{**pool, "partitionSummary": [{"attribute": "a"}]}]}}
    assert places(changed(name, asked, answer, "status")) == [
        "status.poolCount: Required value",
        "status.pools[0].totalDevices: Invalid value",
        "status.pools[0].partitionSummary[0].type: Required value",
        "status.pools[0].partitionSummary[0].total: Required value",
        "status.pools[0].partitionSummary[0].allocatable: Required value",
    ]
