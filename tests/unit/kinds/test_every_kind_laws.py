"""Laws of every kind, over full manifests in which hypothesis changes, removes and adds fields.

What is made of a schema's types is taken or refused, never a failure. What is taken is taken again
when it comes back as it is shown, in each version; defaulting, converting and preparing it anew
change nothing; and an update with itself finds nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

import full_manifests
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kind_bench import context
from test_every_kind import decoded, engines, generate, resources, shown, stored

from kapi.registry.resource import ResourceType, Version
from kapi.schema.scalars import Mismatch
from kapi.schema.settling import Settlers
from kapi.schema.structural import Schema

Json = dict[str, Any]
Place = tuple[Any, Any, Schema]  # where, the name or index there, the schema of the value
KEPT = ("kind", "apiVersion", "metadata", "status")
SETTLERS = Settlers()


def manifests() -> dict[str, tuple[ResourceType, Version, Json]]:
    """A full manifest for each version of each kind."""
    found = {}
    for manifest in full_manifests.stored("default"):
        for resource in resources().values():
            for version in resource.versions.values():
                if (version.kind.api_version, version.kind.kind) == (
                    manifest["apiVersion"],
                    manifest["kind"],
                ):
                    found[f"{resource.qualified}/{version.name}"] = (resource, version, manifest)
    for name, (resource, version, manifest) in list(found.items()):
        there = stored(resource, version, decoded(version, copy.deepcopy(manifest)))
        for other in resource.versions.values():
            if other is not version:
                key = f"{name.rsplit('/', 1)[0]}/{other.name}"
                found[key] = (resource, other, shown(resource, other, copy.deepcopy(there)))
    return found


MANIFESTS = manifests()


def places(value: Any, schema: Schema) -> Iterator[Place]:
    """Every place in a value where something could stand, by its schema."""
    if schema.type == "object" and isinstance(value, dict):
        for p in schema.properties.values():
            yield value, p.name, p.schema
            if p.name in value:
                yield from places(value[p.name], p.schema)
    elif schema.type == "array" and isinstance(value, list) and schema.items is not None:
        for index in range(len(value)):
            yield value, index, schema.items
            yield from places(value[index], schema.items)
    elif schema.type == "map" and isinstance(value, dict) and schema.values is not None:
        for name in value:
            yield value, name, schema.values
            yield from places(value[name], schema.values)


def changed(random: Random, manifest: Json, schema: Schema, times: int) -> Json:
    """A copy in which some places hold something else, or nothing."""
    obj = copy.deepcopy(manifest)
    for _ in range(times):
        found = [p for p in places(obj, schema) if p[0] is not obj or p[1] not in KEPT]
        where, name, of = random.choice(found)
        if random.random() < 0.3 and isinstance(where, dict):
            where.pop(name, None)
        elif random.random() < 0.2 and isinstance(where, list):
            where.append(copy.deepcopy(where[name]))
        else:
            where[name] = generate(of, random, 6)
    return obj


def read(resource: ResourceType, version: Version, value: Json) -> Json:
    """As the server reads it in its namespace. Raises Mismatch."""
    obj = decoded(version, copy.deepcopy(value))
    if resource.namespaced:
        obj["metadata"]["namespace"] = "default"
    return obj


def prepared(resource: ResourceType, version: Version, obj: Json, old: Json | None) -> Json:
    about = context("CREATE" if old is None else "UPDATE", version)
    out = copy.deepcopy(stored(resource, version, copy.deepcopy(obj)))
    resource.strategy.prepare(out, old, about)
    return out


def findings(
    resource: ResourceType, version: Version, obj: Json, old: Json | None = None
) -> list[str]:
    about = context("CREATE" if old is None else "UPDATE", version)
    out = [str(f) for f in resource.strategy.validate(obj, old, about)]
    if not out:
        resource.strategy.complete(obj, old, about)
        as_kept = copy.deepcopy(obj)
        SETTLERS.settle(resource.stored_schema(), as_kept)  # as it is when it is written
        warned = resource.strategy.warnings(obj, old, about)
        assert resource.strategy.warnings(as_kept, old, about) == warned
    return out


def settled(resource: ResourceType, obj: Json) -> Json:
    """As it is read back from the store."""
    out, _ = engines()[0].decode(resource.stored_schema(), copy.deepcopy(obj))
    engines()[1].default(resource.stored_schema(), out)
    return {**{k: obj[k] for k in ("kind", "apiVersion")}, **out}


# The targets that a metric can have in autoscaling/v1, and the type that follows from each; the
# first that is there says it.
V1_TARGETS = {
    "object": {"averageValue": "AverageValue", "value": "Value"},
    "external": {"value": "Value", "averageValue": "AverageValue"},
    "pods": {"averageValue": "AverageValue"},
    "resource": {"averageUtilization": "Utilization", "averageValue": "AverageValue"},
    "containerResource": {"averageUtilization": "Utilization", "averageValue": "AverageValue"},
}


def by_way_of(version: Version, obj: Json) -> Json:
    """What is left of an object that was read in a version and written back.

    Only autoscaling/v1 loses something, as the real one does: it has room for one utilization of
    CPU, that of the first metric of CPU, and puts it behind the others. Of the others it keeps the
    targets that it knows.
    """
    metrics = (obj.get("spec") or {}).get("metrics")
    if (version.kind.api_version, obj["kind"]) != ("autoscaling/v1", "HorizontalPodAutoscaler"):
        return obj
    metrics = copy.deepcopy(metrics or [])
    of_cpu = [m for m in metrics if m["type"] == "Resource" and m["resource"]["name"] == "cpu"]
    used = [m for m in of_cpu if "averageUtilization" in m["resource"]["target"]]
    kept = [m for m in metrics if m not in used]
    if of_cpu and of_cpu[0] in used:
        kept.append(of_cpu[0])
    for metric in kept:
        for name, known in V1_TARGETS.items():
            if name in metric:
                target = metric[name]["target"]
                found = {k: v for k, v in target.items() if k in known}
                kind = next(kind for field, kind in known.items() if field in found)
                metric[name]["target"] = {"type": kind, **found}
    return {**obj, "spec": {**obj["spec"], "metrics": kept}}


def check(name: str, random: Random, times: int) -> bool:
    """Whether a changed manifest was taken; then all laws hold for it."""
    resource, version, manifest = MANIFESTS[name]
    wanted = changed(random, manifest, version.schema(), times)
    try:
        obj = read(resource, version, wanted)
    except Mismatch:
        return False
    assert read(resource, version, obj) == obj, "defaulting twice"
    made = prepared(resource, version, obj, None)
    if findings(resource, version, made):
        return False
    kept = settled(resource, made)
    for other in resource.versions.values():
        seen = shown(resource, other, copy.deepcopy(kept))
        back = settled(resource, stored(resource, other, copy.deepcopy(seen)))
        assert back == by_way_of(other, kept), f"by way of {other.name}"
        kept = back
        seen = read(resource, other, seen)
        again = prepared(resource, other, seen, None)
        assert findings(resource, other, again) == [], f"what was taken, again as {other.name}"
        same = prepared(resource, other, seen, copy.deepcopy(kept))
        assert settled(resource, same) == kept, f"an update with itself as {other.name}"
        assert findings(resource, other, same, copy.deepcopy(kept)) == []
    return True


def test_every_manifest_is_taken() -> None:
    assert {n.rsplit("/", 1)[0] for n in MANIFESTS} >= {
        r.qualified
        for r in resources().values()
        if any("create" in v.verbs for v in r.versions.values()) and not _alpha(r)
    }
    for name in MANIFESTS:
        assert check(name, Random(0), 0), name


def _alpha(resource: ResourceType) -> bool:
    return not any(v.name in ("v1", "v2") for v in resource.versions.values())


def law(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("name", MANIFESTS)
def test_laws_hold_for_changed_manifests(name: str) -> None:
    @law(6)
    @given(st.randoms(use_true_random=False), st.integers(1, 3))
    def holds(random: Random, times: int) -> None:
        check(name, random, times)

    holds()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MANIFESTS)
def test_laws_hold_for_many_changed_manifests(name: str) -> None:
    @law(200)
    @given(st.randoms(use_true_random=False), st.integers(1, 4))
    def holds(random: Random, times: int) -> None:
        check(name, random, times)

    holds()
