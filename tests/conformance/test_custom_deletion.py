"""What becomes of the instances of a custom kind whose definition is deleted: by name they go
first; with a collection of definitions they stay, as in the real server, and are there again with
the next definition of that name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from server_harness import Client, eventually, running

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD = f"{CRDS}/things.gone.example.com"
THINGS = "/apis/gone.example.com/v1/namespaces/default/things"
Json = dict[str, Any]
DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.gone.example.com"},
    "spec": {
        "group": "gone.example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": "v1", "served": True, "storage": True,
             "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}  # fmt: skip


def thing(name: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "gone.example.com/v1",
        "kind": "Thing",
        "metadata": {"name": name, **metadata},
    }


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as run:
        yield run.client


async def served(client: Client) -> None:
    await client.post(CRDS, DEFINITION)

    async def there() -> bool:
        return (await client("GET", THINGS)).status == 200

    await eventually(there)


async def unserved(client: Client) -> None:
    async def gone() -> bool:
        return (await client("GET", THINGS)).status == 404

    await eventually(gone)


async def test_instances_go_before_their_definition(client: Client) -> None:
    await served(client)
    await client.post(THINGS, thing("free"))
    await client.post(THINGS, thing("held", finalizers=["example.com/hold"]))
    answer = await client("DELETE", CRD)
    assert answer.status == 200
    assert answer.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    async def only_the_held_one() -> bool:
        names = [o["metadata"]["name"] for o in (await client("GET", THINGS)).json["items"]]
        return names == ["held"]

    await eventually(only_the_held_one)
    refused = await client("POST", THINGS, thing("late"))
    assert (refused.status, refused.reason) == (405, "MethodNotAllowed")
    assert refused.json["message"] == (
        "create not allowed while custom resource definition is terminating"
    )
    conditions = {c["type"]: c for c in (await client("GET", CRD)).json["status"]["conditions"]}
    assert conditions["Terminating"]["reason"] == "InstanceDeletionInProgress"
    free = [{"op": "remove", "path": "/metadata/finalizers"}]
    kind = "application/json-patch+json"
    assert (await client("PATCH", f"{THINGS}/held", free, content_type=kind)).status == 200
    await unserved(client)
    await served(client)
    assert (await client("GET", THINGS)).json["items"] == []


async def test_a_collection_of_definitions_leaves_the_instances(client: Client) -> None:
    await served(client)
    await client.post(THINGS, thing("left"))
    assert (await client("DELETE", CRDS)).status == 200
    assert (await client("GET", CRD)).status == 404
    await unserved(client)
    await served(client)
    assert (await client("GET", f"{THINGS}/left")).status == 200
