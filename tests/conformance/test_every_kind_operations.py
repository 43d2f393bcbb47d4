"""What an operator does with any kind: make, read, find, watch, patch, replace, change through the
subresources, remove one, remove all of a label. Once for every kind that can be made.
"""

from __future__ import annotations

from typing import Any

import full_manifests
from server_harness import Client, running
from test_every_manifest import SPACE, collection, prepare, served

from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
LABEL = "full=before"
# Whose subresources leave labels and annotations as they are, as the real server's do.
FIXED_METADATA = {
    *("apiservices", "flowschemas", "prioritylevelconfigurations", "validatingadmissionpolicies"),
    *("storageversionmigrations", "podcertificaterequests", "volumeattachments", "csinodes"),
    *("servicecidrs", "resourceclaims", "devicetaintrules"),
}
# Controllers of the server write these meanwhile.
BUSY = {"flowschemas", "prioritylevelconfigurations", "customresourcedefinitions", "apiservices"}
# What others need while they are there: they go by name only.
NEEDED = {"namespaces", "priorityclasses", "runtimeclasses"}


async def test_of_every_kind() -> None:
    async with running() as run:
        client, kinds = run.client, served(run)
        await prepare(client)
        for manifest in full_manifests.stored(SPACE):
            resource, version = kinds[full_manifests.identity(manifest)]
            path = collection(resource, version)
            made = await client.post(path, manifest)
            at = f"{path}/{made['metadata']['name']}"
            await found(client, resource, version, path, made)
            await changed(client, path, at, quiet=resource.plural not in BUSY)
            for name, subresource in version.subresources.items():
                if {"get", "patch"} <= set(subresource.verbs) and subresource.kind == version.kind:
                    await changed_through(client, resource.plural, at, name)
            if resource.plural not in NEEDED:
                await removed(client, path, at, manifest)


async def found(
    client: Client, resource: ResourceType, version: Version, path: str, made: Json
) -> None:
    meta = made["metadata"]
    seen = await client.get(f"{path}/{meta['name']}")
    assert seen["metadata"]["uid"] == meta["uid"], path
    everywhere = path.replace(f"/namespaces/{SPACE}", "")
    for selector in (f"labelSelector={LABEL}", f"fieldSelector=metadata.name={meta['name']}"):
        listed = await client.get(f"{everywhere}?{selector}")
        assert listed["kind"] == f"{version.kind.kind}List" == resource.list_kind
        assert meta["uid"] in {item["metadata"]["uid"] for item in listed["items"]}, path
    nobody = await client.get(f"{everywhere}?labelSelector=full=nobody")
    assert nobody["items"] == [], path


async def changed(client: Client, path: str, at: str, *, quiet: bool) -> None:
    """A patch and a replacement, both seen by a watch that was there before."""
    name = at.rpartition("/")[2]
    since = (await client.get(f"{path}?limit=1"))["metadata"]["resourceVersion"]
    watch = f"{path}?watch=1&resourceVersion={since}&fieldSelector=metadata.name={name}"
    async with client.watch(watch) as events:
        patch = {"metadata": {"annotations": {"example.com/patched": "true"}}}
        answer = await client("PATCH", at, patch, content_type=MERGE)
        patched = answer.expect(200)
        replacement = await client.get(at)
        replacement["metadata"]["annotations"]["example.com/replaced"] = "true"
        replaced = await client.put(at, replacement)
        assert int(replaced["metadata"]["resourceVersion"]) > int(
            patched["metadata"]["resourceVersion"]
        )
        wanted = [o["metadata"]["resourceVersion"] for o in (patched, replaced)]
        while wanted:
            event = await events.next()
            assert event is not None
            assert event["type"] == "MODIFIED", event
            if event["object"]["metadata"]["resourceVersion"] == wanted[0]:
                wanted.pop(0)
            else:
                assert not quiet, event


async def changed_through(client: Client, plural: str, at: str, subresource: str) -> None:
    """A subresource of the same kind shows the object; what stands beside what it is for may
    change with it, or not.
    """
    below = f"{at}/{subresource}"
    seen = await client.get(below)
    assert seen["metadata"]["uid"] == (await client.get(at))["metadata"]["uid"], below
    patch = {"metadata": {"annotations": {f"example.com/{subresource}": "true"}}}
    answer = await client("PATCH", below, patch, content_type=MERGE)
    kept = answer.expect(200)["metadata"].get("annotations", {})
    fixed = plural in FIXED_METADATA or subresource in ("ephemeralcontainers", "resize")
    assert (f"example.com/{subresource}" in kept) is not fixed, below
    again = await client.get(at)
    assert again["metadata"].get("annotations", {}) == kept, below
    answer = await client("PUT", below, again)
    assert answer.status == 200, (below, answer.message)


async def removed(client: Client, path: str, at: str, manifest: Json) -> None:
    now = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    await freed(client, at)
    answer = await client("DELETE", at, now)
    assert answer.status in (200, 202), (at, answer.message)
    await freed(client, at)
    assert (await client("GET", at)).status == 404, at
    await client.post(path, manifest)
    await freed(client, at)
    answer = await client("DELETE", f"{path}?labelSelector={LABEL}", now)
    assert answer.status == 200, (path, answer.message)
    await freed(client, at)
    left = await client.get(f"{path}?labelSelector={LABEL}")
    assert left["items"] == [], path


async def freed(client: Client, at: str) -> None:
    """Without finalizers, which nobody takes away here."""
    if (await client("GET", at)).status == 200:
        free = {"metadata": {"finalizers": None}}
        await client("PATCH", at, free, content_type=MERGE)
