"""The tree of an expression: made by the parser, typed by the checker, priced by the estimator,
made into closures by the compiler.

A node has the offset in code points that issues about it point at. What the checker finds out is
written on the node: `type`, and of calls and names what they refer to. Macros are expanded while
parsing; `Fold.macro` remembers which one it was, for those who know a shorter way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import field as dataclass_field
from typing import Any

from kapi.cel.types import DYN, Type


@dataclass(slots=True, eq=False)
class Node:
    at: int
    type: Type = field(default=DYN, init=False)


@dataclass(slots=True, eq=False)
class Literal(Node):
    """null, a bool, int, Uint, float, str or bytes."""

    value: Any


@dataclass(slots=True, eq=False)
class Name(Node):
    """A variable or a type; `name` starts with a dot where the text said so."""

    name: str
    constant: Any = field(default=None, init=False)  # of a type: its TypeValue, by the checker


@dataclass(slots=True, eq=False)
class Select(Node):
    operand: Node
    field: str
    test: bool = False  # has(operand.field)
    # What the chain names as a whole, by the checker: a variable, or a type.
    variable: str = dataclass_field(default="", init=False)
    constant: Any = dataclass_field(default=None, init=False)


@dataclass(slots=True, eq=False)
class Call(Node):
    function: str
    target: Node | None
    args: list[Node]
    overloads: list[str] = field(default_factory=list, init=False)  # ids, by the checker


@dataclass(slots=True, eq=False)
class ListLiteral(Node):
    elements: list[Node]
    optional: frozenset[int] = frozenset()  # indices of `?element`


@dataclass(slots=True, eq=False)
class Entry:
    at: int
    key: Node
    value: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class MapLiteral(Node):
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class FieldEntry:
    at: int
    name: str
    value: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class Message(Node):
    name: str
    fields: list[FieldEntry]


@dataclass(slots=True, eq=False)
class Fold(Node):
    """A loop: what all macros over lists and maps become.

    `step` sees the variables and the accumulator, `result` only the accumulator.
    """

    macro: str
    over: Node
    variable: str
    second: str  # "" where there is one variable
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node
    # What the author wrote: all, exists: (predicate,); map: (transform, filter or None); bind: ().
    parts: tuple[Node | None, ...] = ()


def qualified_name(node: Node) -> str | None:
    """`a.b.c` as one name, if the node is nothing but that."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Name):
        return None
    parts.append(node.name)
    return ".".join(reversed(parts))
