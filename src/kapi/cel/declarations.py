"""Functions of an environment, declared by tables of text:

    size   size_string  string -> int
    size   string_size  string.() -> int

A line is the function, the overload's id, the arguments and the result; what stands before `.(` is
what a member function is called on. A single capital letter is a type parameter, `optional(A)` an
optional value, a name with a dot an opaque type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kapi.cel.types import SIMPLE, Type, list_of, map_of, opaque, optional_of, param, type_of
from kapi.cel.values import _NAMES, type_name

Implementation = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    id: str
    args: tuple[Type, ...]  # of a member function with what it is called on
    result: Type
    member: bool
    params: tuple[str, ...]
    run: Implementation | None  # None: the compiler knows

    def takes(self, values: tuple[Any, ...]) -> bool:
        """Whether values at run time fit."""
        return len(values) == len(self.args) and all(map(fits, self.args, values))


@dataclass(frozen=True, slots=True)
class Library:
    """A table of declarations and what runs, by the ids of overloads."""

    table: str
    implementations: Mapping[str, Implementation]


Functions = dict[str, tuple[Overload, ...]]
_LINE = re.compile(r"(\S+)\s+(\S+)\s+(?:(\S+)\.\((.*)\)|(.*?))\s*->\s*(\S.*)")


def declare(libraries: Iterable[Library]) -> Functions:
    found: dict[str, list[Overload]] = {}
    for library in libraries:
        for line in library.table.strip().splitlines():
            if line.strip():
                name, overload = _declared(line.strip(), library.implementations)
                found.setdefault(name, []).append(overload)
    return {name: tuple(overloads) for name, overloads in found.items()}


def _declared(line: str, runs: Mapping[str, Implementation]) -> tuple[str, Overload]:
    match = _LINE.fullmatch(line)
    assert match is not None, line
    name, id_, target, member_args, plain_args, result = match.groups()
    texts = _split(member_args if target else plain_args or "")
    if target:
        texts = [target, *texts]
    args = tuple(map(parse_type, texts))
    params = tuple(sorted({p for t in args for p in _params(t)}))
    run = runs.get(id_)
    return name, Overload(id_, args, parse_type(result), bool(target), params, run)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [p.strip() for p in parts if p.strip()]


def parse_type(text: str) -> Type:
    text = text.strip()
    if text in SIMPLE:
        return SIMPLE[text]
    if len(text) == 1:
        return param(text)
    head, bracket, rest = text.partition("(")
    if not bracket:
        return opaque(text)
    inner = [parse_type(p) for p in _split(rest[:-1])]
    if head == "list":
        return list_of(*inner)
    if head == "map":
        return map_of(*inner)
    return optional_of(*inner) if head == "optional" else type_of(*inner)


def _params(t: Type) -> Iterable[str]:
    if t.kind == "param":
        yield t.name
    for p in t.params:
        yield from _params(p)


_BY_KIND: Mapping[str, str] = {
    "bool": "bool", "int": "int", "uint": "uint", "double": "double", "string": "string",
    "bytes": "bytes", "null_type": "null_type", "list": "list", "map": "map",
    "duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp",
    "type": "type",
}  # fmt: skip


def fits(t: Type, value: Any) -> bool:
    if t.kind in ("dyn", "param", "error"):
        return True
    name = _NAMES.get(value.__class__) or type_name(value)
    wanted = _BY_KIND.get(t.kind)
    if wanted is None:
        return name == t.name or t.kind == "struct"
    if name != wanted:
        return False
    if t.kind == "list" and t.params[0].kind not in ("dyn", "param"):
        return all(fits(t.params[0], item) for item in value[:1])
    return True
