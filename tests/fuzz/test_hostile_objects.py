"""Objects that are made from the schema of every kind, and right ones that are spoiled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hostile import send, target
from rich_objects import OBJECTS
from schema_values import INTEGERS, QUANTITIES, TEXTS, WRONG, Maker, Path, places, planted
from server_harness import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Client,
    Running,
    escaped,
)

from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]
REFUSED = (400, 403, 404, 409, 422)
ODD = (*WRONG, *TEXTS, *INTEGERS, *QUANTITIES)
SUBRESOURCES = ("", "", "", "/status", "/scale", "/resize", "/ephemeralcontainers", "/approval")
DIRECTIVES: tuple[Any, ...] = (
    {"$patch": "delete"}, {"$patch": "replace"}, {"$patch": "x"}, {"$patch": 1},
    [{"$patch": "delete"}], [{"$patch": "delete", "name": "web"}], [{"$patch": "replace"}],
    {"$retainKeys": ["a"]}, {"$retainKeys": 1}, {"$retainKeys": [1]}, None, [None],
)  # fmt: skip

ORDERS: tuple[Any, ...] = ([], ["a"], [{"name": "web"}], 1, None, [None], [1], [[]])


def collection(resource: ResourceType, version: Version) -> str:
    root = f"/apis/{resource.group}/{version.name}" if resource.group else f"/api/{version.name}"
    place = "/namespaces/default" if resource.namespaced else ""
    return f"{root}{place}/{resource.plural}"


def versions(run: Running) -> Iterator[tuple[ResourceType, Version]]:
    for resource in run.server.table:
        for version in resource.versions.values():
            if "create" in version.verbs:
                yield resource, version


async def make_and_put_back(client: Client, path: str, obj: Json, *, stored: bool) -> bool:
    """Create; what is stored reads back the same, and a PUT of it changes nothing."""
    made = await send(client, "POST", path, obj)
    if made.status != 201:
        assert made.status in REFUSED or made.status == 500, (path, obj, made)
        return False
    if not stored:
        return True
    at = f"{path}/{escaped(made.json['metadata']['name'])}"
    got = await send(client, "GET", at)
    again = await send(client, "PUT", at, got.expect(200))
    if "/flowschemas" not in path:  # whose status a controller writes meanwhile
        assert got.body == made.body
        version = again.expect(200)["metadata"]["resourceVersion"]
        assert version == made.json["metadata"]["resourceVersion"], (path, obj)
    await remove(client, at)
    return True


async def remove(client: Client, at: str) -> None:
    gone = await send(client, "DELETE", at, {"gracePeriodSeconds": 0})
    if gone.status == 200 and gone.json.get("metadata", {}).get("finalizers"):
        none = {"metadata": {"finalizers": None}}
        await send(client, "PATCH", at, none, content_type=MERGE_PATCH)
        for _ in range(100):  # what cleans up after a kind may have to finish
            if (await send(client, "GET", at)).status == 404:
                return
            await asyncio.sleep(0.02)


async def objects_of_every_kind(rounds: int, oddity: float) -> None:
    made = 0
    async with target() as run:
        for number in range(rounds):
            for resource, version in versions(run):
                seed = f"{number}/{oddity}/{resource.group}/{resource.plural}/{version.name}"
                random = Random(seed)
                maker = Maker(random, oddity)
                schema = version.schema()
                obj = maker.object(schema, leave=("metadata", "kind", "apiVersion"))
                obj["metadata"] = {"name": f"made-{number}"}
                if random.random() < 0.3:
                    meta = schema.properties["metadata"].schema
                    left = ("name", "namespace", "managedFields", "resourceVersion")
                    obj["metadata"] |= maker.object(meta, 1, leave=left)
                path = collection(resource, version)
                stored = resource.stored_in_store
                made += await make_and_put_back(run.client, path, obj, stored=stored)
    assert made > 20 * rounds, "too few were right: the test tests nothing"


@pytest.mark.parametrize("oddity", [0.01, 0.2])
async def test_objects_of_every_kind(oddity: float) -> None:
    await objects_of_every_kind(3, oddity)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("oddity", [0.0, 0.02, 0.1, 0.4])
async def test_many_objects_of_every_kind(oddity: float) -> None:
    await objects_of_every_kind(100, oddity)


async def wrong_types(path: str, obj: Json, depth: int, each: int, seed: int) -> None:
    """At every field of the object's schema, values of wrong types, as dry runs."""
    random = Random(seed)
    async with target() as run:
        group, plural = path.split("/")[2] if path.startswith("/apis/") else "", path.split("/")[-1]
        resource = run.server.table.get(group, plural)
        assert resource is not None
        schema = next(iter(resource.versions.values())).schema()
        right = {"metadata": {"name": "x"}, **obj}
        (await run.client("POST", f"{path}?dryRun=All", right)).expect(201)
        for place in places(schema, depth):
            for value in random.sample(WRONG, each):
                spoiled = planted(right, place, value)
                answer = await send(run.client, "POST", f"{path}?dryRun=All", spoiled)
                assert answer.status in (201, *REFUSED, 500), (place, value, answer)


SPOILED = OBJECTS[:3]  # Pod, Service, Deployment


@pytest.mark.parametrize(("path", "obj"), SPOILED, ids=lambda x: str(x)[-12:])
async def test_wrong_types_at_every_field(path: str, obj: Json) -> None:
    await wrong_types(path, obj, 5, 1, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("path", "obj"), OBJECTS, ids=lambda x: str(x)[-12:])
async def test_all_wrong_types_at_every_field(path: str, obj: Json) -> None:
    await wrong_types(path, obj, 6, 6, 2)


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))


def pointer(path: Path) -> str:
    return "".join("/" + str(x).replace("~", "~0").replace("/", "~1") for x in path)


def bad_patch(random: Random, form: str, made: Json) -> Any:
    place = random.choice([p for p in leaves(made) if p])
    value = random.choice(ODD)
    if form == JSON_PATCH:
        at = pointer(place)
        op = random.choice(("add", "replace", "remove", "test", "copy", "move", "x"))
        source = at[: random.randrange(len(at) + 1)]
        return [{"op": op, "path": at, "value": value, "from": source}]
    if form == STRATEGIC_PATCH and random.random() < 0.5:
        if random.random() < 0.5:
            return planted({}, place, random.choice(DIRECTIVES))
        mark = random.choice(("$setElementOrder/", "$deleteFromPrimitiveList/"))
        return planted({}, (*place[:-1], f"{mark}{place[-1]}"), random.choice(ORDERS))
    base = made if form == APPLY_PATCH else {}
    patch = planted(base, place, value)
    for _ in range(random.choice((0, 0, 1))):
        patch = planted(patch, random.choice([p for p in leaves(made) if p]), random.choice(ODD))
    return patch


async def spoil_one(client: Client, random: Random, path: str, obj: Json) -> None:
    """Create a right object, then write to it what is wrong in one or two places."""
    right = {**obj, "metadata": {"name": "spoiled", **obj.get("metadata", {})}}
    answer = await client("POST", path, right)
    made = answer.expect(201)
    at = f"{path}/{made['metadata']['name']}"
    for _ in range(4):
        where = at + random.choice(SUBRESOURCES)
        form = random.choice((MERGE_PATCH, STRATEGIC_PATCH, JSON_PATCH, APPLY_PATCH, ""))
        if not form:
            place = random.choice([p for p in leaves(made) if p])
            await send(client, "PUT", where, planted(made, place, random.choice(ODD)))
            continue
        query = "?fieldManager=x&force=true" if form == APPLY_PATCH else ""
        source = made
        if form == APPLY_PATCH:
            source = {"kind": made["kind"], "apiVersion": made["apiVersion"], **right}
        patch = bad_patch(random, form, source)
        await send(client, "PATCH", where + query, patch, content_type=form)
    await remove(client, at)


async def spoiled_objects(rounds: int) -> None:
    async with target() as run:
        for number in range(rounds):
            for path, obj in OBJECTS:
                random = Random(f"{number}/{path}")
                try:
                    await spoil_one(run.client, random, path, obj)
                except AssertionError as error:
                    error.add_note(f"round {number} of {path}")
                    raise


async def test_spoiled_objects() -> None:
    await spoiled_objects(4)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_spoiled_objects() -> None:
    await spoiled_objects(150)
