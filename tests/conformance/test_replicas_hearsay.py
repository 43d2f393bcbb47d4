"""A server whose cache is behind writes and answers as one whose cache is not: what it has heard of
an object is only where it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from etcd_process import one_member
from replicas_harness import PROTOBUF, catalog, replica
from server_harness import Client, running

from kapi.assembly.stored_forms import StoredForms
from kapi.assembly.stores import EXTRA
from kapi.clock import SystemClock
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.interface import Event
from kapi.storage.translation import TranslatedStorage

MAPS = "/api/v1/namespaces/default/configmaps"
MAP = f"{MAPS}/map"
Json = dict[str, Any]


class Gated(TranslatedStorage):
    """A store whose watches say nothing while the gate is shut."""

    gate: asyncio.Event

    async def _through(
        self, events: AsyncIterator[Sequence[Event]]
    ) -> AsyncIterator[Sequence[Event]]:
        async for batch in events:
            await self.gate.wait()
            yield batch

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._through(super().watch(prefix, after_revision=after_revision))


@dataclass
class Two:
    """One server that is up to date, and one that is not."""

    ahead: Client
    behind: Client
    store: EtcdStorage  # of the one behind
    first: Json = field(default_factory=dict)  # what the one behind has heard of the map

    def reads(self) -> int:
        """How often the one behind has asked what the map is."""
        tally = self.store.requests.tallies.get(("get", "configmaps"))
        return tally.requests if tally is not None else 0

    async def change(self, **data: str) -> Json:
        """What the one behind has not heard of."""
        changed: Json = await self.ahead.put(MAP, {**self.first, "data": data})
        return changed


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    with one_member(tmp_path) as etcd:
        settings = EtcdSettings(servers=[etcd.url], lifetimes={"/registry/masterleases/": 15})
        inner = await EtcdStorage.open(settings, SystemClock())
        everything = catalog().resources({"api/all": True})
        forms = StoredForms(catalog().schema_of, everything, EXTRA, PROTOBUF)
        storage = Gated(inner, forms)
        storage.gate = asyncio.Event()
        storage.gate.set()
        flags: Json = {"etcd_servers": (etcd.url,), "bind_address": "127.0.0.1"}
        async with (
            replica([etcd.url]) as ahead,
            running(storage=storage, alone=False, seed=2, **flags) as behind,
        ):
            found = Two(ahead.client, behind.client, inner)
            body = {"metadata": {"name": "map"}, "data": {"a": "1", "b": "1"}}
            found.first = await found.ahead.post(MAPS, body)
            assert await found.behind.get(MAP) == found.first
            storage.gate.clear()
            try:
                yield found
            finally:
                storage.gate.set()


def _version(obj: Json) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version


async def test_what_it_has_heard_is_still_there(two: Two) -> None:
    before = two.reads()
    changed = await two.behind.put(MAP, {**two.first, "data": {"a": "2"}})
    assert changed["data"] == {"a": "2"}
    assert two.reads() == before
    await two.ahead.put(MAP, changed)


async def test_a_client_that_knows_better_is_believed(two: Two) -> None:
    newer = await two.change(a="2")
    changed = await two.behind.put(MAP, {**newer, "data": {"a": "3"}})
    assert (await two.ahead.get(MAP)) == changed


async def test_a_client_that_is_behind_too_gets_a_conflict(two: Two) -> None:
    newer = await two.change(a="2")
    answer = await two.behind("PUT", MAP, {**two.first, "data": {"a": "3"}})
    assert answer.status == 409
    assert "the object has been modified" in answer.message
    assert await two.ahead.get(MAP) == newer


async def test_a_patch_is_of_what_the_store_has(two: Two) -> None:
    await two.change(a="2", c="2")
    patched = await two.behind.patch(MAP, {"data": {"b": "3"}})
    assert patched["data"] == {"a": "2", "b": "3", "c": "2"}


async def test_a_change_that_it_believes_made_is_made(two: Two) -> None:
    await two.change(a="2")
    patched = await two.behind.patch(MAP, {"data": {"a": "1"}})
    assert patched["data"] == {"a": "1"}
    assert (await two.ahead.get(MAP))["data"] == {"a": "1"}


async def test_a_change_that_is_made_already_is_not_made_again(two: Two) -> None:
    newer = await two.change(a="2", b="1")
    patched = await two.behind.patch(MAP, {"data": {"a": "2"}})
    assert _version(patched) == _version(newer)
    nothing = await two.behind.patch(MAP, {"data": {"a": "2"}})
    assert _version(nothing) == _version(newer)


async def test_a_dry_run_is_of_what_the_store_has(two: Two) -> None:
    newer = await two.change(a="2")
    would = await two.behind.patch(f"{MAP}?dryRun=All", {"data": {"c": "3"}})
    assert would["data"] == {"a": "2", "c": "3"}
    assert await two.ahead.get(MAP) == newer


async def test_a_refusal_is_of_what_the_store_has(two: Two) -> None:
    newer = await two.ahead.put(MAP, {**two.first, "immutable": True})
    answer = await two.behind("PUT", MAP, {**newer, "data": {"a": "3"}})
    assert answer.status == 422
    assert "immutable" in answer.message
    bad = await two.behind("PUT", MAP, {**newer, "data": {"a/b": "3"}})
    assert bad.status == 422


async def test_what_is_gone_is_not_found(two: Two) -> None:
    await two.ahead.delete(MAP)
    for method, body in (("PUT", two.first), ("DELETE", None)):
        answer = await two.behind(method, MAP, body)
        assert answer.status == 404, method
    await two.behind.patch(MAP, {"data": {"b": "3"}}, status=404)


async def test_a_deletion_means_the_object_that_the_store_has(two: Two) -> None:
    await two.ahead.delete(MAP)
    anew = await two.ahead.post(MAPS, {"metadata": {"name": "map"}})
    old, new = two.first["metadata"]["uid"], anew["metadata"]["uid"]
    answer = await two.behind("DELETE", MAP, {"preconditions": {"uid": old}})
    assert answer.status == 409
    assert new in answer.message
    await two.behind.delete(MAP, {"preconditions": {"uid": new}})
    assert (await two.ahead("GET", MAP)).status == 404


async def test_a_deletion_waits_for_finalizers_it_has_not_heard_of(two: Two) -> None:
    held = {**two.first, "metadata": {**two.first["metadata"], "finalizers": ["example.org/x"]}}
    await two.ahead.put(MAP, held)
    marked = await two.behind.delete(MAP)
    assert "deletionTimestamp" in marked["metadata"]
    free = {**marked, "metadata": {**marked["metadata"], "finalizers": []}}
    await two.behind.put(MAP, free)
    assert (await two.ahead("GET", MAP)).status == 404
