"""APIServices for custom kinds: made, put right, removed; those of others left alone."""

from __future__ import annotations

from typing import Any

from server_harness import Running, eventually, running

Json = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "shop.example.com"
LABEL = {"kube-aggregator.kubernetes.io/automanaged": "true"}


def definition(plural: str, *versions: str) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    kind = plural.title()
    return {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {"name": v, "served": True, "storage": v == versions[0], "schema": schema}
                for v in versions
            ],
        },
    }


async def registered(run: Running) -> set[str]:
    listed = await run.client.get(API_SERVICES)
    return {i["metadata"]["name"] for i in listed["items"] if i["spec"].get("group") == GROUP}


async def becomes(run: Running, *versions: str) -> None:
    async def there() -> bool:
        return await registered(run) == {f"{v}.{GROUP}" for v in versions}

    await eventually(there)


async def test_they_follow_the_definitions() -> None:
    async with running() as run:
        await run.client.post(DEFINITIONS, definition("carts", "v1", "v2"))
        await run.client.post(DEFINITIONS, definition("orders", "v1"))
        await becomes(run, "v1", "v2")
        made = await run.client.get(f"{API_SERVICES}/v1.{GROUP}")
        assert made["metadata"]["labels"] == LABEL
        assert made["spec"] == {
            "group": GROUP,
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 100,
        }
        (condition,) = made["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("True", "Local")
        await run.client.delete(f"{DEFINITIONS}/carts.{GROUP}")
        await becomes(run, "v1")
        await run.client.delete(f"{DEFINITIONS}/orders.{GROUP}")
        await becomes(run)


async def test_they_are_put_right() -> None:
    async with running() as run:
        await run.client.post(DEFINITIONS, definition("carts", "v1"))
        await becomes(run, "v1")
        path = f"{API_SERVICES}/v1.{GROUP}"
        await run.client.patch(path, {"spec": {"versionPriority": 7}})

        async def right() -> bool:
            found = await run.client.get(path)
            return bool(found["spec"]["versionPriority"] == 100)

        await eventually(right)
        await run.client.delete(path)
        await becomes(run, "v1")


async def test_what_others_registered_is_theirs() -> None:
    async with running() as run:
        spec = {
            "group": GROUP,
            "version": "v1",
            "groupPriorityMinimum": 5,
            "versionPriority": 5,
        }
        await run.client.post(API_SERVICES, {"metadata": {"name": f"v1.{GROUP}"}, "spec": spec})
        await run.client.post(DEFINITIONS, definition("carts", "v1", "v2"))
        await becomes(run, "v1", "v2")
        found = await run.client.get(f"{API_SERVICES}/v1.{GROUP}")
        assert found["spec"] == spec
        await run.client.delete(f"{DEFINITIONS}/carts.{GROUP}")
        await becomes(run, "v1")


async def test_what_was_left_behind_is_removed_at_the_start() -> None:
    async with running() as run:
        spec = {
            "group": GROUP,
            "version": "v9",
            "groupPriorityMinimum": 1000,
            "versionPriority": 100,
        }
        left = {"metadata": {"name": f"v9.{GROUP}", "labels": LABEL}, "spec": spec}
        await run.client.post(API_SERVICES, left)
        await becomes(run)
