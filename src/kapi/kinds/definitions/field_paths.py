"""Paths like `.spec['a-b'].c` that lead to a field of a schema: of rules (fieldPath) and of
selectable fields. The words are those of the real server's reader.

https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_NOWHERE = "does not refer to a valid field"
_CUT_SHORT = "unexpected end of JSON path"
_ESCAPE = re.compile(r"\\.")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class PathError(ValueError):
    """A path that leads nowhere; its text says why."""


@dataclass(frozen=True, slots=True)
class Field:
    steps: tuple[str, ...]
    schema: Json


def field_at(props: Json, path: str, *, brackets: bool = True) -> Field:
    """`brackets`: whether a step may be written as `['a']`. Raises PathError."""
    here, steps = props, []
    tokens = _tokens(path)
    for token in tokens:
        if token == ".":
            name = _next(tokens)
        elif token != "[":
            raise PathError(f"expected [ or . but got: {token}")
        elif not brackets:
            raise PathError("array notation is not allowed")
        else:
            name = _quoted(_next(tokens))
        here = _below(here, name)
        steps.append(name)
        if token == "[" and (end := _next(tokens)) != "]":
            raise PathError(f"expected ] but got {end}")
    return Field(tuple(steps), here)


def _next(tokens: Iterator[str]) -> str:
    found = next(tokens, None)
    if found is None:
        raise PathError(_CUT_SHORT)
    return found


def _tokens(path: str) -> Iterator[str]:
    """Dots, brackets, texts in single quotes, and all between these."""
    at = 0
    while at < len(path):
        end = at + 1
        if path[at] == "'":
            while end < len(path) and not (path[end] == "'" and path[end - 1] != "\\"):
                end += 1
            end = min(end + 1, len(path))
        elif path[at] not in ".[]":
            while end < len(path) and path[end] not in ".[]":
                end += 1
        yield path[at:end]
        at = end


def _quoted(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise PathError(f"expected single quoted string but got {token}")

    def plain(found: re.Match[str]) -> str:
        c = found[0][1]
        if c in "'\\":
            return c
        if c not in _ESCAPES:
            raise PathError(f"invalid string literal: invalid escape char {found[0]}")
        return _ESCAPES[c]

    return _ESCAPE.sub(plain, token[1:-1])


def _below(props: Json, name: str) -> Json:
    properties, additional = props.get("properties") or {}, props.get("additionalProperties")
    if properties:
        if name not in properties:
            raise PathError(_NOWHERE)
        found: Json = properties[name]
        return found
    if additional is None:
        raise PathError(_NOWHERE)
    return additional if isinstance(additional, dict) else {}
