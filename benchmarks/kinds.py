"""Custom kinds: how soon one is served, what a thousand cost, and whether they slow anything.

The rows run after those of `rows.py`, on the same servers. A definition is some 20 KB, as those of
large operators are; an instance has the form and the size of what it is compared with: a pod, or a
config map.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import objects
from client import Tally, once, run
from rows import (
    NAMESPACE,
    PODS,
    ROUNDS,
    Machine,
    Result,
    Round,
    Row,
    _for_seconds,
    _load,
    _rate,
    _same,
    get_pod,
    list_pods,
    memory,
)
from targets import Failed, Target

Json = dict[str, Any]

GROUP = "bench.example.org"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = 1_000
DEFINITION_BYTES = 20_000
SOON_SECONDS = 60.0  # a kind that is not served by then never is
INSTANCES = f"/apis/{GROUP}/v1/namespaces/default/shops"
MAPS = f"/apis/{GROUP}/v1/namespaces/default/parts"


def _text(words: str) -> Json:
    return {"type": "string", "description": words}


def _field(number: int) -> Json:
    """A field of the sort that operators have; some 500 bytes."""
    return {
        "type": "object",
        "description": f"What is said about part {number}, and when it is to be said. " * 2,
        "properties": {
            "name": {**_text("The name."), "maxLength": 63, "pattern": "^[a-z0-9-]+$"},
            "replicas": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
            "mode": {"type": "string", "enum": ["Fast", "Slow"], "default": "Slow"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "ports": {
                "type": "array",
                "items": {"type": "integer"},
                "x-kubernetes-list-type": "set",
            },
        },
    }


def _schema_of(value: Any) -> Json:
    """A structural schema that says exactly what a value looks like."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {k: _schema_of(v) for k, v in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": _merged([_schema_of(v) for v in value])}
    kinds = {bool: "boolean", int: "integer", str: "string"}
    return {"type": kinds[type(value)]}


def _merged(schemas: list[Json]) -> Json:
    """The schema of all of these, of one type."""
    if schemas[0]["type"] != "object":
        return schemas[0]
    found: dict[str, list[Json]] = {}
    for schema in schemas:
        for name, of_field in schema["properties"].items():
            found.setdefault(name, []).append(of_field)
    return {"type": "object", "properties": {n: _merged(of) for n, of in found.items()}}


def _shop_schema() -> Json:
    """Of a pod's spec, as a custom kind would say it."""
    spec = objects.pod(7)["spec"]
    schema = _schema_of(spec)
    labels = {"type": "object", "additionalProperties": {"type": "string"}}
    spread = schema["properties"]["topologySpreadConstraints"]["items"]["properties"]
    spread["labelSelector"] = {"type": "object", "properties": {"matchLabels": labels}}
    return {"type": "object", "properties": {"spec": schema}}


def definition(kind: str, schema: Json, group: str = GROUP) -> Json:
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def large(number: int) -> Json:
    """A definition of some 20 KB."""
    fields: Json = {}
    for part in itertools.count():
        fields[f"part{part}"] = _field(part)
        made = definition(
            f"Large{number}",
            {
                "type": "object",
                "properties": {
                    "spec": {"type": "object", "properties": fields},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
            group=f"g{number % 50}.{GROUP}",
        )
        if len(json.dumps(made)) >= DEFINITION_BYTES:
            return made
    raise AssertionError("a count has no end")


async def _once(target: Target, method: str, path: str, body: bytes = b"", **more: str) -> Tally:
    return await once(target.address, target.address.request(method, path, body, **more))


async def _made(target: Target, body: Json, instances: str) -> None:
    """A definition that is served."""
    tally = await _once(target, "POST", DEFINITIONS, objects.encoded(body))
    if tally.failures and 409 not in tally.failures:
        raise Failed(tally.first_failure.decode(errors="replace"))
    await _until(target, instances)


async def _until(target: Target, path: str) -> None:
    """Until a path answers 200."""
    end = time.perf_counter() + SOON_SECONDS
    while (await _once(target, "GET", path)).failures:
        if time.perf_counter() > end:
            raise Failed(f"{path} was not served in time")
        await asyncio.sleep(0.001)


# -- how soon -------------------------------------------------------------------------------------


async def served(target: Target, now: Round) -> Result:
    """From sending a definition of 20 KB until an instance of it can be listed."""
    took = []
    for number in range(5):
        body = large(KINDS + now.number * 10 + number)
        group, names = body["spec"]["group"], body["spec"]["names"]
        begin = time.perf_counter()
        await _once(target, "POST", DEFINITIONS, objects.encoded(body))
        await _until(target, f"/apis/{group}/v1/{names['plural']}")
        took.append(time.perf_counter() - begin)
    return Result("ms", min(took) * 1e3, more_is_better=False)


async def discovered(target: Target, now: Round) -> Result:
    """From sending a definition of a new group until OpenAPI v3 of the group is there."""
    took = []
    for number in range(3):
        body = definition("Fresh", _shop_schema(), group=f"fresh{now.number}{number}.{GROUP}")
        group = body["spec"]["group"]
        begin = time.perf_counter()
        await _once(target, "POST", DEFINITIONS, objects.encoded(body))
        await _until(target, f"/apis/{group}/v1")
        await _until(target, f"/openapi/v3/apis/{group}/v1")
        took.append(time.perf_counter() - begin)
    return Result("ms", min(took) * 1e3, more_is_better=False)


# -- as fast as built-in kinds --------------------------------------------------------------------


async def create_instances(target: Target, now: Round) -> Result:
    """What the pods are, as a custom kind."""
    await _made(target, definition("Shop", _shop_schema()), INSTANCES)
    share = PODS // ROUNDS + 1
    numbers = iter(range(now.number * share, min(PODS, (now.number + 1) * share)))

    def creations() -> Iterator[bytes]:
        for number in numbers:
            pod = objects.pod(number)
            body = objects.encoded({**pod, "apiVersion": f"{GROUP}/v1", "kind": "Shop"})
            yield target.address.request("POST", INSTANCES, body)

    return await _load(target, [creations() for _ in range(8)])


async def get_instance(target: Target, now: Round) -> Result:
    path = f"{INSTANCES}/shop-000007"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(16)])


async def list_instances(target: Target, now: Round) -> Result:
    return await _load(target, [_same(target.address, INSTANCES, now.seconds) for _ in range(4)])


async def patch_instance(target: Target, now: Round) -> Result:
    numbers = itertools.count()

    def patch() -> bytes:
        number = next(numbers)
        body = objects.encoded(objects.labels_patch(number))
        path = f"{INSTANCES}/shop-{number % PODS:06d}"
        content = "application/merge-patch+json"
        return target.address.request("PATCH", path, body, content=content)

    return await _load(target, [_for_seconds(patch, now.seconds) for _ in range(8)])


def _lives(target: Target, now: Round, path: str, api_version: str, kind: str) -> list[Any]:
    """Create, patch and delete, by 8 connections."""
    address = target.address

    def lives(worker: int) -> Iterator[bytes]:
        end = time.perf_counter() + now.seconds
        for number in itertools.count():
            if time.perf_counter() > end:
                return
            name = f"life-{now.number}-{worker}-{number}"
            made = {**objects.config_map(name), "apiVersion": api_version, "kind": kind}
            yield address.request("POST", path, objects.encoded(made))
            patch = objects.encoded({"data": objects.config_map(name, number + 1)["data"]})
            content = "application/merge-patch+json"
            yield address.request("PATCH", f"{path}/{name}", patch, content=content)
            yield address.request("DELETE", f"{path}/{name}")

    return [lives(worker) for worker in range(8)]


async def map_lives(target: Target, now: Round) -> Result:
    """What the next row is compared with."""
    sources = _lives(target, now, f"{NAMESPACE}/configmaps", "v1", "ConfigMap")
    return await _load(target, sources, per=3)


async def instance_lives(target: Target, now: Round) -> Result:
    """What the config maps are, as a custom kind."""
    data = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "properties": {"data": data}}
    await _made(target, definition("Part", schema), MAPS)
    sources = _lives(target, now, MAPS, f"{GROUP}/v1", "Part")
    return await _load(target, sources, per=3)


# -- a thousand -----------------------------------------------------------------------------------


async def thousand(target: Target, now: Round) -> Result:
    """1,000 definitions of 20 KB by 8 connections, until the last is served; KB each."""
    before = target.resident_bytes()
    numbers = iter(range(KINDS))

    def creations() -> Iterator[bytes]:
        for number in numbers:
            body = objects.encoded(large(number))
            yield target.address.request("POST", DEFINITIONS, body)

    machine, cpu = Machine(target), target.cpu_seconds()
    tally, took = await run(target.address, [creations() for _ in range(8)])
    begin = time.perf_counter()
    last = large(KINDS - 1)["spec"]
    await _until(target, f"/apis/{last['group']}/v1/{last['names']['plural']}")
    took += time.perf_counter() - begin
    if tally.failures:
        raise Failed(tally.first_failure.decode(errors="replace"))
    rate = _rate(tally, took, target.cpu_seconds() - cpu, machine.others())
    await asyncio.sleep(1)
    print(f"    {(target.resident_bytes() - before) / KINDS / 1e3:.0f} KB each", flush=True)
    rate.unit, rate.value, rate.more_is_better = "s", took, False
    return rate


KIND_ROWS: tuple[tuple[str, str, Row, bool], ...] = (
    ("kind-served", "a new custom kind of 20 KB until it is served", served, False),
    ("kind-openapi", "a new group until it is in discovery and OpenAPI", discovered, False),
    ("kind-create", "create instances like the pods, 8 connections", create_instances, True),
    ("kind-get", "GET an instance, 16 connections", get_instance, True),
    ("kind-list", "LIST 2,000 instances, 4 connections", list_instances, True),
    ("kind-patch", "merge patch of an instance, 8 connections", patch_instance, True),
    ("map-lives", "config map create + patch + delete, 8 connections", map_lives, True),
    ("kind-lives", "the same with instances like config maps", instance_lives, True),
    ("kinds", "1,000 custom kinds of 20 KB", thousand, False),
    ("kinds-memory", "resident memory with 1,000 custom kinds", memory, False),
    ("kinds-get", "GET a pod beside 1,000 custom kinds", get_pod, True),
    ("kinds-list", "LIST 2,000 pods beside 1,000 custom kinds", list_pods, True),
)
