"""Quotas count right: what is deleted, what ends, and what somebody wrote into their status."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from housekeeping_harness import (
    GROUP,
    define,
    housekeeping,
    idle,
    make_namespace,
    maps,
    named,
    pod,
    until,
    widget,
    widgets,
)
from server_harness import MERGE_PATCH, Running

from kapi.housekeeping.quota_count import kind_of, kinds_of, same_amounts
from kapi.storage.interface import Storage
from kapi.storage.sqlite import SqliteStorage

Json = dict[str, Any]
QUOTAS = "/api/v1/namespaces/a/resourcequotas"
PODS = "/api/v1/namespaces/a/pods"


def quota(name: str = "q", *, scopes: Any = None, **hard: str) -> Json:
    limits = {k.replace("__", "/").replace("_", "."): v for k, v in hard.items()}
    return {**named(name), "spec": {"hard": limits, **({"scopes": scopes} if scopes else {})}}


def using(**used: str) -> Any:
    """Whether a quota says that this is used, and nothing else."""
    wanted = {k.replace("__", "/").replace("_", "."): v for k, v in used.items()}
    return lambda q: (q.get("status") or {}).get("used") == wanted


async def limited(run: Running, *quotas: Json) -> None:
    """Namespace `a` with quotas that are counted."""
    await make_namespace(run, "a")
    for made in quotas:
        await run.client.post(QUOTAS, made)
        path = f"{QUOTAS}/{made['metadata']['name']}"
        await until(run, path, lambda q: (q.get("status") or {}).get("hard"))


def running_pod(name: str, cpu: str, **spec: Any) -> Json:
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
    made = pod(name, **spec)
    made["spec"]["containers"][0]["resources"] = resources
    return made


async def test_a_new_quota_counts_what_is_there() -> None:
    async with housekeeping() as run:
        await define(run)
        await make_namespace(run, "a")
        for name in "xyz":
            await run.client.post(widgets("a"), widget(name))
        await run.client.post(f"{PODS}", running_pod("p", "250m"))
        hard = {"pods": "5", "requests.cpu": "1", f"count/widgets.{GROUP}": "10", "secrets": "9"}
        await run.client.post(QUOTAS, {**named("q"), "spec": {"hard": hard}})
        used = {f"count/widgets.{GROUP}": "3", "pods": "1", "requests.cpu": "250m", "secrets": "0"}
        found = await until(run, f"{QUOTAS}/q", lambda q: q.get("status", {}).get("used") == used)
        assert found["status"]["hard"] == hard


async def test_what_is_deleted_is_counted_no_more() -> None:
    async with housekeeping() as run:
        await limited(run, quota(count__configmaps="3", secrets="2"))
        await until(run, f"{QUOTAS}/q", using(count__configmaps="1", secrets="0"))  # the CA's
        for name in "xy":
            await run.client.post(maps("a"), named(name))
        refused = await run.client("POST", maps("a"), named("z"))
        assert refused.status == 403
        assert "used: count/configmaps=3, limited: count/configmaps=3" in refused.message
        await run.client.delete(maps("a", "x"))
        await until(run, f"{QUOTAS}/q", using(count__configmaps="2", secrets="0"))
        await run.client.post(maps("a"), named("z"))


async def test_what_was_written_into_a_status_is_put_right() -> None:
    async with housekeeping("resourcequota", "serviceaccount") as run:
        await limited(run, quota(count__configmaps="9"))
        await run.client.post(maps("a"), named("x"))
        await until(run, f"{QUOTAS}/q", using(count__configmaps="1"))
        for wrong in ("7", "0"):
            status = {"status": {"used": {"count/configmaps": wrong}}}
            await run.client.patch(f"{QUOTAS}/q/status", status)
            await until(run, f"{QUOTAS}/q", using(count__configmaps="1"))
        await run.client.patch(f"{QUOTAS}/q/status", {"status": {"used": None, "hard": None}})
        await until(run, f"{QUOTAS}/q", using(count__configmaps="1"))


async def test_new_limits_show_in_the_status() -> None:
    async with housekeeping("resourcequota") as run:
        await limited(run, quota(count__configmaps="9"))
        await run.client.patch(f"{QUOTAS}/q", {"spec": {"hard": {"secrets": "5"}}})
        await until(run, f"{QUOTAS}/q", using(count__configmaps="0", secrets="0"))
        await run.client.patch(f"{QUOTAS}/q", {"spec": {"hard": {"count/configmaps": None}}})
        found = await until(run, f"{QUOTAS}/q", using(secrets="0"))
        assert found["status"]["hard"] == {"secrets": "5"}


async def test_pods_that_end_or_are_removed_give_back_what_they_used() -> None:
    async with housekeeping() as run:
        await limited(run, quota(pods="9", count__pods="9", requests_cpu="2"))
        await run.client.post(PODS, running_pod("one", "500m"))
        await run.client.post(PODS, running_pod("two", "250m"))
        await until(run, f"{QUOTAS}/q", using(pods="2", count__pods="2", requests_cpu="750m"))
        await run.client.patch(f"{PODS}/one/status", {"status": {"phase": "Succeeded"}})
        await until(run, f"{QUOTAS}/q", using(pods="1", count__pods="2", requests_cpu="250m"))
        await run.client.delete(f"{PODS}/two")
        await until(run, f"{QUOTAS}/q", using(pods="0", count__pods="1", requests_cpu="0"))


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        ("BestEffort", "best"),
        ("NotBestEffort", "bounded"),
        ("Terminating", "ending"),
        ("NotTerminating", "best bounded"),
    ],
)
async def test_scopes(scope: str, counts: str) -> None:
    async with housekeeping() as run:
        await limited(run)
        made = {
            "best": pod("best"),
            "bounded": running_pod("bounded", "1"),
            "ending": running_pod("ending", "1", activeDeadlineSeconds=60),
        }
        for body in made.values():
            await run.client.post(PODS, body)
        hard = {"spec": {"hard": {"pods": "9"}, "scopes": [scope]}}
        await run.client.post(QUOTAS, {**named("q"), **hard})
        wanted = counts.split()
        if scope == "NotBestEffort":
            wanted = ["bounded", "ending"]
        await until(run, f"{QUOTAS}/q", using(pods=str(len(wanted))))
        await run.client.delete(f"{PODS}/{wanted[0]}")
        await until(run, f"{QUOTAS}/q", using(pods=str(len(wanted) - 1)))


async def test_services_and_claims() -> None:
    async with housekeeping("resourcequota") as run:
        hard = {"services": "9", "services_nodeports": "9", "requests_storage": "9Gi"}
        await limited(run, quota(**hard))
        service = {**named("s"), "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        services = "/api/v1/namespaces/a/services"
        await run.client.post(services, service)
        claim = {
            **named("c"),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "2Gi"}},
            },
        }
        claims = "/api/v1/namespaces/a/persistentvolumeclaims"
        await run.client.post(claims, claim)
        both = using(services="1", services_nodeports="1", requests_storage="2Gi")
        await until(run, f"{QUOTAS}/q", both)
        await run.client.patch(f"{services}/s", {"spec": {"type": "ClusterIP"}})
        await until(
            run, f"{QUOTAS}/q", using(services="1", services_nodeports="0", requests_storage="2Gi")
        )
        await run.client.patch(f"{claims}/c", {"metadata": {"finalizers": None}})
        await run.client.delete(f"{claims}/c")
        await until(
            run, f"{QUOTAS}/q", using(services="1", services_nodeports="0", requests_storage="0")
        )


async def test_a_kind_that_comes_later_is_counted_from_then_on() -> None:
    async with housekeeping("resourcequota") as run:
        await make_namespace(run, "a")
        key = f"count/widgets.{GROUP}"
        hard = {"spec": {"hard": {key: "2", "secrets": "1"}}}
        await run.client.post(QUOTAS, {**named("q"), **hard})
        await until(run, f"{QUOTAS}/q", using(secrets="0"))
        await define(run)
        used = {key: "0", "secrets": "0"}
        await until(run, f"{QUOTAS}/q", lambda q: q["status"]["used"] == used)
        for name in "xy":
            await run.client.post(widgets("a"), widget(name))
        refused = await run.client("POST", widgets("a"), widget("z"))
        assert (refused.status, refused.reason) == (403, "Forbidden")
        await run.client.delete(widgets("a", "x"))
        await until(run, f"{QUOTAS}/q", lambda q: q["status"]["used"][key] == "1")


async def test_a_write_that_came_to_nothing_is_given_back() -> None:
    async with housekeeping("resourcequota") as run:
        await limited(run, quota(count__configmaps="9"), quota("r", secrets="1"))
        await run.client.post(maps("a"), named("x"))
        taken = await run.client("POST", maps("a"), named("x"))
        assert taken.status == 409
        await until(run, f"{QUOTAS}/q", using(count__configmaps="1"))


async def test_never_more_than_allowed_while_counts_go_on(tmp_path: Path) -> None:
    """Creates, deletes and counts at once, over a store that takes its time."""
    storage = await SqliteStorage.open(tmp_path)
    async with housekeeping("resourcequota", storage=storage) as run:
        await limited(run, quota(count__configmaps="5"))
        most = 0

        async def churn(worker: int) -> None:
            nonlocal most
            for turn in range(40):
                name = f"m{worker}-{turn}"
                made = await run.client("POST", maps("a"), named(name))
                assert made.status in (201, 403), made.body
                if made.status == 403:
                    await asyncio.sleep(0.005)
                    continue
                there = (await run.client.get(maps("a")))["items"]
                most = max(most, len(there))
                await run.client.delete(maps("a", name))

        async def claim_all() -> None:
            status = {"status": {"used": {"count/configmaps": "5"}}}
            while True:  # until cancelled; each time everything is counted anew
                path = f"{QUOTAS}/q/status"
                told = await run.client("PATCH", path, status, content_type=MERGE_PATCH)
                assert told.status in (200, 409)
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            wrong = group.create_task(claim_all())
            for task in [group.create_task(churn(worker)) for worker in range(8)]:
                await task
            wrong.cancel()
        assert 1 <= most <= 5
        await idle(run)
        await until(run, f"{QUOTAS}/q", using(count__configmaps="0"))


class Slow:
    """A store that keeps the creation of one key waiting."""

    def __init__(self, inner: Storage, key: str) -> None:
        self._inner = inner
        self._key = key
        self.reached = asyncio.Event()
        self.free = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, key: str, value: bytes) -> int:
        if key.endswith(self._key):
            self.reached.set()
            await self.free.wait()
        return await self._inner.create(key, value)


async def test_no_count_undoes_the_charge_of_a_write_under_way() -> None:
    slow: list[Slow] = []

    def wrap(inner: Storage) -> Any:
        slow.append(Slow(inner, "/a/slow"))
        return slow[0]

    async with housekeeping("resourcequota", wrap=wrap) as run:
        await limited(run, quota(count__configmaps="1"))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(run.client("POST", maps("a"), named("slow")))
            await slow[0].reached.wait()
            status = {"status": {"used": {"count/configmaps": "3"}}}
            await run.client.patch(f"{QUOTAS}/q/status", status)
            await idle(run)  # a count would have come by now
            second = group.create_task(run.client("POST", maps("a"), named("second")))
            await idle(run)
            slow[0].free.set()
        assert (first.result().status, second.result().status) == (201, 403)
        await until(run, f"{QUOTAS}/q", using(count__configmaps="1"))


async def test_a_thousand_objects_are_counted() -> None:
    async with housekeeping() as run:
        await limited(run, quota(count__configmaps="2k", pods="2k"))
        for number in range(500):
            await run.client.post(maps("a"), named(f"m{number}"))
            await run.client.post(PODS, pod(f"p{number}"))
        await until(run, f"{QUOTAS}/q", using(count__configmaps="501", pods="500"), 10)
        await run.client.delete(PODS)
        await until(run, f"{QUOTAS}/q", using(count__configmaps="501", pods="0"), 10)


def test_what_a_resource_of_a_quota_is_counted_of() -> None:
    assert kind_of("count/deployments.apps") == ("apps", "deployments")
    assert kind_of("count/pods") == kind_of("pods") == kind_of("limits.cpu") == ("", "pods")
    assert kind_of("requests.example.com/gpu") == ("", "pods")
    assert kind_of("services.nodeports") == ("", "services")
    assert kind_of("gold.storageclass.storage.k8s.io/requests.storage") == (
        "",
        "persistentvolumeclaims",
    )
    assert kind_of("requests.storage") == ("", "persistentvolumeclaims")
    assert kind_of("example.com/odd") is None
    assert kinds_of(["pods", "cpu", "odd/one"]) == {("", "pods"): ["pods", "cpu"]}


def test_amounts_are_compared_by_value() -> None:
    assert same_amounts({"cpu": "1"}, {"cpu": "1000m"})
    assert not same_amounts({"cpu": "1"}, {"cpu": "2"})
    assert not same_amounts({"cpu": "1"}, {})
