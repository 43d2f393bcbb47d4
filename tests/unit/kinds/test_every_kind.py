"""Promises of every built-in kind: nothing a client sends makes a 500, defaulting twice is
defaulting once, versions convert without loss, and every column has a cell for every object."""

from __future__ import annotations

import copy
import random
from functools import cache
from typing import Any

import orjson
import pytest

from kapi.kinds.catalog import Catalog
from kapi.messages import UserInfo
from kapi.registry.resource import ResourceType, Version
from kapi.registry.strategy import Context
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.structural import Schema

Json = dict[str, Any]
EXAMPLES = 25  # for each kind
NOW = 1_790_000_000.0

WORDS = (
    "", "a", "x", "none", "None", "default", "Upper_Case! x", "a.b", "a/b", "1", "*", "10.0.0.1",
    "10.0.0.0/24", "2001:db8::1", "999.1.1.1", "Pod", "Service", "ClusterIP", "ExternalName", "In",
    "Exists", "x" * 70, "example.com/x", "https://x.example.com/p", "true", "TCP", "NoSchedule",
)  # fmt: skip
NUMBERS = (0, 1, -1, 7, 80, 65536, 2**31 - 1)
QUANTITIES = ("0", "1", "-1", "100m", "1Gi", "1.5")
DEPTH_MAX = 9


def generate(schema: Schema, chance: random.Random, depth: int = 0) -> Any:
    """A value of the schema."""
    kind, form = schema.type, schema.format
    if form == "quantity":
        return chance.choice(QUANTITIES)
    if form in ("date-time", "micro-time"):
        return "2024-01-02T03:04:05Z" if form == "date-time" else "2024-01-02T03:04:05.000000Z"
    if form == "duration":
        return "5s"
    if form == "int-or-string":
        return chance.choice((0, 80, -1, "http", "50%", ""))
    if form == "byte":
        return chance.choice(("", "eA==", "e30="))
    if kind == "any":
        return chance.choice(({}, {"a": 1}, {"kind": "X", "apiVersion": "v1"}))
    if kind == "string":
        return chance.choice((*schema.enum, *WORDS))
    if kind in ("integer", "number"):
        return chance.choice(NUMBERS)
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "array":
        assert schema.items is not None
        count = 0 if depth > DEPTH_MAX else chance.randrange(3)
        return [generate(schema.items, chance, depth + 1) for _ in range(count)]
    if kind == "map":
        assert schema.values is not None
        keys = chance.sample(
            ("a", "cpu", "storage", "example.com/x", "Bad Key"), chance.randrange(3)
        )
        return {key: generate(schema.values, chance, depth + 1) for key in keys}
    return _object(schema, chance, depth)


def _object(schema: Schema, chance: random.Random, depth: int) -> Json:
    likely = 0.8 if depth < 3 else 0.45
    out: Json = {}
    for p in schema.properties.values():
        if p.name == "managedFields" or depth > DEPTH_MAX:
            continue
        if chance.random() < likely:
            out[p.name] = generate(p.schema, chance, depth + 1)
    return out


@cache
def resources() -> dict[str, ResourceType]:
    found = Catalog().resources({"api/all": True})
    return {r.qualified: r for r in found if r.stored_in_store}


@cache
def engines() -> tuple[Decoders, Defaulters]:
    return Decoders(), Defaulters()


def decoded(version: Version, value: Json) -> Json:
    """As the server reads it: of the right kind, with the metadata that the server sets."""
    decoders, defaulters = engines()
    obj, _ = decoders.decode(version.schema(), value)
    obj["metadata"].setdefault("name", "a")
    defaulters.default(version.schema(), obj)
    obj, _ = decoders.decode(version.schema(), obj)
    meta = obj["metadata"]
    meta["uid"] = "2b1e6f6c-0000-4000-8000-000000000000"
    meta["creationTimestamp"] = "2024-01-02T03:04:05Z"
    meta.pop("namespace", None)
    head = {"kind": version.kind.kind, "apiVersion": version.kind.api_version}
    return {**head, **obj, **head}


def stored(resource: ResourceType, version: Version, obj: Json) -> Json:
    if version.to_stored is not None:
        obj = version.to_stored(obj)
    head = {"kind": resource.stored.kind, "apiVersion": resource.stored.api_version}
    return {**obj, **head}


def shown(resource: ResourceType, version: Version, obj: Json) -> Json:
    out = version.from_stored(obj) if version.from_stored is not None else obj
    head = {"kind": version.kind.kind, "apiVersion": version.kind.api_version}
    obj, _ = engines()[0].decode(version.schema(), {**out, **head})
    return {**head, **obj, **head}


def context(operation: Any, version: Version, subresource: str = "") -> Context:
    user = UserInfo(name="jane", groups=("developers",))
    return Context(
        operation=operation, subresource=subresource, version=version.name, user=user, now=NOW
    )


def cases() -> list[tuple[str, str]]:
    return [(name, v) for name, r in resources().items() for v in r.versions]


def examples(name: str, version: Version) -> list[Json]:
    chance = random.Random(f"{name}/{version.name}")
    made = [generate(version.schema(), chance) for _ in range(EXAMPLES)]
    return [decoded(version, value) for value in ({}, {"metadata": {}, "spec": {}}, *made)]


@pytest.mark.parametrize(("name", "at"), cases())
def test_a_write_is_taken_or_refused(name: str, at: str) -> None:
    resource = resources()[name]
    version = resource.versions[at]
    strategy = resource.strategy
    previous: Json | None = None
    for example in examples(name, version):
        obj = copy.deepcopy(stored(resource, version, example))
        strategy.prepare(obj, None, context("CREATE", version))
        found = strategy.validate(obj, None, context("CREATE", version))
        assert all(isinstance(str(f), str) for f in found)
        strategy.warnings(obj, None, context("CREATE", version))
        orjson.dumps([f.cause() for f in found])
        if previous is not None:
            before = copy.deepcopy(previous)
            for subresource in ("", *version.subresources):
                changed = copy.deepcopy(obj)
                about = context("UPDATE", version, subresource)
                strategy.prepare(changed, previous, about)
                orjson.dumps([f.cause() for f in strategy.validate(changed, previous, about)])
                strategy.warnings(changed, previous, about)
            assert previous == before  # what is stored is read-only
        previous = obj


@pytest.mark.parametrize(("name", "at"), cases())
def test_defaulting_twice_is_defaulting_once(name: str, at: str) -> None:
    version = resources()[name].versions[at]
    for example in examples(name, version):
        again = decoded(version, copy.deepcopy(example))
        assert again == example


@pytest.mark.parametrize(("name", "at"), cases())
def test_versions_convert_without_loss(name: str, at: str) -> None:
    resource = resources()[name]
    version = resource.versions[at]
    for example in examples(name, version):
        before = copy.deepcopy(example)
        there = stored(resource, version, example)
        assert example == before  # a conversion leaves its argument alone
        assert there["kind"] == resource.stored.kind
        assert there["apiVersion"] == resource.stored.api_version
        _, unknown = engines()[0].decode(resource.stored_schema(), there)
        assert not unknown  # it is of the stored form
        back = shown(resource, version, there)
        once = shown(resource, version, stored(resource, version, back))
        assert once == back


@pytest.mark.parametrize("name", list(resources()))
def test_every_column_has_a_cell(name: str) -> None:
    resource = resources()[name]
    version = next(iter(resource.versions.values()))
    for example in examples(name, version):
        obj = stored(resource, version, example)
        for column in resource.columns:
            orjson.dumps(column.cell(obj, NOW))
        for select in resource.field_selectors.values():
            assert isinstance(select(obj), str)
