"""A full object of every kind, written by one server and read by another through etcd's form of it:
got, listed and watched, it has the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import full_manifests
from etcd_process import one_member
from replicas_harness import replica
from server_harness import Running
from test_every_manifest import MOVES, SPACE, collection, prepare, served

Json = dict[str, Any]


async def test_every_kind_is_the_same_on_the_other_server(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1) as one, replica([etcd.url], 2) as other:
            await prepare(one.client)
            kinds = served(one)
            seen = 0
            for manifest in full_manifests.stored(SPACE):
                resource, version = kinds[full_manifests.identity(manifest)]
                path = collection(resource, version)
                start = (await other.client.get(path))["metadata"]["resourceVersion"]
                made = await one.client.post(path, manifest)
                name = made["metadata"]["name"]
                if resource.plural not in MOVES:
                    await _is_the_same(one, other, path, name, start)
                    seen += 1
            assert seen > 50


async def _is_the_same(one: Running, other: Running, path: str, name: str, start: str) -> None:
    ours = await one.client("GET", f"{path}/{name}")
    theirs = await other.client("GET", f"{path}/{name}")
    assert ours.status == theirs.status == 200
    assert ours.body == theirs.body, path
    listed = await other.client.get(path)
    assert name in [o["metadata"]["name"] for o in listed["items"]]
    async with other.client.watch(f"{path}?watch=1&resourceVersion={start}") as watch:
        while (event := await watch.next()) is not None:
            if event["object"]["metadata"]["name"] == name:
                break
        assert event is not None
        assert event["type"] == "ADDED"
        assert event["object"]["metadata"]["uid"] == ours.json["metadata"]["uid"]
