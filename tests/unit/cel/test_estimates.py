"""What expressions may cost at most, by the sizes that schemas allow."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.cel.declared import declare, escape
from kapi.cel.environment import kubernetes
from kapi.cel.estimate import estimate
from kapi.cel.program import compile_expression
from kapi.schema.custom_parsing import parse_node
from kapi.schema.structural import Schema

META = Schema(type="object")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "i": {"type": "integer"},
        "s": {"type": "string", "maxLength": 10},
        "e": {"type": "string", "enum": ["abc", "defgh"]},
        "u": {"type": "string"},
        "l": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
        "free": {"type": "array", "items": {"type": "string"}},
        "m": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "integer"}},
        "o": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
        "os": {"type": "array", "items": {"type": "object", "required": ["abc"],
                                          "properties": {"abc": {"type": "string"}}}},
        "t": {"type": "string", "format": "date-time"},
        "x": {"x-kubernetes-int-or-string": True, "maxLength": 3},
    },
}  # fmt: skip
MOST = (1 << 64) - 1


def price(text: str) -> int:
    declared = declare(parse_node(SCHEMA, META), root=False)
    assert declared is not None
    environment = kubernetes().extended({"self": declared.type})
    return estimate(compile_expression(text, environment).tree, declared.type)[1]


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("true", 0), ("self.i > 1", 3), ("self.i == 1", 2), ("has(self.i)", 1),
        ("has(self.o.a)", 2), ("self.s == 'a'", 3), ("self.s == self.s", 8),
        ("self.e == self.e", 5), ("self.u == self.u", 314577), ("self.s.startsWith('abc')", 3),
        ("self.s.matches('^a+$')", 7), ("self.s.contains('ab')", 6),
        ("self.s + self.s == 'x'", 13), ("self.l.all(x, x == 'a')", 28), ("self.l.size() < 3", 4),
        ("'a' in self.l", 7), ("'a' in self.m", 3), ("self.m.all(k, self.m[k] > 0)", 27),
        ("self.i > 0 && self.i < 5 || self.i == 9", 8), ("self.i > 0 ? self.i == 1 : true", 5),
        ("string(self.i) == 'x'", 4), ("self.t < timestamp('2020-01-01T00:00:00Z')", 4),
        ("[1, 2].all(x, x > 0)", 21), ("self.l.map(x, x).size() == 5", 80),
        ("'a is ' + string(self.i) == 'b'", 1844674407370955268),
    ],
)  # fmt: skip
def test_price(text: str, cost: int) -> None:
    assert price(text) == cost


def test_sizes_of_what_nothing_bounds() -> None:
    """As many items as fit into a request."""
    bytes_max = 3 * 1024 * 1024
    items = (bytes_max - 2) // 3
    assert price("self.free.all(x, true)") == items * 3 + 3
    # {"abc":""} takes 2 + 3 + 2 + 4 bytes.
    objects = (bytes_max - 2) // 12
    assert price("self.os.all(x, true)") == objects * 3 + 3


def test_a_call_of_authorization_is_dear() -> None:
    from kapi.cel.lib_authorizer import AUTHORIZER

    environment = kubernetes().extended({"authorizer": AUTHORIZER})
    program = compile_expression("authorizer.path('/').check('get').allowed()", environment)
    assert estimate(program.tree)[1] == 350_003


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a", "a"), ("a-b", "a__dash__b"), ("a.b", "a__dot__b"), ("a/b", "a__slash__b"),
        ("a__b", "a__underscores__b"), ("for", "__for__"), ("namespace", "__namespace__"),
        ("int", "int"), ("1a", None), ("a b", None), ("ä", None), ("_a", "_a"),
    ],
)  # fmt: skip
def test_names_of_fields(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped
