"""The type that a schema of a custom kind declares for expressions, and what its data becomes.

Fields have escaped names: `a-b` is `a__dash__b`, a word of the language `__for__`; what cannot be
said, and what no schema describes, is not there. Times, bytes and numbers are converted when an
expression takes them; lists of type set and map compare in any order. Bounds (maxLength,
maxItems …) become sizes for estimates.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-path
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from kapi.cel.lib_standard import parse_timestamp
from kapi.cel.types import (
    BOOL,
    INT,
    STRING,
    StructType,
    Type,
)
from kapi.cel.values import Duration, EvalError, MapList, SetList, Timestamp
from kapi.schema.scalars import parse_duration
from kapi.schema.structural import Constraints, Property, Schema

REQUEST_BYTES_MAX = 3 * 1024 * 1024
# Bytes of the smallest and of the largest of a kind, in JSON with its quotes.
_STRING_LEAST, _BOOL_LEAST, _NUMBER_LEAST, _DURATION_LEAST, _TIME_LEAST = 2, 4, 1, 3, 21
_DATE_BYTES, _DURATION_MOST, _TIME_MOST = 12, 32, 32
_NO_CONSTRAINTS = Constraints()
_WORDS = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
     "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_./-]*\Z")


def escape(name: str) -> str | None:
    """A field's name as an expression says it; None: it cannot."""
    if not _NAME.match(name):
        return None
    if name in _WORDS:
        return f"__{name}__"
    if name.isalnum():
        return name
    for plain, escaped in _ESCAPES:
        name = name.replace(plain, escaped)
    return name


class Declared:
    """A type, and the least that data of it takes in JSON."""

    __slots__ = ("bytes_least", "type")

    def __init__(self, t: Type, bytes_least: int) -> None:
        self.type = t
        self.bytes_least = bytes_least


class DeclaredStruct(StructType):
    """An object that a schema describes: walked through as it is."""

    __slots__ = ()
    raw = True


Made = dict[int, "Declared | None"]  # by the identity of schemas that live as long


def declare(
    schema: Schema, *, root: bool, name: str = "selfType", made: Made | None = None
) -> Declared | None:
    """None: an expression cannot speak of it. `root`: whether it is an object with a kind. `made`:
    what was declared before, of the same tree of schemas."""
    if made is None:
        return _declared(schema, name, {}, root=root)
    if id(schema) not in made:
        made[id(schema)] = _declared(schema, name, made, root=root)
    return made[id(schema)]


def _declared(schema: Schema, name: str, made: Made, *, root: bool) -> Declared | None:
    c = schema.constraints or _NO_CONSTRAINTS
    if schema.format == "int-or-string":
        most = _characters(c.max_length) if c.max_length is not None else REQUEST_BYTES_MAX - 2
        return Declared(Type("dyn", elements_max=most), 1)
    if schema.type == "array":
        return _list(schema, c, name, made)
    if schema.type in ("object", "map"):
        if schema.values is not None and not _anything(schema.values):
            return _map(schema, c, name, made)
        return _object(schema, name, made, root=root)
    if schema.type == "string":
        return _string(schema, c)
    return _SCALARS.get(schema.type)


def _anything(schema: Schema) -> bool:
    """Whether it is what `additionalProperties: true` says."""
    return schema.type == "any" and not schema.preserve_unknown and not schema.format


def _double(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


_SCALARS = {
    "boolean": Declared(BOOL, _BOOL_LEAST),
    "integer": Declared(INT, _NUMBER_LEAST),
    "number": Declared(Type("double", convert=_double), _NUMBER_LEAST),
}


def _characters(count: int) -> int:
    """Bytes of a text of so many characters, at most."""
    return max(count, 0) * 4


def _string(schema: Schema, c: Constraints) -> Declared:
    form, whole = schema.format, REQUEST_BYTES_MAX - 2
    if form == "byte":
        most = max(c.max_length, 0) if c.max_length is not None else whole
        return Declared(Type("bytes", convert=_bytes, elements_max=most), _STRING_LEAST)
    if form in _FORMATS:
        kind, name, convert, most, least = _FORMATS[form]
        return Declared(Type(kind, name, convert=convert, elements_max=most), least)
    if c.max_length is not None:
        most = _characters(c.max_length)
    elif schema.enum:
        most = max((len(v.encode()) for v in schema.enum if isinstance(v, str)), default=0)
    else:
        most = whole
    return Declared(Type("string", elements_max=most), _STRING_LEAST)


def _list(schema: Schema, c: Constraints, name: str, made: Made) -> Declared | None:
    if schema.items is None:
        return None
    own = schema.items.embedded_resource
    item = declare(schema.items, root=own, name=f"{name}.@idx", made=made)
    if item is None:
        return None
    most = (REQUEST_BYTES_MAX - 2) // (item.bytes_least + 1)
    if c.max_items is not None:
        most = max(c.max_items, 0)
    t = Type("list", "list", (item.type,), _convert_list(schema, item.type), most)
    return Declared(t, 2)


def _map(schema: Schema, c: Constraints, name: str, made: Made) -> Declared | None:
    assert schema.values is not None
    own = schema.values.embedded_resource
    value = declare(schema.values, root=own, name=f"{name}.@elem", made=made)
    if value is None:
        return None
    most = (REQUEST_BYTES_MAX - 2) // (value.bytes_least + 6)
    if c.max_properties is not None:
        most = max(c.max_properties, 0)
    inner = value.type.convert
    convert: Callable[[Any], Any] | None = None
    if inner is not None:
        of_value = inner

        def convert(data: Any) -> Any:
            return {k: v if v is None else of_value(v) for k, v in data.items()}

    return Declared(Type("map", "map", (STRING, value.type), convert, most), 2)


def _object(schema: Schema, name: str, made: Made, *, root: bool) -> Declared:
    c = schema.constraints or _NO_CONSTRAINTS
    fields: dict[str, Type] = {}
    keys: dict[str, str] = {}
    least = 2
    for p in schema.properties.values():
        escaped = escape(p.name)
        below = _field(schema, p, f"{name}.{escaped}", made, root=root)
        if below is None:
            continue
        if escaped is not None:
            fields[escaped] = below.type
            if escaped != p.name:
                keys[escaped] = p.name
        if p.name in c.required and p.default is None:
            least += len(p.name.encode()) + below.bytes_least + 4
    t = DeclaredStruct(name, fields, keys)
    t.convert = _convert_object(t)
    return Declared(t, least)


def _field(schema: Schema, p: Property, name: str, made: Made, *, root: bool) -> Declared | None:
    if root and p.name in ("apiVersion", "kind", "metadata"):
        return _of_every_kind(schema, p)
    if p.schema.typed:
        return None
    return declare(p.schema, root=p.schema.embedded_resource, name=name, made=made)


def _of_every_kind(schema: Schema, p: Property) -> Declared:
    """apiVersion, kind and metadata: of the latter only the names."""
    if p.name != "metadata":
        return _PLAIN_STRING
    names = ("name", "generateName")
    fields = dict.fromkeys(names, _PLAIN_STRING.type)
    given = schema.meta.properties if schema.meta is not None else {}
    if all(n in given and given[n].schema.type == "string" for n in names):
        fields = {n: _string(given[n].schema, given[n].schema.constraints or _NO_CONSTRAINTS).type
                  for n in names}  # fmt: skip
    return Declared(DeclaredStruct("selfType.metadata", fields), 2)


_PLAIN_STRING = Declared(Type("string", elements_max=REQUEST_BYTES_MAX - 2), _STRING_LEAST)


# -- data -----------------------------------------------------------------------------------------


def _convert_list(schema: Schema, item: Type) -> Callable[[Any], Any] | None:
    inner = item.convert
    if schema.list_type == "atomic":
        if inner is None:
            return None
        return lambda data: [x if x is None else inner(x) for x in data]
    keys = schema.list_keys
    of_map = schema.list_type == "map"

    def convert(data: Any) -> Any:
        items = data if inner is None else [x if x is None else inner(x) for x in data]
        if not of_map:
            return SetList(items)
        out = MapList(items)
        out.keys = keys
        return out

    return convert


def _convert_object(t: DeclaredStruct) -> Callable[[Any], Any] | None:
    """Fields under their escaped names, nulls left out; None: data is as it should be but for
    nulls and fields that nobody declared."""
    names = {t.keys.get(escaped, escaped): escaped for escaped in t.fields}
    converts = {key: t.fields[escaped].convert for key, escaped in names.items()}

    def convert(data: Any) -> Any:
        out = {}
        for key, value in data.items():
            if value is None:
                continue
            inner = converts.get(key)
            out[names.get(key, key)] = value if inner is None else inner(value)
        return out

    return convert


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as e:
        raise EvalError(f"Invalid byte formatted string {value}: {e}") from None


def _duration(value: str) -> Duration:
    try:
        return Duration(round(parse_duration(value)))
    except ValueError as e:
        raise EvalError(f"Invalid duration {value}: {e}") from None


def _date(value: str) -> Timestamp:
    found = parse_timestamp(f"{value}T00:00:00Z")
    if found is None:
        raise EvalError(f"Invalid date formatted string {value}")
    return found


def _date_time(value: str) -> Timestamp:
    text = value.replace("t", "T").replace(" ", "T").replace("z", "Z")
    found = parse_timestamp(text) or parse_timestamp(f"{text}Z")
    if found is None:
        raise EvalError(f"Invalid date-time formatted string {value}")
    return found


_FORMATS: dict[str, tuple[Any, str, Callable[[Any], Any], int, int]] = {
    "duration": (
        "duration", Duration.cel_type, _duration, _DURATION_MOST, _DURATION_LEAST,
    ),
    "date": ("timestamp", Timestamp.cel_type, _date, _DATE_BYTES, _DATE_BYTES),
    "date-time": ("timestamp", Timestamp.cel_type, _date_time, _TIME_MOST, _TIME_LEAST),
}  # fmt: skip
__all__ = ["Declared", "declare", "escape"]
