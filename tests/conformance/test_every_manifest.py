"""The full manifest of every kind through a whole server: what comes back, put again in any
version, changes nothing; neither does an apply that says the same.
"""

from __future__ import annotations

from typing import Any

import full_manifests
from served import ManualClock
from server_harness import APPLY_PATCH, Answer, Client, Running, running

from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]
SPACE = "team"
# Controllers write the status of the first two meanwhile; a new node gets a taint, which the next
# apply takes from the list again.
MOVES = ("flowschemas", "customresourcedefinitions", "nodes")


def served(run: Running) -> dict[tuple[str, str], tuple[ResourceType, Version]]:
    return {
        (version.kind.api_version, version.kind.kind): (resource, version)
        for resource in run.server.table
        for version in resource.versions.values()
        if "create" in version.verbs
    }


def collection(resource: ResourceType, version: Version) -> str:
    root = f"/apis/{resource.group}/{version.name}" if resource.group else f"/api/{version.name}"
    return f"{root}{f'/namespaces/{SPACE}' if resource.namespaced else ''}/{resource.plural}"


async def prepare(client: Client) -> None:
    await client.post("/api/v1/namespaces", {"metadata": {"name": SPACE}})
    await client.post(
        f"/api/v1/namespaces/{SPACE}/serviceaccounts", {"metadata": {"name": "default"}}
    )


async def test_what_comes_back_changes_nothing() -> None:
    async with running() as run:
        client, kinds = run.client, served(run)
        await prepare(client)
        for manifest in full_manifests.stored(SPACE):
            resource, version = kinds[full_manifests.identity(manifest)]
            path = collection(resource, version)
            made = await client.post(f"{path}?fieldValidation=Strict", manifest)
            name = made["metadata"]["name"]
            for other in resource.versions.values() if resource.plural not in MOVES[:2] else ():
                at = f"{collection(resource, other)}/{name}"
                seen = await client.get(at)
                answer = await client.put(at, seen)
                assert answer["metadata"] == seen["metadata"], at
                del seen["metadata"]["resourceVersion"]
                assert other.name != version.name or await unconditional(client, at, seen), at


async def unconditional(client: Client, at: str, seen: Json) -> bool:
    """Whether a PUT without a version changes nothing, or is refused for want of one."""
    answer = await client("PUT", at, seen)
    if answer.status == 422:
        return "must be specified for an update" in answer.message
    return bool(
        answer.expect(200)["metadata"]["managedFields"] == seen["metadata"]["managedFields"]
    )


async def test_a_later_apply_that_says_the_same_changes_nothing() -> None:
    clock = ManualClock()
    async with running(clock=clock) as run:
        kinds = served(run)
        await prepare(run.client)
        made: list[tuple[str, Json, Json]] = []
        for manifest in full_manifests.stored(SPACE):
            resource, version = kinds[full_manifests.identity(manifest)]
            at = f"{collection(resource, version)}/{manifest['metadata']['name']}"
            manifest.pop("stringData", None)  # is not stored, so nobody owns it
            first = await applied(run.client, at, manifest, "suite")
            if resource.plural not in MOVES:
                made.append((at, manifest, first.expect(201)))
        await clock.advance(5)
        for at, manifest, first_made in made:
            again = await applied(run.client, at, manifest, "suite")
            assert again.expect(200) == first_made, at
            other = {**manifest, "metadata": manifest["metadata"] | {"labels": {"full": "other"}}}
            stolen = await applied(run.client, at, other, "thief")
            assert stolen.status == 409, at
            fields = [c["field"] for c in stolen.json["details"]["causes"]]
            assert ".metadata.labels.full" in fields, at


async def applied(client: Client, at: str, manifest: Json, manager: str) -> Answer:
    return await client("PATCH", f"{at}?fieldManager={manager}", manifest, content_type=APPLY_PATCH)


async def test_what_is_answered_is_answered() -> None:
    async with running() as run:
        await prepare(run.client)
        kinds = served(run)
        for manifest in full_manifests.answered(SPACE):
            resource, version = kinds[full_manifests.identity(manifest)]
            answer = await run.client.post(collection(resource, version), manifest)
            assert answer["status"], manifest
