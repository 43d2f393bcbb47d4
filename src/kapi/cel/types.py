"""The types of CEL, and which value may stand where: unification with type parameters.

Pure. `Unifier` is the checker's state of type variables; a failed attempt leaves no trace.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Kind = Literal[
    "bool", "int", "uint", "double", "string", "bytes", "duration", "timestamp", "null_type",
    "dyn", "error", "type", "list", "map", "struct", "opaque", "param",
]  # fmt: skip
_SHOWN = {"error": "!error!", "null_type": "null"}


class Type:
    """`convert`: makes a value of data that is declared to have this type; None: it is one."""

    __slots__ = ("convert", "elements_max", "kind", "name", "params")

    def __init__(
        self,
        kind: Kind,
        name: str = "",
        params: Sequence[Type] = (),
        convert: Callable[[Any], Any] | None = None,
        elements_max: int | None = None,
    ) -> None:
        """`elements_max`: the size that data of this type can have, for estimates of costs."""
        self.kind = kind
        self.name = name or kind
        self.params = tuple(params)
        self.convert = convert
        self.elements_max = elements_max

    def __str__(self) -> str:
        """As issues name it."""
        if self.params:
            return f"{self.name}({', '.join(map(str, self.params))})"
        return _SHOWN.get(self.kind, self.name)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.params == other.params
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name))


class StructType(Type):
    """An object with known fields, by their escaped names."""

    __slots__ = ("fields", "keys")

    def __init__(
        self, name: str, fields: Mapping[str, Type], keys: Mapping[str, str] | None = None
    ) -> None:
        """`keys`: the names of fields in the data, where they are others."""
        super().__init__("struct", name)
        self.fields = fields
        self.keys = keys or {}

    def field(self, name: str) -> Type | None:
        return self.fields.get(self.spelled(name))

    def spelled(self, name: str) -> str:
        """A field's name as declared; a word of the language may stand for its escaped form."""
        return name if name in self.fields else f"__{name}__"


BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
DURATION = Type("duration", "google.protobuf.Duration")
TIMESTAMP = Type("timestamp", "google.protobuf.Timestamp")
NULL, DYN, ERROR, TYPE = Type("null_type"), Type("dyn"), Type("error"), Type("type")
SIMPLE = {
    t.kind: t
    for t in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DURATION, TIMESTAMP, NULL, DYN, TYPE)
}
OPTIONAL = "optional_type"
_SHOWN["duration"], _SHOWN["timestamp"] = "duration", "timestamp"


def list_of(item: Type) -> Type:
    return Type("list", "list", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(inner: Type) -> Type:
    return Type("opaque", OPTIONAL, (inner,))


def opaque(name: str) -> Type:
    return Type("opaque", name)


def type_of(inner: Type) -> Type:
    return Type("type", "type", (inner,))


def param(name: str) -> Type:
    return Type("param", name)


def is_optional(t: Type) -> bool:
    return t.kind == "opaque" and t.name == OPTIONAL


def is_dyn(t: Type) -> bool:
    return t.kind in ("dyn", "error")


def plain(t: Type) -> Type:
    """The type inside of an optional, or the type."""
    return t.params[0] if is_optional(t) else t


class Unifier:
    """Which types the type variables stand for."""

    __slots__ = ("_count", "_known")

    def __init__(self) -> None:
        self._known: dict[str, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        self._count += 1
        return param(f"_var{self._count - 1}")

    def assignable(self, wanted: Type, given: Type) -> bool:
        return self.all_assignable((wanted,), (given,))

    def all_assignable(self, wanted: Sequence[Type], given: Sequence[Type]) -> bool:
        if len(wanted) != len(given):
            return False
        before = dict(self._known) if self._known else {}
        if all(self._fits(a, b) for a, b in zip(wanted, given, strict=True)):
            return True
        self._known = before
        return False

    def resolve(self, t: Type, *, to_dyn: bool = False) -> Type:
        """A type with its variables replaced by what is known; `to_dyn`: the unknown by dyn."""
        if t.kind == "param":
            found = self._known.get(t.name)
            if found is not None:
                return self.resolve(found, to_dyn=to_dyn)
            return DYN if to_dyn else t
        if not t.params:
            return t
        params = tuple(self.resolve(p, to_dyn=to_dyn) for p in t.params)
        return t if params == t.params else Type(t.kind, t.name, params)

    def _fits(self, a: Type, b: Type) -> bool:
        if a is b and a.kind != "param" and not a.params:
            return True
        if b.kind == "param":
            valid, tracked = self._substitutes(a, b)
            if valid or tracked:
                return valid
        if a.kind == "param":
            return self._substitutes(b, a)[0]
        if is_dyn(a) or is_dyn(b):
            return True
        if a.kind == "null_type":
            return _nullable(b)
        if b.kind == "null_type":
            return _nullable(a)
        if a.kind != b.kind:
            return False
        if a.kind == "type":
            return True
        if a.name != b.name or len(a.params) != len(b.params):
            return False
        return all(map(self._fits, a.params, b.params))

    def _substitutes(self, t: Type, variable: Type) -> tuple[bool, bool]:
        """Whether a type can stand for a variable; whether the variable had one before."""
        if t == variable:
            return True, True
        known = self._known.get(variable.name)
        if known is not None:
            if t == known:
                return True, True
            if self._fits(t, known):
                general = more_general(t, known)
                if not self._occurs(variable, general):
                    self._known[variable.name] = general
                return True, True
            return False, True
        if not self._occurs(variable, t):
            self._known[variable.name] = t
            return True, False
        return False, False

    def _occurs(self, variable: Type, t: Type) -> bool:
        if t.kind == "param":
            if t.name == variable.name:
                return True
            known = self._known.get(t.name)
            return known is not None and self._occurs(variable, known)
        return any(self._occurs(variable, p) for p in t.params)


def _nullable(t: Type) -> bool:
    return t.kind in ("opaque", "struct", "duration", "timestamp", "null_type")


def more_general(a: Type, b: Type) -> Type:
    return a if _at_most_as_specific(a, b) else b


def _at_most_as_specific(a: Type, b: Type) -> bool:
    if a.kind in ("dyn", "param"):
        return True
    if b.kind in ("dyn", "param") or a.kind != b.kind:
        return False
    if a.kind == "type":
        return True
    if a.kind in ("opaque", "list", "map"):
        if a.name != b.name or len(a.params) != len(b.params):
            return False
        return all(map(_at_most_as_specific, a.params, b.params))
    return a == b


def joined(args: Sequence[Type]) -> str:
    return ", ".join(map(str, args))


def signature(args: Sequence[Type], *, member: bool) -> str:
    """Arguments as issues show them: `(int, string)`, `string.(int)`."""
    if member:
        return f"{args[0]}.({joined(args[1:])})"
    return f"({joined(args)})"
