"""Messages of every kind in Protocol Buffers whose bytes are spoiled: answered, or refused with a
Status, never a 500 of ours, and what is stored can be read in both forms."""

from __future__ import annotations

from random import Random
from typing import Any

import full_manifests
import pytest
from hostile import send, target
from server_harness import Client, Running, escaped
from spoiled_bytes import spoiled

from kapi.codec.protobuf_format import MAGIC, sealed
from kapi.registry.resource import ResourceType, Version
from kapi.schema.decoding import Decoders
from kapi.schema.protobuf_writing import Writers

Json = dict[str, Any]
PROTOBUF = "application/vnd.kubernetes.protobuf"
READ = {"accept": PROTOBUF}
DECODERS, WRITERS = Decoders(), Writers()


def kinds(run: Running) -> dict[tuple[str, str], tuple[ResourceType, Version, str]]:
    """What can be created: the resource, the version, the path of the collection."""
    out = {}
    for resource in run.server.table:
        for version in resource.versions.values():
            if "create" in version.verbs:
                root = f"/apis/{resource.group}" if resource.group else "/api"
                place = "/namespaces/default" if resource.namespaced else ""
                path = f"{root}/{version.name}{place}/{resource.plural}"
                out[version.kind.api_version, version.kind.kind] = (resource, version, path)
    return out


def body(version: Version, manifest: Json) -> bytes:
    obj, _ = DECODERS.decode(version.schema(), manifest)
    message = WRITERS.write(version.schema(), obj)
    return sealed(version.kind.api_version, version.kind.kind, message)


@pytest.mark.parametrize("seed", [1, 2])
async def test_spoiled_messages_of_every_kind(seed: int) -> None:
    random = Random(seed)
    async with target(disable_admission_plugins="ServiceAccount") as run:
        known = kinds(run)
        for manifest in [*full_manifests.stored("default"), *full_manifests.answered("default")]:
            resource, version, path = known[full_manifests.identity(manifest)]
            whole = body(version, manifest)
            for number in range(8):
                raw = spoiled(whole, random, len(MAGIC) if number else 0)
                made = await send(run.client, "POST", path, raw, content_type=PROTOBUF)
                if made.status == 201 and resource.stored_in_store:
                    await changed(run.client, path, made.json["metadata"]["name"], whole, random)


async def changed(client: Client, path: str, name: str, whole: bytes, random: Random) -> None:
    """Read, list, replace and remove what a spoiled message has made."""
    at = f"{path}/{escaped(name)}"
    for place in (path, at):
        for form in (READ, {}):
            answer = await send(client, "GET", place, headers=form)
            assert answer.status == 200, (place, answer)
    raw = spoiled(whole, random, len(MAGIC))
    await send(client, "PUT", at, raw, content_type=PROTOBUF, headers=READ)
    await send(client, "DELETE", at)


@pytest.mark.parametrize("seed", [1])
async def test_spoiled_options(seed: int) -> None:
    random = Random(seed)
    maps = "/api/v1/namespaces/default/configmaps"
    message = bytes.fromhex("0800 1212 0a07 6e6f 2d75 6964 2d 1207 6e6f 2d72 762d 2d")
    options = sealed("v1", "DeleteOptions", message + b"\x22\x0aBackground")
    async with target() as run:
        for _ in range(200):
            await send(run.client, "POST", maps, {"metadata": {"name": "a"}})
            raw = spoiled(options, random, len(MAGIC))
            await send(run.client, "DELETE", f"{maps}/a", raw, content_type=PROTOBUF)
