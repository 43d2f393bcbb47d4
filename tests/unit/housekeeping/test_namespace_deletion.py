"""Namespaces that are deleted: emptied, then gone; what keeps them is honoured and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from housekeeping_harness import (
    GROUP,
    define,
    gone,
    housekeeping,
    idle,
    make_namespace,
    maps,
    named,
    names,
    owned_by,
    pod,
    until,
    widget,
    widgets,
)
from server_harness import Running, running

from kapi.storage.interface import Storage, Unavailable
from kapi.storage.sqlite import SqliteStorage

Json = dict[str, Any]
HOLD = f"{GROUP}/hold"


def condition(namespace: Json, kind: str) -> tuple[str, str]:
    """Status and message."""
    found = (namespace.get("status") or {}).get("conditions") or ()
    return next(((c["status"], c["message"]) for c in found if c["type"] == kind), ("", ""))


def remaining(namespace: Json) -> str:
    status, message = condition(namespace, "NamespaceContentRemaining")
    return message if status == "True" else ""


async def fill(run: Running, namespace: str, count: int) -> None:
    for number in range(count):
        await run.client.post(maps(namespace), named(f"m{number}"))


@pytest.mark.parametrize("count", [0, 100])
async def test_it_goes_with_all_that_is_in_it(count: int) -> None:
    async with housekeeping() as run:
        await define(run)
        await make_namespace(run, "a")
        await make_namespace(run, "b")
        await fill(run, "a", count)
        await run.client.post(widgets("a"), widget("w"))
        await run.client.post(widgets("b"), widget("w"))
        await run.client.post("/api/v1/namespaces/a/pods", pod("p"))
        async with run.client.watch(
            "/api/v1/namespaces?watch=true&fieldSelector=metadata.name=a"
        ) as watch:
            await watch.take(1)
            await run.client.delete("/api/v1/namespaces/a")
            seen: list[Json] = []
            while not seen or seen[-1]["type"] != "DELETED":
                event = await watch.next()
                assert event is not None
                seen.append(event)
        assert [e["object"]["status"]["phase"] for e in seen] == ["Terminating"] * len(seen)
        last = seen[-1]["object"]
        assert [c["status"] for c in last["status"]["conditions"]] == ["False"] * 5
        managers = {(f["manager"], f.get("subresource")) for f in last["metadata"]["managedFields"]}
        assert ("kube-controller-manager", "status") in managers
        assert await names(run, maps("a")) == []
        assert await names(run, widgets("a")) == []
        assert await names(run, widgets("b")) == ["w"]


async def test_it_waits_for_finalizers_and_says_so() -> None:
    async with housekeeping("namespace") as run:
        await define(run)
        await make_namespace(run, "a")
        await run.client.post(widgets("a"), widget("w", finalizers=[HOLD]))
        await run.client.post(widgets("a"), widget("free"))
        await run.client.delete("/api/v1/namespaces/a")
        namespace = await until(run, "/api/v1/namespaces/a", remaining)
        assert remaining(namespace) == (
            f"Some resources are remaining: widgets.{GROUP} has 1 resource instances"
        )
        assert condition(namespace, "NamespaceFinalizersRemaining") == (
            "True",
            f"Some content in the namespace has finalizers remaining: {HOLD} in 1 resource "
            "instances",
        )
        assert await names(run, widgets("a")) == ["w"]
        await run.client.patch(widgets("a", "w"), {"metadata": {"finalizers": None}})
        await gone(run, "/api/v1/namespaces/a")


async def test_pods_on_nodes_end_first() -> None:
    async with housekeeping("namespace", "serviceaccount") as run:
        await make_namespace(run, "a")
        await run.client.post("/api/v1/namespaces/a/pods", pod("p", node="n"))
        await run.client.post(maps("a"), named("m"))
        await run.client.delete("/api/v1/namespaces/a")
        namespace = await until(run, "/api/v1/namespaces/a", remaining)
        assert remaining(namespace) == (
            "Some resources are remaining: pods. has 1 resource instances"
        )
        held = await run.client.get("/api/v1/namespaces/a/pods/p")
        assert held["metadata"]["deletionGracePeriodSeconds"] == 30
        assert "m" in await names(run, maps("a"))
        now = {"gracePeriodSeconds": 0}
        await run.client.delete("/api/v1/namespaces/a/pods/p", now)  # as the kubelet does
        await gone(run, "/api/v1/namespaces/a")


async def test_other_finalizers_of_a_namespace_keep_it() -> None:
    async with housekeeping("namespace") as run:
        await run.client.post("/api/v1/namespaces", {**named("a"), "spec": {"finalizers": [HOLD]}})
        await run.client.post(maps("a"), named("m"))
        await run.client.delete("/api/v1/namespaces/a")
        namespace = await until(
            run, "/api/v1/namespaces/a", lambda n: n["spec"]["finalizers"] == [HOLD]
        )
        assert await names(run, maps("a")) == []
        namespace["spec"]["finalizers"] = []
        await run.client.put("/api/v1/namespaces/a/finalize", namespace)
        await gone(run, "/api/v1/namespaces/a")


async def test_propagation_finalizers_that_nobody_acts_on_do_not_keep_it() -> None:
    async with housekeeping("namespace") as run:
        await make_namespace(run, "a")
        await run.client.post(maps("a"), named("m"))
        policy = {"propagationPolicy": "Foreground"}
        await run.client.delete(maps("a", "m"), policy)
        assert await names(run, maps("a")) == ["m"]
        await run.client.delete("/api/v1/namespaces/a")
        await gone(run, "/api/v1/namespaces/a")


async def test_what_was_left_by_the_run_before_is_done_at_the_start(tmp_path: Path) -> None:
    async with running(storage=await SqliteStorage.open(tmp_path)) as first:
        await make_namespace(first, "a")
        await first.client.post(maps("a"), named("m"))
        await first.client.delete("/api/v1/namespaces/a")
        await idle(first)
        phase = (await first.client.get("/api/v1/namespaces/a"))["status"]["phase"]
        assert phase == "Terminating"
    async with housekeeping("namespace", storage=await SqliteStorage.open(tmp_path)) as second:
        await gone(second, "/api/v1/namespaces/a")
        assert await names(second, maps("a")) == []


async def test_a_namespace_of_the_same_name_is_another_one() -> None:
    async with housekeeping() as run:
        for _ in range(5):
            await make_namespace(run, "a")
            await run.client.post("/api/v1/namespaces/a/pods", pod("p"))
            await run.client.delete("/api/v1/namespaces/a")
            await gone(run, "/api/v1/namespaces/a")
        await make_namespace(run, "a")
        await run.client.post(maps("a"), named("m"))
        await idle(run)
        assert "m" in await names(run, maps("a"))


class Failing:
    """A store that does not answer so many writes."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.failures = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("delete", "update"):
            return found

        async def write(*args: Any, **more: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise Unavailable("a test says so")
            return await found(*args, **more)

        return write


async def test_a_store_that_fails_for_a_while_only_delays_it() -> None:
    stores: list[Failing] = []

    def wrap(inner: Storage) -> Any:
        stores.append(Failing(inner))
        return stores[0]

    async with housekeeping(wrap=wrap) as run:
        await make_namespace(run, "a")
        await fill(run, "a", 20)
        owner = await run.client.post(maps("default"), named("owner"))
        for number in range(20):
            dependent = named(f"d{number}", ownerReferences=owned_by(owner))
            await run.client.post(maps("default"), dependent)
        await run.client.delete("/api/v1/namespaces/a")
        await run.client.delete(maps("default", "owner"))
        stores[0].failures = 25
        await gone(run, "/api/v1/namespaces/a", 15)
        for number in range(20):
            await gone(run, maps("default", f"d{number}"), 15)
        assert stores[0].failures == 0


async def test_a_dead_aggregated_server_keeps_it() -> None:
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    async with housekeeping("namespace") as run:
        spec = {
            "group": "dead.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "dead"},
        }
        await run.client.post(services, {**named("v1.dead.example.com"), "spec": spec})
        await make_namespace(run, "a")
        await run.client.post(maps("a"), named("m"))
        await run.client.delete("/api/v1/namespaces/a")
        namespace = await until(
            run,
            "/api/v1/namespaces/a",
            lambda n: condition(n, "NamespaceDeletionDiscoveryFailure")[0] == "True",
        )
        _, message = condition(namespace, "NamespaceDeletionDiscoveryFailure")
        assert message == (
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of "
            "server APIs: dead.example.com/v1: stale GroupVersion discovery: dead.example.com/v1"
        )
        assert await names(run, maps("a")) == []
        await run.client.delete(f"{services}/v1.dead.example.com")
        await gone(run, "/api/v1/namespaces/a")


async def test_a_thousand_objects() -> None:
    async with housekeeping() as run:
        await define(run)
        await make_namespace(run, "a")
        await fill(run, "a", 500)
        for number in range(500):
            await run.client.post(widgets("a"), widget(f"w{number}"))
        await run.client.delete("/api/v1/namespaces/a")
        await gone(run, "/api/v1/namespaces/a", 15)
        assert await names(run, maps("a")) + await names(run, widgets("a")) == []
