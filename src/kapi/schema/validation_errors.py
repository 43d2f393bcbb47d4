"""The words of validation: why an object of a custom kind does not fit its schema.

The slow twin of `validation.py`, in the order and the wording of kube-openapi: type, junctors,
text, format, number, list, enum, map. A finding is told once per text. Of alternatives (anyOf,
oneOf) the one that came furthest tells its findings; how far is the number of checks it passed.

Some findings are about the whole object: their field is `<nil>` and the place stands in the text.
On update, what did not change is not complained of (`correlation.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from kapi.errors import FieldError, bounded_findings, quote
from kapi.schema import formats, numbers
from kapi.schema.correlation import Past
from kapi.schema.structural import Constraints, Schema
from kapi.schema.validation import (
    format_of,
    has_duplicates,
    in_enum,
    matches,
    types_of,
)

NOWHERE = "<nil>"
_INVALID, _TYPE, _REQUIRED = "FieldValueInvalid", "FieldValueTypeInvalid", "FieldValueRequired"
_NO_CONSTRAINTS = Constraints()


def findings(
    schema: Schema, value: Any, *, at: str = "", past: Past | None = None
) -> list[FieldError]:
    """What is wrong with a value. `at`: where it stands, which only the fields of findings say.

    `past`: what it was before an update.
    """
    found = _Walk(at).ratcheted(schema, value, "", past)
    return list(found.errors.values())


class _Result:
    """Findings by their text, and the checks that were passed."""

    __slots__ = ("errors", "passed")

    def __init__(self) -> None:
        self.errors: dict[str, FieldError] = {}
        self.passed = 0

    def merge(self, other: _Result) -> None:
        for text, error in other.errors.items():
            self.errors.setdefault(text, error)
        self.passed += other.passed


class _Walk:
    def __init__(self, at: str) -> None:
        self._at = at

    # -- findings ---------------------------------------------------------------------------------

    def _field(self, path: str) -> str:
        name = path.removeprefix(".")
        if not name:
            return self._at or NOWHERE
        return f"{self._at}.{name}" if self._at else name

    def _add(self, result: _Result, path: str, text: str, reason: str, value: Any) -> None:
        found = FieldError(self._field(path), reason, value, text)
        result.errors.setdefault(text, found)

    def _plain(self, result: _Result, text: str) -> None:
        """A finding that is about no field."""
        found = FieldError(self._at or NOWHERE, _INVALID, "", text)
        result.errors.setdefault(text, found)

    # -- the walk ---------------------------------------------------------------------------------

    def ratcheted(self, schema: Schema, value: Any, path: str, past: Past | None) -> _Result:
        result = self.value(schema, value, path, past)
        if result.errors and past is not None and past.unchanged:
            return _Result()
        return result

    def value(self, schema: Schema, value: Any, path: str, past: Past | None) -> _Result:
        result = _Result()
        c = schema.constraints or _NO_CONSTRAINTS
        types, form = types_of(schema), format_of(schema)
        if value is None:
            result.merge(self._type(schema, types, form, value, path))
            result.merge(self._enum(schema, value, path))
            return result
        parts: list[_Result] = []
        if types or form:
            parts.append(self._type(schema, types, form, value, path))
        parts.append(self._junctors(c, value, path, past))
        if isinstance(value, str):
            parts.append(self._text(c, value, path))
            if formats.check(form) is not None:
                parts.append(self._format(form, value, path))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            parts.append(self._number(types, form, c, value, path))
        elif isinstance(value, list):
            parts.append(self._list(schema, c, value, path, past))
        parts.append(self._enum(schema, value, path))
        if isinstance(value, dict):
            parts.append(self._map(schema, c, value, path, past))
        for part in parts:
            result.merge(part)
        result.passed += len(parts) + 1
        return result

    def _type(
        self, schema: Schema, types: Sequence[str], form: str, value: Any, path: str
    ) -> _Result:
        result = _Result()
        wanted, what = ",".join(types), _kind(value)
        wrong = ""
        if value is None:
            if types and not schema.nullable:
                wrong = f"{wanted}: {quote('null')}"
        elif not _fits(types, what, value):
            is_text = isinstance(value, str | list)
            numeric = "integer" in types or "number" in types
            if form and not is_text and not _same_format(form, value):
                what = _native_format(value)
                wrong = f"{form}: {quote(what)}"
            elif not form or not is_text or numeric:
                wrong = f"{wanted}: {quote(what)}"
        if not wrong:
            result.passed = 1
            return result
        self._add(result, path, f"{path} in body must be of type {wrong}", _TYPE, what)
        return result

    def _enum(self, schema: Schema, value: Any, path: str) -> _Result:
        result = _Result()
        if schema.enum and (value is None or not in_enum(value, schema.enum)):
            allowed = [x if isinstance(x, str) else orjson.dumps(x).decode() for x in schema.enum]
            listed = ", ".join(map(quote, allowed))
            error = FieldError(
                self._field(path), "FieldValueNotSupported", value, f"supported values: {listed}"
            )
            result.errors[f"{path} in body should be one of {listed}"] = error
        return result

    def _text(self, c: Constraints, value: str, path: str) -> _Result:
        result = _Result()
        if c.max_length is not None and len(value) > c.max_length:
            unit = "byte" if c.max_length == 1 else "bytes"
            text = f"may not be more than {c.max_length} {unit}"
            error = FieldError(self._field(path), "FieldValueTooLong", value, text)
            result.errors[f"{path} in body {text}"] = error
        elif c.min_length is not None and len(value) < c.min_length:
            text = f"{path} in body should be at least {c.min_length} chars long"
            self._add(result, path, text, _INVALID, value)
        elif c.pattern and not matches(c.pattern, value):
            self._add(result, path, f"{path} in body should match '{c.pattern}'", _INVALID, value)
        return result

    def _format(self, form: str, value: str, path: str) -> _Result:
        result = _Result()
        check = formats.check(form)
        if check is not None and not check(value):
            text = f"{path} in body must be of type {form}: {quote(value)}"
            self._add(result, path, text, _TYPE, value)
        return result

    def _number(
        self, types: Sequence[str], form: str, c: Constraints, value: int | float, path: str
    ) -> _Result:
        result = _Result()
        limits = numbers.Limits(
            types[0] if types else "", form, c.minimum, c.maximum, c.multiple_of,
            c.exclusive_minimum, c.exclusive_maximum,
        )  # fmt: skip
        for text, bad in limits.complaints(value):
            text = text.replace("{}", path, 1)
            if bad is None:
                self._plain(result, text)
            else:
                self._add(result, path, text, _INVALID, bad)
        result.passed += 1
        return result

    def _list(
        self, schema: Schema, c: Constraints, value: list[Any], path: str, past: Past | None
    ) -> _Result:
        result = _Result()
        if schema.items is not None:
            for i, x in enumerate(value):
                before = past.item(i) if past is not None else None
                result.merge(self.ratcheted(schema.items, x, f"{path}[{i}]", before))
        size = len(value)
        if c.min_items is not None and size < c.min_items:
            text = f"{path} in body should have at least {c.min_items} items"
            self._add(result, path, text, _INVALID, size)
        if c.max_items is not None and size > c.max_items:
            self._too_many(result, path, size, c.max_items)
        if c.unique_items and has_duplicates(value):
            self._add(result, path, f"{path} in body shouldn't contain duplicates", _INVALID, "")
        result.passed += 1
        return result

    def _too_many(self, result: _Result, path: str, size: int, most: int) -> None:
        unit = "item" if most == 1 else "items"
        text = f"must have at most {most} {unit}"
        error = FieldError(self._field(path), "FieldValueTooMany", size, text)
        result.errors[f"{path} in body {text}"] = error

    def _map(
        self, schema: Schema, c: Constraints, value: dict[str, Any], path: str, past: Past | None
    ) -> _Result:
        result = _Result()
        size = len(value)
        if c.min_properties is not None and size < c.min_properties:
            text = f"{path} in body should have at least {c.min_properties} properties"
            self._add(result, path, text, _INVALID, size)
        if c.max_properties is not None and size > c.max_properties:
            self._too_many(result, path, size, c.max_properties)
        for name, below, at in self._members(schema, value, path):
            before = past.field(name) if past is not None else None
            if not path and name in ("kind", "apiVersion"):
                before = None
            result.merge(self.ratcheted(below, value[name], at, before))
        if c.closed:
            for name in value:
                text = f"{path}.{name} in body is a forbidden property"
                self._add(result, f"{path}.{name}", text, _INVALID, "")
        for name in c.required:
            p = schema.properties.get(name)
            if name not in value and (p is None or p.default is None):
                error = FieldError(self._field(f"{path}.{name}"), _REQUIRED)
                result.errors.setdefault(f"{path}.{name} in body is required", error)
        return result

    def _members(
        self, schema: Schema, value: dict[str, Any], path: str
    ) -> Iterator[tuple[str, Schema, str]]:
        """Members that have a schema, in the order of their names, and where they stand."""
        for name in sorted(value):
            p = schema.properties.get(name)
            if p is not None:
                below = schema.meta if p.schema.typed else p.schema
                if below is not None:
                    yield name, below, f"{path}.{name}" if path else name
            elif schema.values is not None and not schema.typed:
                yield name, schema.values, f"{path}.{name}"

    # -- junctors ---------------------------------------------------------------------------------

    def _junctors(self, c: Constraints, value: Any, path: str, past: Past | None) -> _Result:
        result = _Result()
        place = quote(path)
        if c.any_of:
            tried, good = self._alternatives(c.any_of, value, path, past, first_only=True)
            if not good:
                self._plain(result, f"{place} must validate at least one schema (anyOf)")
            result.merge(good[0] if good else _furthest(tried))
        if c.one_of:
            tried, good = self._alternatives(c.one_of, value, path, past, first_only=False)
            if len(good) != 1:
                how = f"Found {len(good)} valid alternatives" if good else "Found none valid"
                text = f"{place} must validate one and only one schema (oneOf). {how}"
                self._plain(result, text)
            if len(good) == 1:
                result.merge(good[0])
            elif not good:
                result.merge(_furthest(tried))
        if c.all_of:
            tried, good = self._alternatives(c.all_of, value, path, past, first_only=False)
            for each in tried:
                result.merge(each)
            if len(good) != len(tried):
                none = "" if good else ". None validated"
                self._plain(result, f"{place} must validate all the schemas (allOf){none}")
        if (
            c.not_ is not None
            and not self._alternatives([c.not_], value, path, past, first_only=False)[0][0].errors
        ):
            self._plain(result, f"{place} must not validate the schema (not)")
        result.passed += 1
        return result

    def _alternatives(
        self,
        schemas: Sequence[Schema],
        value: Any,
        path: str,
        past: Past | None,
        *,
        first_only: bool,
    ) -> tuple[list[_Result], list[_Result]]:
        """What each says, and of these the ones that have nothing against the value."""
        tried: list[_Result] = []
        for schema in schemas:
            with bounded_findings(told=False):
                tried.append(self.value(schema, value, path, past))
            if first_only and not tried[-1].errors:
                break
        return tried, [each for each in tried if not each.errors]


def _furthest(tried: Sequence[_Result]) -> _Result:
    return max(tried, key=lambda result: result.passed)  # of equal ones the first


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _fits(types: Sequence[str], what: str, value: Any) -> bool:
    if not types or what in types:
        return True
    if what == "number":
        return "integer" in types and float(value).is_integer()
    return what == "integer" and "number" in types


def _native_format(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return "int64" if isinstance(value, int) else "float64"


def _same_format(form: str, value: Any) -> bool:
    return form == _native_format(value)
