"""Does an object of a custom kind fit its schema? The fast answer: yes or no.

`Validators.valid` runs closures compiled from `Constraints`, types, enums and formats; where the
answer is no, `validation_errors.py` walks the same object again to find the words of the real
server. Both follow kube-openapi, whose rules differ from JSON schema here and there: a whole float
is an integer, a required field with a default need not be there, null is refused by every enum.

What x-kubernetes-validations ask is not decided here: `Rules` is where an evaluator plugs in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from kapi.errors import FieldError
from kapi.schema import formats, numbers
from kapi.schema.go_regex import GoRegexError, compile_go
from kapi.schema.structural import Constraints, Schema, untyped_nodes

Json = dict[str, Any]
Valid = Callable[[Any], bool]


class Rules(Protocol):
    """Evaluates x-kubernetes-validations."""

    def findings(self, schema: Schema, obj: Json, old: Json | None) -> list[FieldError]:
        """What the rules of a schema, at any depth, have against an object that fits the schema
        otherwise. `old`: what it replaces; None if it is new."""

    def warnings(self, schema: Schema, obj: Json, old: Json) -> list[str]:
        """What the last `findings`, of the same, let be because it did not change."""

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a schema."""


class Validators:
    """Compiled by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._compiled: dict[int, tuple[Schema, Valid | None]] = {}
        self._plains: dict[tuple[tuple[str, ...], bool, bool], Valid] = {}

    def valid(self, schema: Schema, value: Any) -> bool:
        run = self._valid(schema)
        return run is None or run(value)

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a schema and all in it that is its own."""
        for node in untyped_nodes(schema):
            self._compiled.pop(id(node), None)

    def _valid(self, schema: Schema) -> Valid | None:
        """None where everything is valid."""
        found = self._compiled.get(id(schema))
        if found is None:
            found = (schema, self._compile(schema))
            self._compiled[id(schema)] = found
        return found[1]

    def _compile(self, schema: Schema) -> Valid | None:
        types = types_of(schema)
        constraints = schema.constraints or _NO_CONSTRAINTS
        of_text = _text(schema, constraints)
        of_number = _number(schema, types, constraints)
        of_list = self._list(schema, constraints)
        of_map = self._map(schema, constraints)
        junctors = self._junctors(constraints)
        enum = schema.enum
        if not (types or of_text or of_number or of_list or of_map or junctors or enum):
            return None
        nullable = schema.nullable or not types
        if not (of_text or of_number or of_list or of_map or junctors or enum):
            return self._plain(types, nullable, bool(format_of(schema)))
        text, number, integer = "string" in types, "number" in types, "integer" in types
        lists, maps, booleans = "array" in types, "object" in types, "boolean" in types
        anything = not types
        if format_of(schema) and not (number or integer):
            text = lists = True  # a quirk: where there is a format, texts and lists are let in

        def valid(value: Any) -> bool:
            kind = value.__class__
            if kind is str:
                good = (text or anything) and (of_text is None or of_text(value))
            elif kind is dict:
                good = (maps or anything) and (of_map is None or of_map(value))
            elif kind is list:
                good = (lists or anything) and (of_list is None or of_list(value))
            elif kind is bool:
                good = booleans or anything
            elif kind is int:
                good = (integer or number or anything) and (of_number is None or of_number(value))
            elif value is None:
                return nullable and not enum
            else:
                good = number or anything or (integer and value.is_integer())
                good = good and (of_number is None or of_number(value))
            if not good or (enum and not in_enum(value, enum)):
                return False
            return junctors is None or junctors(value)

        return valid

    def _plain(self, types: tuple[str, ...], nullable: bool, formatted: bool) -> Valid:
        """For a place that says its types alone: most do, and they share their functions."""
        key = (types, nullable, formatted)
        found = self._plains.get(key)
        if found is None:
            classes = {c for t in types for c in _CLASSES[t]}
            if formatted and not {"number", "integer"} & set(types):
                classes |= {str, list}  # a quirk: where there is a format, both are let in
            whole = "integer" in types and "number" not in types
            found = self._plains[key] = _of_classes(frozenset(classes), nullable, whole=whole)
        return found

    def _list(self, schema: Schema, c: Constraints) -> Valid | None:
        item = self._valid(schema.items) if schema.items is not None else None
        least, most, unique = *_bounds(c.min_items, c.max_items), c.unique_items
        if item is None and (least, most) == _ANY_SIZE and not unique:
            return None

        def valid(value: Any) -> bool:
            if not least <= len(value) <= most:
                return False
            if item is not None:
                for x in value:
                    if not item(x):
                        return False
            return not unique or not has_duplicates(value)

        return valid

    def _map(self, schema: Schema, c: Constraints) -> Valid | None:
        fields: dict[str, Valid | None] = {}
        defaulted = set()
        for p in schema.properties.values():
            below = schema.meta if p.schema.typed else p.schema
            fields[p.name] = self._valid(below) if below is not None else None
            if p.default is not None:
                defaulted.add(p.name)
        needed = tuple(name for name in c.required if name not in defaulted)
        each = self._valid(schema.values) if schema.values is not None else None
        least, most = size = _bounds(c.min_properties, c.max_properties)
        closed = c.closed
        checked = {name: run for name, run in fields.items() if run is not None}
        if not (checked or needed or each or closed or size != _ANY_SIZE):
            return None
        get = checked.get

        def valid(value: Any) -> bool:
            if not least <= len(value) <= most:
                return False
            if closed and value:
                return False
            for name in needed:
                if name not in value:
                    return False
            for name, x in value.items():
                run = get(name)
                if run is None and each is not None and name not in fields:
                    run = each
                if run is not None and not run(x):
                    return False
            return True

        return valid

    def _junctors(self, c: Constraints) -> Valid | None:
        if not (c.all_of or c.any_of or c.one_of or c.not_ is not None):
            return None
        all_of = [self._valid(s) for s in c.all_of]
        any_of = [self._valid(s) for s in c.any_of]
        one_of = [self._valid(s) for s in c.one_of]
        negated = self._valid(c.not_) if c.not_ is not None else None
        refuses_all = c.not_ is not None and negated is None

        def valid(value: Any) -> bool:
            if any_of and not any(run is None or run(value) for run in any_of):
                return False
            if one_of and sum(1 for run in one_of if run is None or run(value)) != 1:
                return False
            if not all(run is None or run(value) for run in all_of):
                return False
            return not refuses_all and (negated is None or not negated(value))

        return valid


_CLASSES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,),
        "array": (list,), "object": (dict,),
    }
)  # fmt: skip


def _of_classes(classes: frozenset[type], nullable: bool, *, whole: bool) -> Valid:
    """`whole`: a float will do if it is a whole number."""

    def valid(value: Any) -> bool:
        kind = value.__class__
        if kind in classes:
            return True
        if value is None:
            return nullable
        return whole and kind is float and bool(value.is_integer())

    return valid


_NO_CONSTRAINTS = Constraints()
_ANY_SIZE = (0, sys.maxsize)


def _bounds(least: int | None, most: int | None) -> tuple[int, int]:
    return least or 0, sys.maxsize if most is None else most


def types_of(schema: Schema) -> tuple[str, ...]:
    """The types that a schema names, as OpenAPI calls them."""
    if schema.format == "int-or-string":
        return ("integer", "string")
    if schema.type == "any":
        return ()
    return ("object",) if schema.type == "map" else (schema.type,)


def format_of(schema: Schema) -> str:
    """The format that counts; "" for one that the real server does not look at."""
    return schema.format if formats.known(schema.format) else ""


def matches(pattern: str, text: str) -> bool:
    try:
        return compile_go(pattern).matches(text)
    except GoRegexError:  # of a definition older than the check for it
        return False


def _text(schema: Schema, c: Constraints) -> Valid | None:
    formatted = formats.check(format_of(schema))
    (least, most), pattern = _bounds(c.min_length, c.max_length), c.pattern
    if formatted is None and (least, most) == _ANY_SIZE and not pattern:
        return None
    match = None
    if pattern:
        try:
            match = compile_go(pattern).matches
        except GoRegexError:
            return lambda value: False

    def valid(value: Any) -> bool:
        if not least <= len(value) <= most:
            return False
        if match is not None and not match(value):
            return False
        return formatted is None or formatted(value)

    return valid


def _number(schema: Schema, types: tuple[str, ...], c: Constraints) -> Valid | None:
    kind, form = types[0] if types else "", format_of(schema)
    check = numbers.Limits(
        kind, form, c.minimum, c.maximum, c.multiple_of, c.exclusive_minimum, c.exclusive_maximum
    )
    return None if check.accepts_all else check.valid


def in_enum(value: Any, enum: tuple[Any, ...]) -> bool:
    for allowed in enum:
        if value == allowed and (value is True or value is False) == (
            allowed is True or allowed is False
        ):
            return True
    return False


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON."""
    if a != b:
        return False
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(a, option=sort) == orjson.dumps(b, option=sort)


def has_duplicates(value: list[Any]) -> bool:
    seen = {orjson.dumps(x, option=orjson.OPT_SORT_KEYS) for x in value}
    return len(seen) < len(value)


def has_rules(schema: Schema) -> bool:
    return any(node.rules for node in untyped_nodes(schema))
