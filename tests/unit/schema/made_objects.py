"""Objects of every kind, made from the schemas: right ones, with the values at the edges.

Everything comes from a `random.Random`, so that what fails can be made again.
"""

from __future__ import annotations

from random import Random
from typing import Any

from kapi.kinds.catalog import Catalog
from kapi.schema.structural import Schema

CATALOG = Catalog()
TYPES = CATALOG.types
SCHEMAS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
DEPTH_MAX = 9
SHARE = 0.3  # of the fields of an object that are there

TEXTS = ("", "a", "x" * 127, "y" * 128, "é", "\u4e16\U0001f600", "a\0b", "z" * 20_000, "\U0010ffff")
SPECIAL: dict[str, tuple[Any, ...]] = {
    "quantity": ("1", "500m", "1Gi", "0", "-5k", "01"),
    "date-time": ("2024-01-02T03:04:05Z", "1969-12-31T23:59:59Z", "0001-01-02T00:00:00Z"),
    "micro-time": ("2024-01-02T03:04:05.123456Z", "1960-01-01T00:00:00.000001Z"),
    "duration": ("1h0m0s", "0s", "-1m30s", "1.5s", "1ns"),
    "int-or-string": (0, 80, -1, 2**31 - 1, "", "50%", "http"),
    "byte": ("YQ==", "/////w==", "YWJj" * 100),
    "raw": ({"a": [1, None, 2.5, "é"]}, "text", 5, [], {}, False),
}
INTEGERS = {
    "int32": (0, 1, 127, 128, 300, -1, 2**31 - 1, -(2**31)),
    "int64": (0, 1, 2**40, -1, 2**63 - 1, -(2**63)),
}


def made(schema: Schema, random: Random, depth: int = 0) -> Any:
    """A value of a schema: few of its fields, none of them empty where a list is."""
    _, _, union = schema.go_type.partition("JSONSchemaPropsOr")
    if union == "Bool":
        return random.choice((True, False))
    if union:
        return ["a", "b"] if union == "StringArray" else {"type": "string"}
    if schema.format in SPECIAL:
        return random.choice(SPECIAL[schema.format])
    if schema.type == "object":
        share = SHARE if depth < (2 if schema.name == SCHEMAS else DEPTH_MAX) else 0.0
        return {
            p.name: made(p.schema, random, depth + 1)
            for p in schema.properties.values()
            if p.number and (random.random() < share or (p.required and depth < DEPTH_MAX + 2))
        }
    if schema.type == "array":
        assert schema.items is not None
        items = schema.items
        return [made(items, random, depth + 1) for _ in range(random.choice((1, 1, 2, 3)))]
    if schema.type == "map":
        assert schema.values is not None
        keys = random.sample(("", "a", "B", "é", "k" * 130), random.choice((1, 2, 4)))
        return {key: made(schema.values, random, depth + 1) for key in keys}
    if schema.type == "string":
        return random.choice(TEXTS)
    if schema.type == "number":
        return random.choice((0, 1.5, -2, 1e300))
    if schema.type == "integer":
        return random.choice(INTEGERS[schema.format])
    assert schema.type == "boolean", schema
    return random.choice((True, False))


def kinds() -> list[str]:
    """Every kind of every version that is stored or answered, and the kinds of subresources."""
    names = set()
    for resource in CATALOG.resources({"api/all": True}):
        for version in resource.versions.values():
            names.add(version.schema().name)
            names |= {s.schema().name for s in version.subresources.values() if s.schema}
    return sorted({*names, SCHEMAS})  # the only numbers with a point are in this one
