"""Rules that the API's types declare of their fields, and the walk that finds what breaks them.

The types of the API carry rules as markers: required, at most so many items, unique by a key, fixed
once written. The real server checks them after everything else, in the order of the fields, and
leaves alone what an update did not change. A group keeps its rules as a table of structs by name;
a strategy appends `findings(...)` to its own, which do not look for the same things.

One field: a value that did not change is skipped. The gates all speak, and one of them that does
ends it, as an absent value does. Then come the checks, then what is inside. An item of a list is
compared with the old item that `match` finds, and skipped if it is the same. Pure.
https://kubernetes.io/docs/reference/using-api/declarative-validation/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kapi.codec.spelled import same
from kapi.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    too_long,
    too_many,
)
from kapi.errors import (
    required as missing,
)
from kapi.kinds.shared import checks

Json = dict[str, Any]
Check = Callable[[Any, str], list[FieldError]]  # (value, path)
Gate = Callable[[Any, Any, str, bool], list[FieldError]]  # (value, old value, path, update)

THEMSELVES: tuple[str, ...] = ()  # scalar items are found again, and told apart, by themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The rules of one field of a struct."""

    name: str
    pointer: bool = False  # only null is absent; otherwise what is empty is, too
    gates: Sequence[Gate] = ()
    unique: Sequence[str] | None = None  # the keys of its items, or THEMSELVES
    checks: Sequence[Check] = ()
    items: Sequence[Check] = ()  # of each item of a list
    keys: Sequence[Check] = ()  # of each key of a map
    type: str = ""  # the struct of the value; without `pointer` it is there even if nobody wrote it
    each: str = ""  # the struct of the items of a list, or of the values of a map
    match: Sequence[str] | None = None  # how an item is found in the old list; None: it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A field that another one, the mode, asks for or forbids."""

    name: str
    mode: str  # the field that decides
    value: str  # the only value with which the member may stand
    required: bool = False  # and then must


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    fields: Sequence[Field] = ()
    union: Sequence[str] = ()  # exactly one of these fields is set
    members: Sequence[Member] = ()


Types = Mapping[str, Struct]


def findings(types: Types, name: str, obj: Json, old: Json | None) -> list[FieldError]:
    """What breaks the declared rules of an object; `old` is None on create."""
    return _struct(types, types[name], obj, old, "", old is not None)


def _struct(
    types: Types, struct: Struct, obj: Json, old: Json | None, path: str, update: bool
) -> list[FieldError]:
    out = _union(struct.union, obj, old, path) if struct.union else []
    for member in struct.members:
        out += _member(member, obj, old, path)
    for field in struct.fields:
        value = obj.get(field.name)
        before = None if old is None else old.get(field.name)
        if old is not None and _same(value, before, pointer=field.pointer):
            continue
        where = f"{path}.{field.name}" if path else field.name
        out += _field(types, field, value, before, where, update)
    return out


def _same(value: Any, old: Any, *, pointer: bool) -> bool:
    if pointer and (value is None) != (old is None):
        return False
    return same(value or None, old or None)


def _field(
    types: Types, field: Field, value: Any, old: Any, path: str, update: bool
) -> list[FieldError]:
    if field.type and not field.pointer:
        value = value or {}
    out: list[FieldError] = []
    for gate in field.gates:
        out += gate(value, old, path, update)
    if out or value is None or not (value or field.pointer or field.type):
        return out
    if field.unique is not None:
        out += _repeated(value, field.unique, path)
    for check in field.checks:
        out += check(value, path)
    for check in field.keys:
        for key in value:
            if key not in (old or ()):
                out += check(key, path)
    if field.type:
        out += _struct(types, types[field.type], value, old, path, update)
    elif isinstance(value, list):
        out += _items(types, field, value, old or [], path, update)
    elif field.each:
        out += _values(types, field, value, old or {}, path, update)
    return out


def _items(
    types: Types, field: Field, value: list[Any], old: list[Any], path: str, update: bool
) -> list[FieldError]:
    out: list[FieldError] = []
    for i, item in enumerate(value):
        before = None if field.match is None else _again(item, old, field.match)
        if before is not None and same(before, item):
            continue
        for check in field.items:
            out += check(item, f"{path}[{i}]")
        if field.each:
            out += _struct(types, types[field.each], item, before, f"{path}[{i}]", update)
    return out


def _values(
    types: Types, field: Field, value: Json, old: Json, path: str, update: bool
) -> list[FieldError]:
    out: list[FieldError] = []
    for key, item in value.items():
        before = old.get(key)
        if before is None or not same(before, item):
            struct = types[field.each]
            out += _struct(types, struct, item or {}, before, f"{path}[{key}]", update)
    return out


def _key(item: Any, keys: Sequence[str]) -> Any:
    """What tells an item from others; a key that is absent is as good as an empty one."""
    return tuple(item.get(key) or None for key in keys) if keys else item


def _again(item: Any, old: list[Any], keys: Sequence[str]) -> Any:
    wanted = _key(item, keys)
    return next((other for other in old if _key(other, keys) == wanted), None)


def _repeated(items: list[Any], keys: Sequence[str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[Any] = set()
    for i, item in enumerate(items):
        key = _key(item, keys)
        if key in seen:
            out.append(duplicate(f"{path}[{i}]", checks.go_json(item) if keys else item))
        seen.add(key)
    return out


def _union(members: Sequence[str], obj: Json, old: Json | None, path: str) -> list[FieldError]:
    def chosen(value: Json) -> list[str]:
        return [name for name in members if value.get(name) not in (None, [])]

    given = chosen(obj)
    if old is not None and given == chosen(old):
        return []
    listed = ", ".join(f"`{name}`" for name in members)
    if not given:
        return [invalid_value(path, "", f"must specify one of: {listed}")]
    if len(given) > 1:
        text = f"must specify exactly one of: {listed}"
        return [invalid_value(path, "{" + ", ".join(given) + "}", text)]
    return []


def _member(member: Member, obj: Json, old: Json | None, path: str) -> list[FieldError]:
    value, mode = obj.get(member.name), obj.get(member.mode) or ""
    if old is not None and mode == (old.get(member.mode) or "") and value == old.get(member.name):
        return []
    where = f"{path}.{member.name}" if path else member.name
    if mode != member.value:
        return [] if value is None else [field_forbidden(where, "")]
    return [missing(where)] if value is None and member.required else []


# -- gates --------------------------------------------------------------------------------------


def required(value: Any, old: Any, path: str, update: bool) -> list[FieldError]:
    return [] if value else [missing(path)]


def there(value: Any, old: Any, path: str, update: bool) -> list[FieldError]:
    """A pointer that is required may point to something empty."""
    return [missing(path)] if value is None else []


def immutable(value: Any, old: Any, path: str, update: bool) -> list[FieldError]:
    """Only a value that changed gets here."""
    return [invalid_value(path, None, checks.IMMUTABLE)] if update else []


def unmodified(value: Any, old: Any, path: str, update: bool) -> list[FieldError]:
    """It may come and go, but not become another."""
    if not update or old is None or value is None:
        return []
    return [invalid_value(path, None, "field cannot be modified once set")]


def max_items(most: int) -> Gate:
    def gate(value: Any, old: Any, path: str, update: bool) -> list[FieldError]:
        count = len(value or ())
        return [too_many(path, count, most)] if count > most else []

    return gate


# -- checks -------------------------------------------------------------------------------------


def one_of(*supported: str) -> Check:
    def check(value: Any, path: str) -> list[FieldError]:
        return [] if value in supported else [not_supported(path, value, sorted(supported))]

    return check


def max_bytes(most: int) -> Check:
    def check(value: Any, path: str) -> list[FieldError]:
        return [too_long(path, most)] if len(value.encode()) > most else []

    return check


def between(least: int, most: int) -> Check:
    def check(value: Any, path: str) -> list[FieldError]:
        if value < least:
            text = f"must be greater than or equal to {least}"
        elif value > most:
            text = f"must be less than or equal to {most}"
        else:
            return []
        return [invalid_value(path, value, text)]

    return check
