"""Garbage: the three ways of deletion over built-in and custom kinds; owners that never were."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from housekeeping_harness import (
    DEFINITIONS,
    GROUP,
    crate,
    crates,
    define,
    gone,
    housekeeping,
    idle,
    make_namespace,
    maps,
    named,
    names,
    owned_by,
    until,
    widget,
    widgets,
)
from server_harness import Running, running

from kapi.housekeeping.garbage import Garbage
from kapi.storage.sqlite import SqliteStorage

Json = dict[str, Any]
HOLD = f"{GROUP}/hold"
UNKNOWN_UID = "00000000-0000-4000-8000-000000000000"
SECRETS = "/api/v1/namespaces/default/secrets"


def policy(name: str) -> Json:
    return {"propagationPolicy": name}


async def family(run: Running, *, blocks: bool = False) -> tuple[Json, Json]:
    """A widget that owns a secret that owns a widget and a ConfigMap."""
    await define(run)
    top = await run.client.post(widgets("default"), widget("top"))
    middle = await run.client.post(
        SECRETS, named("middle", ownerReferences=owned_by(top, blocks=blocks))
    )
    low = owned_by(middle, blocks=blocks)
    await run.client.post(widgets("default"), widget("low", ownerReferences=low))
    await run.client.post(maps("default"), named("low", ownerReferences=low))
    return top, middle


async def test_in_the_background_all_go_after_the_owner() -> None:
    async with housekeeping() as run:
        await family(run)
        answer = await run.client.delete(widgets("default", "top"), policy("Background"))
        assert answer["status"] == "Success"
        await gone(run, widgets("default", "low"))
        await gone(run, maps("default", "low"))
        await gone(run, f"{SECRETS}/middle")


@pytest.mark.parametrize("blocks", [False, True])
async def test_in_the_foreground_the_owner_goes_last(blocks: bool) -> None:
    async with housekeeping("garbagecollector") as run:
        await family(run, blocks=blocks)
        hold = {"metadata": {"finalizers": [HOLD]}}
        await run.client.patch(maps("default", "low"), hold)
        await run.client.delete(widgets("default", "top"), policy("Foreground"))
        await gone(run, widgets("default", "low"))
        await idle(run)
        if blocks:
            for path in (widgets("default", "top"), f"{SECRETS}/middle"):
                waiting = await run.client.get(path)
                assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
        await run.client.patch(maps("default", "low"), {"metadata": {"finalizers": None}})
        await gone(run, maps("default", "low"))
        await gone(run, f"{SECRETS}/middle")
        await gone(run, widgets("default", "top"))


async def test_a_reference_that_blocks_no_longer_lets_the_owner_go() -> None:
    async with housekeeping("garbagecollector") as run:
        top, _ = await family(run)
        held = named("held", finalizers=[HOLD], ownerReferences=owned_by(top, blocks=True))
        await run.client.post(maps("default"), held)
        await run.client.delete(widgets("default", "top"), policy("Foreground"))
        await until(run, maps("default", "held"), lambda o: "deletionTimestamp" in o["metadata"])
        await idle(run)
        await run.client.get(widgets("default", "top"))
        free = {"metadata": {"ownerReferences": owned_by(top)}}
        await run.client.patch(maps("default", "held"), free)
        await gone(run, widgets("default", "top"))


async def test_orphans_stay_and_name_no_owner() -> None:
    async with housekeeping("garbagecollector") as run:
        top, _ = await family(run)
        other = await run.client.post(maps("default"), named("other"))
        both = named("both", ownerReferences=owned_by(top, other))
        await run.client.post(maps("default"), both)
        await run.client.delete(widgets("default", "top"), policy("Orphan"))
        await gone(run, widgets("default", "top"))
        middle = await run.client.get(f"{SECRETS}/middle")
        assert "ownerReferences" not in middle["metadata"]
        left = await run.client.get(maps("default", "both"))
        assert left["metadata"]["ownerReferences"] == owned_by(other)
        await run.client.get(widgets("default", "low"))


async def test_one_owner_that_is_there_is_enough() -> None:
    async with housekeeping("garbagecollector") as run:
        first = await run.client.post(maps("default"), named("first"))
        second = await run.client.post(maps("default"), named("second"))
        both = named("both", ownerReferences=owned_by(first, second))
        await run.client.post(maps("default"), both)
        await run.client.delete(maps("default", "first"))
        left = await until(
            run, maps("default", "both"), lambda o: len(o["metadata"]["ownerReferences"]) == 1
        )
        assert left["metadata"]["ownerReferences"] == owned_by(second)
        await run.client.delete(maps("default", "second"))
        await gone(run, maps("default", "both"))


async def test_an_owner_deleted_in_the_foreground_loses_who_has_another() -> None:
    async with housekeeping("garbagecollector") as run:
        first = await run.client.post(maps("default"), named("first"))
        second = await run.client.post(maps("default"), named("second"))
        both = named("both", ownerReferences=owned_by(first, second, blocks=True))
        await run.client.post(maps("default"), both)
        await run.client.delete(maps("default", "first"), policy("Foreground"))
        await gone(run, maps("default", "first"))
        left = await run.client.get(maps("default", "both"))
        assert left["metadata"]["ownerReferences"] == owned_by(second, blocks=True)


async def test_owners_that_own_each_other_go_together() -> None:
    async with housekeeping("garbagecollector") as run:
        first = await run.client.post(maps("default"), named("first"))
        second = await run.client.post(
            maps("default"), named("second", ownerReferences=owned_by(first, blocks=True))
        )
        circle = {"metadata": {"ownerReferences": owned_by(second, blocks=True)}}
        await run.client.patch(maps("default", "first"), circle)
        await run.client.delete(maps("default", "first"), policy("Foreground"))
        await gone(run, maps("default", "first"))
        await gone(run, maps("default", "second"))


@pytest.mark.parametrize("change", [{"uid": UNKNOWN_UID}, {"name": "nobody"}])
async def test_an_owner_that_never_was(change: Json) -> None:
    async with housekeeping("garbagecollector") as run:
        owner = await run.client.post(maps("default"), named("owner"))
        (reference,) = owned_by(owner)
        wrong = named("wrong", ownerReferences=[{**reference, **change}])
        await run.client.post(maps("default"), named("right", ownerReferences=[reference]))
        await run.client.post(maps("default"), wrong)
        await gone(run, maps("default", "wrong"))
        await run.client.get(maps("default", "right"))


async def test_an_owner_in_another_namespace_is_none_and_an_event_says_so() -> None:
    async with housekeeping("garbagecollector") as run:
        await make_namespace(run, "other")
        owner = await run.client.post(maps("other"), named("owner"))
        dependent = await run.client.post(
            maps("default"), named("dependent", ownerReferences=owned_by(owner))
        )
        await gone(run, maps("default", "dependent"))
        (event,) = (await run.client.get("/api/v1/namespaces/default/events"))["items"]
        uid = owner["metadata"]["uid"]
        assert event["message"] == (
            f"ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] "
            'does not exist in namespace "default"'
        )
        assert (event["type"], event["reason"]) == ("Warning", "OwnerRefInvalidNamespace")
        assert event["source"] == {"component": "garbage-collector-controller"}
        assert event["involvedObject"]["uid"] == dependent["metadata"]["uid"]
        assert await names(run, maps("other")) == ["owner"]


async def test_owners_without_namespaces_and_dependents_without() -> None:
    async with housekeeping("garbagecollector") as run:
        await define(run)
        await define(run, "Crate", scope="Cluster")
        owner = await run.client.post(crates(), crate("owner"))
        await run.client.post(widgets("default"), widget("w", ownerReferences=owned_by(owner)))
        await run.client.post(crates(), crate("c", ownerReferences=owned_by(owner)))
        own = await run.client.post(widgets("default"), widget("namespaced"))
        await run.client.post(crates(), crate("stays", ownerReferences=owned_by(own)))
        await run.client.delete(crates("owner"))
        await gone(run, widgets("default", "w"))
        await gone(run, crates("c"))
        await run.client.delete(widgets("default", "namespaced"))
        await idle(run)
        assert await names(run, crates()) == ["stays"]
        (event,) = (await run.client.get("/api/v1/namespaces/default/events"))["items"]
        assert event["message"].endswith('does not exist in namespace ""')


async def test_an_owner_of_an_unknown_kind_may_become_known() -> None:
    async with housekeeping("garbagecollector") as run:
        reference = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "name": "w", "uid": UNKNOWN_UID}
        await run.client.post(maps("default"), named("m", ownerReferences=[reference]))
        await idle(run)
        assert await names(run, maps("default")) == ["m"]
        await define(run)
        await gone(run, maps("default", "m"))


async def test_the_instances_of_a_kind_that_goes_take_their_dependents_along() -> None:
    async with housekeeping("garbagecollector") as run:
        await family(run)
        await run.client.delete(f"{DEFINITIONS}/widgets.{GROUP}")
        await gone(run, f"{SECRETS}/middle")
        await gone(run, maps("default", "low"))
        await gone(run, f"{DEFINITIONS}/widgets.{GROUP}")
        await define(run)
        top = await run.client.post(widgets("default"), widget("top"))
        await run.client.post(maps("default"), named("m", ownerReferences=owned_by(top)))
        await run.client.delete(widgets("default", "top"))
        await gone(run, maps("default", "m"))


async def test_garbage_of_the_run_before_is_found_at_the_start(tmp_path: Path) -> None:
    async with running(storage=await SqliteStorage.open(tmp_path)) as run:
        await family(run, blocks=True)
        owner = await run.client.post(maps("default"), named("owner"))
        await run.client.post(maps("default"), named("m", ownerReferences=owned_by(owner)))
        await run.client.delete(maps("default", "owner"))
        await run.client.delete(widgets("default", "top"), policy("Foreground"))
        left = await run.client.post(maps("default"), named("left"))
        await run.client.post(maps("default"), named("orphan", ownerReferences=owned_by(left)))
        await run.client.delete(maps("default", "left"), policy("Orphan"))
        await idle(run)
        assert "m" in await names(run, maps("default"))
    storage = await SqliteStorage.open(tmp_path)
    async with housekeeping("garbagecollector", storage=storage) as run:
        for path in (maps("default", "m"), widgets("default", "top"), maps("default", "left")):
            await gone(run, path)
        assert await names(run, maps("default")) == ["orphan"]
        orphan = await run.client.get(maps("default", "orphan"))
        assert "ownerReferences" not in orphan["metadata"]


TURNS = [0]


async def count_turns() -> None:
    """How often the loop gets round to others."""
    TURNS[0] = 0
    while True:  # until cancelled
        await asyncio.sleep(0)
        TURNS[0] += 1


@pytest.mark.parametrize("way", ["Background", "Foreground", "Orphan"])
async def test_a_thousand_dependents_do_not_hold_up_others(way: str) -> None:
    async with housekeeping("garbagecollector") as run:
        owner = await run.client.post(maps("default"), named("owner"))
        references = owned_by(owner, blocks=True)
        for number in range(1_000):
            await run.client.post(maps("default"), named(f"d{number}", ownerReferences=references))
        await run.client.delete(maps("default", "owner"), policy(way))
        async with asyncio.TaskGroup() as group:
            turns = group.create_task(count_turns())
            if way == "Orphan":
                await gone(run, maps("default", "owner"), 15)
                left = await run.client.get(maps("default", "d0"))
                assert "ownerReferences" not in left["metadata"]
            else:
                await gone(run, maps("default", "d999"), 15)
                await gone(run, maps("default", "owner"), 15)
            turns.cancel()
        expected = [f"d{n}" for n in range(1_000)] if way == "Orphan" else []
        while sorted(await names(run, maps("default"))) != sorted(expected):
            await idle(run)
    assert TURNS[0] >= 1_000 // Garbage.workers
