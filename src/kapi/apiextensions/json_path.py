"""The JSONPath that printer columns are written in: `.spec.parts[?(@.kind=="a")].name`.

A path is compiled once to steps and then yields the values it leads to; what is missing on the way
yields nothing. Supported is what client-go's template language has inside one pair of braces:
fields (with `\\.` for a dot), quoted fields, indices and slices, `*`, `..`, unions and comparing
filters. https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Step = Callable[[Iterable[Any]], Iterator[Any]]
_FIELD = re.compile(r"(?:\\.|[^\s.\[\]{}|()=!<>,\\])+")
_SLICE = re.compile(r"(-?\d*)(?::(-?\d*))?(?::(-?\d*))?\Z")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
    "<=": operator.le, ">=": operator.ge,
}  # fmt: skip


class PathError(ValueError):
    """A text that is no path."""


class LookupFailed(Exception):
    """The path does not suit the value: an index into a map, a filter of scalars."""


class JsonPath:
    def __init__(self, text: str) -> None:
        """Raises PathError."""
        parser = _Parser(text)
        self._steps = parser.path()
        if parser.at < len(text):
            raise PathError(text)

    def find(self, obj: Any) -> list[Any]:
        """The values, in order. Raises LookupFailed."""
        found: Iterable[Any] = [obj]
        for step in self._steps:
            found = step(found)
        return list(found)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def path(self) -> list[Step]:
        steps: list[Step] = []
        text = self.text
        while self.at < len(text):
            if text.startswith("..", self.at):
                self.at += 2
                steps.append(_descend)
                if self.at < len(text) and text[self.at] not in ".[":
                    steps.append(self._name())
            elif text[self.at] == ".":
                self.at += 1
                if self.at < len(text) and text[self.at] != "[":
                    steps.append(self._name())
            elif text[self.at] == "[":
                steps.append(self._bracket())
            else:
                break
        return steps

    def _name(self) -> Step:
        if self.text.startswith("*", self.at):
            self.at += 1
            return _all
        found = _FIELD.match(self.text, self.at)
        if found is None:
            raise PathError(self.text)
        self.at = found.end()
        return _field(re.sub(r"\\(.)", r"\1", found[0]))

    def _bracket(self) -> Step:
        if self.text.startswith("[?(", self.at):
            return self._filter()
        self.at += 1
        parts = [self._part()]
        while self.text.startswith(",", self.at):
            self.at += 1
            parts.append(self._part())
        if not self.text.startswith("]", self.at):
            raise PathError(self.text)
        self.at += 1
        return parts[0] if len(parts) == 1 else _union(parts)

    def _part(self) -> Step:
        quoted = _QUOTED.match(self.text, self.at)
        if quoted is not None:
            self.at = quoted.end()
            return _field(re.sub(r"\\(.)", r"\1", quoted[1] or quoted[2] or ""))
        end = min(
            (i for i in (self.text.find(c, self.at) for c in ",]") if i >= 0),
            default=len(self.text),
        )
        part = self.text[self.at : end].strip()
        self.at = end
        if part == "*":
            return _all
        found = _SLICE.match(part)
        if not part or found is None:
            raise PathError(self.text)
        numbers = [int(n) if n else None for n in found.groups()]
        if ":" not in part:
            return _item(numbers[0])
        return _slice(slice(*numbers))

    def _filter(self) -> Step:
        self.at += 3
        left = self._operand()
        found = _COMPARISON.match(self.text, self.at)
        compare, right = None, None
        if found is not None:
            self.at = found.end()
            compare, right = _OPERATORS[found[1]], self._operand()
        while self.text.startswith(" ", self.at):
            self.at += 1
        if not self.text.startswith(")]", self.at):
            raise PathError(self.text)
        self.at += 2
        return _select(left, compare, right)

    def _operand(self) -> Callable[[Any], list[Any]]:
        text = self.text
        while text.startswith(" ", self.at):
            self.at += 1
        if text.startswith("@", self.at):
            self.at += 1
            steps = self.path()

            def look(value: Any) -> list[Any]:
                found: Iterable[Any] = [value]
                for step in steps:
                    found = step(found)
                return list(found)

            return look
        quoted = _QUOTED.match(text, self.at)
        if quoted is not None:
            self.at = quoted.end()
            constant: Any = re.sub(r"\\(.)", r"\1", quoted[1] or quoted[2] or "")
            return lambda value: [constant]
        word = re.compile(r"[^\s)=!<>]+").match(text, self.at)
        if word is None:
            raise PathError(text)
        self.at = word.end()
        literal = _literal(word[0], text)
        return lambda value: [literal]


def _literal(word: str, text: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise PathError(text) from None


def _field(name: str) -> Step:
    """A field of maps; anything else has none."""

    def step(values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if isinstance(value, dict) and name in value:
                yield value[name]

    return step


def _all(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict):
            yield from (value[k] for k in sorted(value))
        elif isinstance(value, list):
            yield from value


def _descend(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict | list):
            yield value
            yield from _descend(_all([value]))


def _item(index: int | None) -> Step:
    def step(values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list) or index is None:
                raise LookupFailed
            if not -len(value) <= index < len(value):
                raise LookupFailed
            yield value[index]

    return step


def _slice(wanted: slice) -> Step:
    def step(values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise LookupFailed
            yield from value[wanted]

    return step


def _union(parts: list[Step]) -> Step:
    def step(values: Iterable[Any]) -> Iterator[Any]:
        known = list(values)
        for part in parts:
            yield from part(known)

    return step


def _select(
    left: Callable[[Any], list[Any]],
    compare: Callable[[Any, Any], bool] | None,
    right: Callable[[Any], list[Any]] | None,
) -> Step:
    def holds(item: Any) -> bool:
        found = left(item)
        if not found:
            return False
        if compare is None or right is None:
            return True
        wanted = right(item)
        if len(found) > 1 or len(wanted) > 1:
            raise LookupFailed
        return bool(wanted) and _compared(compare, found[0], wanted[0])

    def step(values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise LookupFailed
            yield from (item for item in value if holds(item))

    return step


def _compared(compare: Callable[[Any, Any], bool], a: Any, b: Any) -> bool:
    if isinstance(a, bool) != isinstance(b, bool) or isinstance(a, str) != isinstance(b, str):
        raise LookupFailed
    try:
        return bool(compare(a, b))
    except TypeError:
        raise LookupFailed from None
