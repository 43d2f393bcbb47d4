"""How pods go: seen to be going before they are gone, and evicted with the reason on them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from server_harness import MERGE_PATCH, STRATEGIC_PATCH, Client, Watch, running

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
WATCHED = f"{PODS}?watch=1&resourceVersion="


async def made(client: Client) -> Json:
    account = {"metadata": {"name": "default"}}
    (await client("POST", "/api/v1/namespaces/default/serviceaccounts", account)).expect(201)
    return await another(client, "p")


async def another(client: Client, name: str) -> Json:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    metadata = {"name": name, "labels": {"app": "x"}}
    pod: Json = (await client("POST", PODS, {"metadata": metadata, "spec": spec})).expect(201)
    return pod


async def bound(client: Client, *, ready: bool, phase: str = "Running") -> Json:
    await made(client)
    target = {"metadata": {"name": "p"}, "target": {"name": "n"}}
    (await client("POST", f"{PODS}/p/binding", target)).expect(201)
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"status": {"phase": phase, "conditions": [condition]}}
    answer = await client("PATCH", f"{PODS}/p/status", status, content_type=STRATEGIC_PATCH)
    pod: Json = answer.expect(200)
    return pod


async def budget(client: Client, status: Json, **spec: Any) -> None:
    selector = {"matchLabels": {"app": "x"}}
    body = {
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": selector, **spec},
    }
    (await client("POST", BUDGETS, body)).expect(201)
    seen = {"status": {"observedGeneration": 1, **status}}
    path = f"{BUDGETS}/b/status"
    (await client("PATCH", path, seen, content_type=MERGE_PATCH)).expect(200)


async def evict(client: Client, **options: Any) -> Any:
    body = {"metadata": {"name": "p"}, "deleteOptions": options}
    return await client("POST", f"{PODS}/p/eviction", body)


async def nothing_came(client: Client, watch: Watch) -> bool:
    """Whether the next that the watch tells is what happens now."""
    await another(client, "next")
    return await watch.take(1) == [("ADDED", "next")]


async def going(watch: Watch, count: int) -> list[tuple[str, Any]]:
    """The type of each event, with the grace period that the pod had left."""
    found = []
    for _ in range(count):
        event = await watch.next()
        assert event is not None
        meta = event["object"]["metadata"]
        assert "deletionTimestamp" in meta
        found.append((event["type"], meta["deletionGracePeriodSeconds"]))
    return found


async def test_a_pod_that_goes_at_once_is_seen_going() -> None:
    async with running() as run:
        since = (await made(run.client))["metadata"]["resourceVersion"]
        async with run.client.watch(WATCHED + since) as watch:
            (await run.client("DELETE", f"{PODS}/p")).expect(200)
            assert await going(watch, 2) == [("MODIFIED", 0), ("DELETED", 0)]
            assert await nothing_came(run.client, watch)


async def test_a_terminating_pod_that_is_forced_is_seen_to_have_no_time_left() -> None:
    async with running() as run:
        pod = await bound(run.client, ready=True)
        async with run.client.watch(WATCHED + pod["metadata"]["resourceVersion"]) as watch:
            (await run.client("DELETE", f"{PODS}/p?gracePeriodSeconds=9")).expect(200)
            uid = {"preconditions": {"uid": pod["metadata"]["uid"]}, "gracePeriodSeconds": 0}
            (await run.client("DELETE", f"{PODS}/p", uid)).expect(200)
            assert await going(watch, 3) == [("MODIFIED", 9), ("MODIFIED", 0), ("DELETED", 0)]


async def test_a_version_that_is_asked_for_holds_for_both_steps() -> None:
    async with running() as run:
        version = (await made(run.client))["metadata"]["resourceVersion"]
        stale = {"preconditions": {"resourceVersion": "1"}}
        assert (await run.client("DELETE", f"{PODS}/p", stale)).status == 409
        right = {"preconditions": {"resourceVersion": version}}
        (await run.client("DELETE", f"{PODS}/p", right)).expect(200)
        assert (await run.client("GET", f"{PODS}/p")).status == 404


async def test_many_who_delete_the_same_pod() -> None:
    async with running() as run:
        since = (await made(run.client))["metadata"]["resourceVersion"]
        async with run.client.watch(WATCHED + since) as watch:
            answers = await asyncio.gather(*(run.client("DELETE", f"{PODS}/p") for _ in range(8)))
            found = {a.status for a in answers}
            assert 200 in found
            assert found <= {200, 404}
            assert await going(watch, 2) == [("MODIFIED", 0), ("DELETED", 0)]
            assert await nothing_came(run.client, watch)


async def test_a_dry_run_shows_nothing() -> None:
    async with running() as run:
        since = (await made(run.client))["metadata"]["resourceVersion"]
        async with run.client.watch(WATCHED + since) as watch:
            (await run.client("DELETE", f"{PODS}/p?dryRun=All")).expect(200)
            (await evict(run.client, dryRun=["All"])).expect(201)
            assert await nothing_came(run.client, watch)


async def test_kinds_without_a_grace_period_go_in_one_step() -> None:
    async with running() as run:
        maps = "/api/v1/namespaces/default/configmaps"
        body = (await run.client("POST", maps, {"metadata": {"name": "c"}})).expect(201)
        since = body["metadata"]["resourceVersion"]
        async with run.client.watch(f"{maps}?watch=1&resourceVersion={since}") as watch:
            (await run.client("DELETE", f"{maps}/c")).expect(200)
            assert await watch.take(1) == [("DELETED", "c")]


@pytest.mark.parametrize("phase", ["Running", "Pending", "Succeeded"])
async def test_an_evicted_pod_says_so(phase: str) -> None:
    async with running() as run:
        pod = await bound(run.client, ready=phase == "Running", phase=phase)
        since = pod["metadata"]["resourceVersion"]
        async with run.client.watch(WATCHED + since) as watch:
            (await evict(run.client)).expect(201)
            event = await watch.next()
            assert event is not None
            assert event["type"] == "MODIFIED"
            shown = event["object"]
            assert "deletionTimestamp" not in shown["metadata"]
            *others, condition = shown["status"]["conditions"]
            assert others == pod["status"]["conditions"]
            assert condition.pop("lastTransitionTime")
            assert condition == {
                "type": "DisruptionTarget",
                "status": "True",
                "lastProbeTime": None,
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            }
            # Nobody owns what the server itself wrote.
            assert shown["metadata"]["managedFields"] == pod["metadata"]["managedFields"]


async def test_who_was_to_be_disrupted_already_stays_so_since_then() -> None:
    async with running() as run:
        await bound(run.client, ready=True)
        before = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        }
        path, patch = f"{PODS}/p/status", {"status": {"conditions": [before]}}
        (await run.client("PATCH", path, patch, content_type=STRATEGIC_PATCH)).expect(200)
        (await evict(run.client)).expect(201)
        pod = (await run.client("GET", f"{PODS}/p")).expect(200)
        [found] = [c for c in pod["status"]["conditions"] if c["type"] == before["type"]]
        assert found["reason"] == "EvictionByEvictionAPI"
        assert found["lastTransitionTime"] == before["lastTransitionTime"]


async def test_an_eviction_of_another_pod_of_that_name_changes_nothing() -> None:
    async with running() as run:
        pod = await bound(run.client, ready=True)
        answer = await evict(run.client, preconditions={"uid": "other"})
        assert answer.status == 409
        assert answer.json["details"] == {"name": "p", "kind": "Pod"}
        assert answer.message == (
            'Operation cannot be fulfilled on Pod "p": the UID in the precondition (other) does '
            f"not match the UID in record ({pod['metadata']['uid']}). The object might have been "
            "deleted and then recreated"
        )
        assert (await run.client("GET", f"{PODS}/p")).expect(200) == pod


async def test_an_eviction_of_a_version_deletes_that_version() -> None:
    async with running() as run:
        pod = await bound(run.client, ready=True)
        stale = await evict(run.client, preconditions={"resourceVersion": "1"})
        assert stale.status == 409
        version = pod["metadata"]["resourceVersion"]
        (await evict(run.client, preconditions={"resourceVersion": version})).expect(201)
        left = (await run.client("GET", f"{PODS}/p")).expect(200)
        assert "deletionTimestamp" in left["metadata"]


@pytest.mark.parametrize(
    ("ready", "status", "spec", "allowed"),
    [
        (True, {"currentHealthy": 2, "desiredHealthy": 1}, {}, False),
        (False, {"currentHealthy": 2, "desiredHealthy": 1}, {}, True),
        (False, {"currentHealthy": 0, "desiredHealthy": 1}, {}, False),
        (False, {"currentHealthy": 0, "desiredHealthy": 0}, {}, False),
        (False, {"desiredHealthy": 1}, {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, True),
        (False, {"desiredHealthy": 1}, {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, False),
        (True, {"desiredHealthy": 1}, {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, False),
    ],
)
async def test_what_is_not_ready_may_go_where_the_budget_lets_it(
    ready: bool, status: Json, spec: Json, allowed: bool
) -> None:
    async with running() as run:
        await bound(run.client, ready=ready)
        await budget(run.client, {"disruptionsAllowed": 0, **status}, **spec)
        answer = await evict(run.client)
        assert answer.status == (201 if allowed else 429)
        # Such a pod is not counted, so it takes nothing from the budget.
        assert "disruptedPods" not in (await run.client("GET", f"{BUDGETS}/b")).json["status"]
        left = (await run.client("GET", f"{PODS}/p")).expect(200)
        assert ("deletionTimestamp" in left["metadata"]) == allowed
