"""certificates.k8s.io: certificate requests and trust bundles."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import changed, findings, places

Json = dict[str, Any]
REQUESTS = "certificatesigningrequests.certificates.k8s.io"
REQUEST: Json = {"spec": {"request": "eA==", "signerName": "a.b/c", "usages": ["client auth"]}}
APPROVED: Json = {"type": "Approved", "status": "True", "reason": "r"}


@pytest.mark.parametrize(
    ("subresource", "status", "expected"),
    [
        ("approval", {"conditions": [APPROVED]}, []),
        (
            "approval",
            {"conditions": [{**APPROVED, "status": "False"}, APPROVED]},
            [
                "status.conditions[0].status: Unsupported value",
                "status.conditions[1].type: Duplicate value",
            ],
        ),
        (
            "approval",
            {"conditions": [APPROVED, {**APPROVED, "type": "Denied"}]},
            ["status.conditions: Invalid value"],
        ),
        ("status", {"certificate": "eA=="}, ["status.certificate: Invalid value"]),
    ],
)
def test_the_status_of_a_request(subresource: str, status: Json, expected: list[str]) -> None:
    seen = changed(REQUESTS, REQUEST, {**REQUEST, "status": status}, subresource)
    assert places(seen) == expected


def test_a_bundle_holds_certificates() -> None:
    obj = {"spec": {"trustBundle": "x"}}
    assert findings("clustertrustbundles.certificates.k8s.io", obj) == [
        'spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be '
        "provided"
    ]
