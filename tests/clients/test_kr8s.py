"""kr8s: an async client that finds its kinds by discovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import kr8s.asyncio
import pytest
from clients_harness import Serving
from kr8s.asyncio.objects import ConfigMap, Deployment, Namespace, Pod, Service, ServiceAccount

pytestmark = [
    pytest.mark.client,
    # The library names the versions it was tested with; ours is newer.
    pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported:UserWarning"),
]


@pytest.fixture
async def api(server: Serving) -> AsyncIterator[Any]:
    made: Any = await kr8s.asyncio.api(kubeconfig=str(server.kubeconfig))
    yield made
    await made._session.aclose()  # the library leaves it open


@pytest.fixture
async def namespace(api: Any, names: Iterator[str]) -> str:
    name = next(names)
    await (await Namespace(name, api=api)).create()
    account = {"metadata": {"name": "default", "namespace": name}}
    await (await ServiceAccount(account, api=api)).create()
    return name


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


async def test_the_life_of_an_object(api: Any, namespace: str) -> None:
    settings = await ConfigMap(config_map("a", namespace, x="1"), api=api)
    assert not await settings.exists()
    await settings.create()
    assert await settings.exists()
    await settings.patch({"data": {"y": "2"}})
    await settings.patch([{"op": "remove", "path": "/data/x"}], type="json")
    assert settings.data == {"y": "2"}
    await settings.label(tier="back")
    await settings.annotate({"note": "two words"})
    again = await ConfigMap.get("a", namespace=namespace, api=api)
    assert (again.labels, again.annotations) == ({"tier": "back"}, {"note": "two words"})
    listed: Any = ConfigMap.list(namespace=namespace, label_selector="tier", api=api)
    found = [item.name async for item in listed]
    assert found == ["a"]
    await settings.delete()
    await settings.wait("delete", timeout=20)
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("a", namespace=namespace, api=api)


async def test_workloads(api: Any, namespace: str) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template, "replicas": 1}
    made = await Deployment(
        {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}, api=api
    )
    await made.create()
    scaled = asyncio.create_task(made.scale(3))  # returns when the status says so
    while made.replicas != 3:
        await asyncio.sleep(0.05)
        await made.refresh()
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
    status = {"status": {**counts, "observedGeneration": made.metadata.generation}}
    await made.patch(status, subresource="status")
    await asyncio.wait_for(scaled, 20)
    assert await made.ready()
    pod = await Pod(
        {
            "metadata": {"name": "web", "namespace": namespace, "labels": {"app": "web"}},
            **_spec(template),
        },
        api=api,
    )
    await pod.create()
    assert [p.name for p in await made.pods()] == ["web"]
    ports = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    service = await Service(
        {"metadata": {"name": "web", "namespace": namespace}, "spec": ports}, api=api
    )
    await service.create()
    assert service.spec.clusterIP.startswith("10.0.0.")


def _spec(template: dict[str, Any]) -> dict[str, Any]:
    return {"spec": template["spec"]}


async def test_a_watch(api: Any, namespace: str) -> None:
    seen: list[tuple[str, str]] = []
    news = asyncio.Event()

    async def follow() -> None:
        async with aclosing(api.watch("configmaps", namespace=namespace)) as events:
            async for event, obj in events:
                seen.append((event, obj.name))
                news.set()
                if event == "DELETED":
                    return

    async def until(count: int) -> None:
        while len(seen) < count:
            news.clear()
            await news.wait()

    watching = asyncio.create_task(follow())
    settings = await ConfigMap(config_map("a", namespace), api=api)
    await settings.create()
    await asyncio.wait_for(until(1), 20)
    await settings.patch({"data": {"x": "1"}})
    await asyncio.wait_for(until(2), 20)
    await settings.delete()
    await asyncio.wait_for(watching, 20)
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_what_the_cluster_is(api: Any) -> None:
    assert (await api.version())["gitVersion"].startswith("v1.37.")
    kinds = {(r["version"], r["kind"]) for r in await api.api_resources()}
    assert {("v1", "Pod"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob")} <= kinds
    assert "default" in [n.name async for n in api.get("namespaces")]
    assert (await api.whoami()) == "kubernetes-admin"
