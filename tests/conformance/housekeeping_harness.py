"""A whole server with housekeeping controllers, and the objects that their tests are about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from server_harness import EVENT_WAIT_S, Answer, Running, eventually, running

Json = dict[str, Any]
CA = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"
GROUP = "example.com"
TURNS = 200  # far more than a controller needs for all that waits


@asynccontextmanager
async def housekeeping(*controllers: str, **more: Any) -> AsyncIterator[Running]:
    """A server with these controllers; all, if none is named."""
    with TemporaryDirectory(prefix="kapi-test-") as directory:
        bundle = Path(directory) / "ca.crt"
        bundle.write_text(CA)
        flags = {"controllers": controllers or ("*",), "root_ca_file": str(bundle), **more}
        async with running(**flags) as run:
            yield run


def maps(namespace: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    return f"{path}/{name}" if name else path


def widgets(namespace: str, name: str = "") -> str:
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets"
    return f"{path}/{name}" if name else path


def crates(name: str = "") -> str:
    """Of a custom kind without namespaces."""
    path = f"/apis/{GROUP}/v1/crates"
    return f"{path}/{name}" if name else path


def owned_by(*owners: Json, blocks: bool = False) -> list[Json]:
    return [
        {
            "apiVersion": o["apiVersion"],
            "kind": o["kind"],
            "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if blocks else {}),
        }
        for o in owners
    ]


def named(name: str, **metadata: Any) -> Json:
    return {"metadata": {"name": name, **metadata}}


def widget(name: str, **metadata: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", **named(name, **metadata)}


def crate(name: str, **metadata: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Crate", **named(name, **metadata)}


def pod(name: str, *, node: str = "", **spec: Any) -> Json:
    more = {"nodeName": node} if node else {}
    return {**named(name), "spec": {"containers": [{"name": "c", "image": "i"}], **more, **spec}}


def definition(kind: str, *, scope: str = "Namespaced") -> Json:
    plural = kind.lower() + "s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def define(run: Running, kind: str = "Widget", *, scope: str = "Namespaced") -> None:
    """Serve a custom kind."""
    wanted = definition(kind, scope=scope)
    await run.client.post(DEFINITIONS, wanted)
    plural = wanted["spec"]["names"]["plural"]

    async def served() -> bool:
        return (await run.client("GET", f"/apis/{GROUP}/v1/{plural}")).status == 200

    await eventually(served)


async def make_namespace(run: Running, name: str) -> Json:
    made: Json = await run.client.post("/api/v1/namespaces", named(name))
    return made


async def gone(run: Running, path: str, wait: float = EVENT_WAIT_S) -> None:
    """Wait until nothing is there."""

    async def absent() -> bool:
        return (await run.client("GET", path)).status == 404

    await eventually(absent, wait)


async def until(run: Running, path: str, holds: Any, wait: float = EVENT_WAIT_S) -> Json:
    """Wait until an object is there for which something holds; the object."""
    answer: Answer | None = None

    async def right() -> bool:
        nonlocal answer
        answer = await run.client("GET", path)
        return answer.status == 200 and bool(holds(answer.json))

    try:
        await eventually(right, wait)
    except TimeoutError:
        raise AssertionError(f"{path}: {answer.body if answer else b''!r}") from None
    assert answer is not None
    found: Json = answer.json
    return found


async def names(run: Running, path: str) -> list[str]:
    return [o["metadata"]["name"] for o in (await run.client.get(path))["items"]]


async def idle(run: Running) -> None:
    """The controllers have seen everything and nothing more comes of it.

    On a store in memory nothing waits but for turns of the loop, so turns are what is counted.
    """
    for _ in range(3):
        await run.caught_up()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
