"""Certificate signing requests: who may change what through `/approval` and `/status`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from certificate_requests import request
from server_harness import Client, running

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = "application/merge-patch+json"
Json = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as run:
        yield run.client


async def made(client: Client) -> Json:
    spec = {"request": request("x"), "signerName": "example.com/s", "usages": ["client auth"]}
    found: Json = await client.post(CSRS, {"metadata": {"name": "c"}, "spec": spec})
    return found


def condition(kind: str, **more: str) -> Json:
    return {"type": kind, "status": "True", "reason": "r", "message": "m", **more}


async def patched(client: Client, subresource: str, change: Json) -> Json:
    answer = await client("PATCH", f"{CSRS}/c/{subresource}", change, content_type=MERGE)
    assert answer.status == 200, answer.message
    found: Json = answer.json
    return found


@pytest.mark.parametrize("subresource", ["approval", "status"])
async def test_metadata_may_change_beside_the_decision(client: Client, subresource: str) -> None:
    await made(client)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    change: Json = {
        "labels": {"l": "1"},
        "annotations": {"a": "1"},
        "finalizers": ["example.com/f"],
        "ownerReferences": [owner],
    }
    found = await patched(client, subresource, {"metadata": change})
    assert {name: found["metadata"][name] for name in change} == change
    gone = await patched(client, subresource, {"metadata": dict.fromkeys(change)})
    assert not change.keys() & gone["metadata"].keys()


async def test_approval_changes_conditions_and_nothing_else_of_the_status(client: Client) -> None:
    first = await made(client)
    pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
    change = {
        "spec": {"signerName": "example.com/other"},
        "status": {"conditions": [condition("Approved")], "certificate": pem},
    }
    found = await patched(client, "approval", change)
    assert found["spec"] == first["spec"]
    assert [c["type"] for c in found["status"]["conditions"]] == ["Approved"]
    assert "certificate" not in found["status"]


async def test_status_adds_conditions_beside_the_decision(client: Client) -> None:
    await made(client)
    await patched(client, "approval", {"status": {"conditions": [condition("Approved")]}})
    found = await patched(client, "status", {"status": {"conditions": [condition("Seen")]}})
    assert [c["type"] for c in found["status"]["conditions"]] == ["Approved", "Seen"]
