"""storage.k8s.io: what drivers, nodes, attachments and capacities may say, and what may change."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import changed, findings

Json = dict[str, Any]
GROUP = "storage.k8s.io"


@pytest.mark.parametrize(
    ("plural", "obj", "expected"),
    [
        (
            "csidrivers",
            {
                "metadata": {"name": "d"},
                "spec": {
                    "fsGroupPolicy": "X",
                    "tokenRequests": [{"audience": "", "expirationSeconds": 1}],
                    "nodeAllocatableUpdatePeriodSeconds": 1,
                },
            },
            [
                'spec.fsGroupPolicy: Unsupported value: "X"',
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a",
                "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 1: must be greater",
            ],
        ),
        (
            "csinodes",
            {"spec": {"drivers": [{"name": "a", "nodeID": "", "topologyKeys": ["/", "b", "b"]}]}},
            [
                "spec.drivers[0].nodeID: Required value",
                'spec.drivers[0]: Invalid value: "/": prefix part',
                'spec.drivers[0]: Invalid value: "/": name part must be non-empty',
                'spec.drivers[0]: Invalid value: "/": name part must consist',
                'spec.drivers[0]: Duplicate value: "b"',
            ],
        ),
        (
            "csistoragecapacities",
            {"storageClassName": "A", "capacity": "-1", "maximumVolumeSize": "-1"},
            ["storageClassName: Invalid value", "capacity: Invalid value"],
        ),
        (
            "volumeattachments",
            {
                "spec": {
                    "attacher": "/",
                    "nodeName": "",
                    "source": {"persistentVolumeName": "p", "inlineVolumeSpec": {}},
                }
            },
            [
                "spec.source: Forbidden: must specify exactly one of",
                'spec.nodeName: Invalid value: "": a lowercase RFC 1123 subdomain',
                'spec.attacher: Invalid value: "/": an RFC 1123 subdomain',
            ],
        ),
    ],
)
def test_what_is_found_in_new_objects(plural: str, obj: Json, expected: list[str]) -> None:
    seen = findings(f"{plural}.{GROUP}", obj)
    assert len(seen) == len(expected)
    assert all(text.startswith(start) for text, start in zip(seen, expected, strict=True)), seen


@pytest.mark.parametrize(
    ("plural", "before", "after", "expected"),
    [
        (
            "csidrivers",
            {"spec": {"attachRequired": True}},
            {"spec": {"attachRequired": False, "tokenRequests": [{"audience": "a"}] * 2}},
            [
                'spec.tokenRequests[1].audience: Duplicate value: "a"',
                "spec.attachedRequired: Invalid value: false: field is immutable",
            ],
        ),
        (
            "csinodes",
            {"spec": {"drivers": [{"name": "a", "nodeID": "n"}]}},
            {"spec": {"drivers": [{"name": "a", "nodeID": "m"}, {"name": "b", "nodeID": "m"}]}},
            [
                'spec.drivers: Invalid value: {"Name":"a","NodeID":"m","TopologyKeys":null,'
                '"Allocatable":null}: field is immutable'
            ],
        ),
        (
            "volumeattachments",
            {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
            {"spec": {"attacher": "b", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
            ["spec: Invalid value: null: field is immutable"],
        ),
        (
            "csistoragecapacities",
            {"storageClassName": "a", "nodeTopology": {"matchLabels": {"a": "b"}}},
            {"storageClassName": "b"},
            [
                "nodeTopology: Invalid value: null: field is immutable",
                'storageClassName: Invalid value: "b": field is immutable',
            ],
        ),
    ],
)
def test_what_may_change(plural: str, before: Json, after: Json, expected: list[str]) -> None:
    seen = changed(f"{plural}.{GROUP}", before, after)
    assert seen == expected


def test_errors_of_attachments() -> None:
    spec = {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}
    after = {"spec": spec, "status": {"attached": False, "attachError": {"message": "x" * 1025}}}
    seen = changed(f"volumeattachments.{GROUP}", {"spec": spec}, after, subresource="status")
    # The limit in the words is not the one that holds: so the real server says it, too.
    assert seen == ["status.attachError.message: Too long: may not be more than 262144 bytes"]
