"""Objects made from the schema of a kind: mostly right, odd at places, or wrong at one.

Everything comes from a `random.Random` with a seed, so a failure replays from what it prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
Path = tuple[str | int, ...]
DEPTH_MAX = 7  # below it only what is required is made: kinds are recursive

NAMES = ("a", "web-1", "x.example.com", "example.com/x", "", "Bad_Name", "a" * 64, "a\0b", "-", "é")
TEXTS = (
    *NAMES, "1", "0", "100m", "1Gi", "tcp", "TCP", "10.0.0.7", "::1", "10.0.0.0/24", "1h", "None",
    "*", "/", "/var/lib", "../up", "In", "Exists", "true", "2026-01-02T03:04:05Z", "50%", "a=b",
    "{", "\U0001f600", "x" * 300, "[*].a", "$(A)", "\n", "https://example.com/x", "self.a == 1",
)  # fmt: skip
INTEGERS = (
    0, 1, 2, 80, 443, 65535, 65536, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, 10**30,
)  # fmt: skip
NUMBERS = (0.5, 1, -1, 1e21, 1e308, 5e-324, -0.0)
QUANTITIES = (
    "1", "100m", "1Gi", "0", "-1", "1e3", "1.5", "", "x", "9" * 40, "1e99999", "1Ki ", 5, 0.1,
)  # fmt: skip
TIMES = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z", "0001-01-01T00:00:00Z", "", "x",
    "9999-12-31T23:59:59+14:00", "2026-02-30T00:00:00Z")  # fmt: skip
# Of every JSON type, and of none of the right ones somewhere.
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**63, 10**40, "", "x", "\0", [], [None], ["x"], [[]], [{}], {},
    {"a": None}, {"": {}}, {"a": {"b": []}},
)  # fmt: skip


class Maker:
    """Makes values. `oddity`: how often a value is taken from the odd ones, 0 to 1."""

    def __init__(self, random: Random, oddity: float = 0.1) -> None:
        self._random = random
        self._oddity = oddity

    def object(self, schema: Schema, depth: int = 0, *, leave: tuple[str, ...] = ()) -> Json:
        out: Json = {}
        share = 0.35 if depth < 2 else 0.2
        for p in schema.properties.values():
            if p.name in leave:
                continue
            if p.required or (depth < DEPTH_MAX and self._random.random() < share):
                out[p.name] = self._property(p, depth)
        return out

    def _property(self, p: Property, depth: int) -> Any:
        if self._random.random() < self._oddity / 10:
            return self._random.choice(WRONG)
        return self.value(p.schema, depth + 1)

    def value(self, schema: Schema, depth: int) -> Any:
        choose = self._random.choice
        odd = self._random.random() < self._oddity
        if schema.enum and not odd:
            return choose(schema.enum)
        match schema.format:
            case "quantity":
                return choose(QUANTITIES if odd else QUANTITIES[:5])
            case "int-or-string":
                return choose((1, "50%", "x", -1, 80, "http"))
            case "date-time" | "micro-time":
                return choose(TIMES if odd else TIMES[:2])
            case "duration":
                return choose(("1h", "10s", "x", "-1s", "9" * 30 + "h")) if odd else "1h"
            case "byte":
                return choose(("aGFsbG8=", "", "!", "aGFsbG8"))
            case "raw":
                return choose(({}, {"a": 1}, "x", [], None, {"kind": "X", "apiVersion": "v1"}))
            case _:
                return self._plain(schema, depth, odd)

    def _plain(self, schema: Schema, depth: int, odd: bool) -> Any:
        choose = self._random.choice
        match schema.type:
            case "object":
                return self.object(schema, depth)
            case "map":
                assert schema.values is not None
                count = self._random.choice((0, 1, 2)) if depth < DEPTH_MAX else 0
                return {choose(NAMES): self.value(schema.values, depth + 1) for _ in range(count)}
            case "array":
                assert schema.items is not None
                count = self._random.choice((0, 1, 2, 2)) if depth < DEPTH_MAX else 0
                return [self.value(schema.items, depth + 1) for _ in range(count)]
            case "string":
                return choose(TEXTS if odd else TEXTS[:3])
            case "integer":
                return choose(INTEGERS if odd else INTEGERS[:5])
            case "number":
                return choose(NUMBERS)
            case "boolean":
                return choose((True, False))
            case _:
                return choose(WRONG)


def places(schema: Schema, depth: int, path: Path = ()) -> Iterator[Path]:
    """Every field of a schema, down to a depth; the first item of a list and one key of a map."""
    if depth == 0:
        return
    if schema.type == "object":
        for p in schema.properties.values():
            yield (*path, p.name)
            yield from places(p.schema, depth - 1, (*path, p.name))
    elif schema.type == "array" and schema.items is not None:
        yield (*path, 0)
        yield from places(schema.items, depth - 1, (*path, 0))
    elif schema.type == "map" and schema.values is not None:
        yield (*path, "k")
        yield from places(schema.values, depth - 1, (*path, "k"))


def planted(obj: Json, path: Path, value: Any) -> Json:
    """A copy with a value at a place; what is not there on the way is made."""
    return _planted(obj, path, value)  # type: ignore[no-any-return]


def _planted(at: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(at) if isinstance(at, list) else []
        inner = items[step] if step < len(items) else None
        return [*items[:step], _planted(inner, rest, value), *items[step + 1 :]]
    fields = dict(at) if isinstance(at, dict) else {}
    fields[step] = _planted(fields.get(step), rest, value)
    return fields
