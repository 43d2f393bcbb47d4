"""What a Scale sent to the wrong place, scaling to nothing, and a patch that is no JSON come to."""

from __future__ import annotations

from typing import Any

from server_harness import MERGE_PATCH, running

Json = dict[str, Any]
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(replicas: int) -> Json:
    labels = {"app": "x"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "d"}, "spec": spec}


def scale(replicas: int) -> Json:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {"replicas": replicas},
    }


async def test_the_name_of_a_scale_is_looked_at_before_there_is_anything() -> None:
    async with running() as run:
        refused = await run.client("PUT", f"{DEPLOYMENTS}/zz/scale", scale(2))
        assert (refused.status, refused.message) == (
            400,
            "the name of the object (d) does not match the name on the URL (zz)",
        )
        nameless = {**scale(2), "metadata": {}}
        assert (await run.client("PUT", f"{DEPLOYMENTS}/zz/scale", nameless)).status == 404


async def test_replicas_that_were_scaled_to_nothing_have_no_owner() -> None:
    async with running() as run:
        made = await run.client.post(f"{DEPLOYMENTS}?fieldManager=me", deployment(3))
        assert "f:replicas" in made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
        await run.client.put(f"{DEPLOYMENTS}/d/scale?fieldManager=scaler", scale(0))
        await run.client.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 9}})
        found = await run.client.get(f"{DEPLOYMENTS}/d")
        assert found["spec"]["replicas"] == 9
        (entry,) = found["metadata"]["managedFields"]
        assert entry["manager"] == "me"
        assert "f:replicas" not in entry["fieldsV1"]["f:spec"]


async def test_a_merge_patch_that_is_no_json() -> None:
    async with running() as run:
        await run.client.post(DEPLOYMENTS, deployment(1))
        refused = await run.client("PATCH", f"{DEPLOYMENTS}/d", b"{", content_type=MERGE_PATCH)
        assert (refused.status, refused.message) == (400, "invalid JSON patch")
