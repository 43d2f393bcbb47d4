"""Typed decoding: a JSON value becomes an object as the Go struct of its kind would hold and
print it.

`decoder(schema)` gives a closure for the hot path. It checks types and ranges, drops what
encoding/json drops (unknown fields, empty optional ones), adds what it adds (zero values of plain
fields), puts fields into the order of the struct and map keys into byte order, and re-spells
quantities and times. It says *that* something is wrong by `Mismatch`, and that there were unknown
fields by a flag; `decoding_errors.py` then walks the same document again, slowly, to say *what*,
in the words of the real server. Called by `handlers/decode.py` and the patch path.

Decoding again what decoding gave changes nothing (a property test holds this). Custom kinds have no
Go types: theirs is `pruning.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.schema.made import Made
from kapi.schema.pruning import compile_pruner
from kapi.schema.scalars import (
    BY_FORMAT,
    Decode,
    Mismatch,
    Unknown,
    read_boolean,
    read_int32,
    read_int64,
    read_number,
    read_raw,
    read_string,
)
from kapi.schema.structural import Property, Schema, untyped_nodes

Json = dict[str, Any]

# How a field of a struct is read: its name, its reader (None: a string), whether an empty value
# makes it vanish, the value that does, and what it prints when it is not given (None: nothing).
Field = tuple[str, "Decode | None", bool, Any, "Callable[[], Any] | None"]
# The fields that a struct prints when those of one combination are given, in their order.
Plan = list[Field]

# Combinations of fields remembered for one struct; past it, they are learnt anew.
PLANS_MAX = 64


class Decoders:
    """Compiled decoders by schema identity. One instance per server; schemas live as long as it
    does.
    """

    def __init__(self, readers: Mapping[str, Decode] = BY_FORMAT) -> None:
        """`readers`: of values whose format says all, by it."""
        self._readers = readers
        self._made: Made[int, tuple[Schema, Decode]] = Made()
        self._compiled = self._made.known
        self._made_zeros: Made[int, tuple[Schema, Callable[[], Any]]] = Made()
        self._zeros = self._made_zeros.known

    def decode(self, schema: Schema, value: Any) -> tuple[Any, bool]:
        """The decoded object, and whether unknown fields were left out. Raises Mismatch."""
        unknown = Unknown()
        return self.decoder(schema)(value, unknown), bool(unknown)

    def decoder(self, schema: Schema) -> Decode:
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]
        # A recursive type meets itself while it is being compiled: that inner place looks it up
        # when called.
        with self._made as made:
            found = made.find(id(schema))
            if found is None:
                made.put(id(schema), (schema, lambda v, u: self._compiled[id(schema)][1](v, u)))
                found = (schema, self._compile(schema))
                made.put(id(schema), found)
            return found[1]

    def zero(self, schema: Schema) -> Callable[[], Any]:
        """Makes the value that a plain (non-pointer) Go field of this type prints when it was never
        set.
        """
        found = self._zeros.get(id(schema))
        if found is not None:
            return found[1]
        with self._made_zeros as made:
            found = made.find(id(schema))
            if found is None:
                made.put(id(schema), (schema, dict))
                found = (schema, self._zero(schema))
                made.put(id(schema), found)
            return found[1]

    def _zero(self, schema: Schema) -> Callable[[], Any]:
        if schema.format in _STRUCT_ZERO:
            zero = _STRUCT_ZERO[schema.format]
            return lambda: zero
        if schema.format == "byte" or schema.type in ("array", "map", "any"):
            return lambda: None
        if schema.type == "object":
            parts = [(p.name, self._absent(p)) for p in schema.properties.values() if emitted(p)]
            if not parts:
                return dict
            return lambda: {name: make() for name, make in parts}
        constant = {"string": "", "integer": 0, "number": 0, "boolean": False}[schema.type]
        return lambda: constant

    def _absent(self, p: Property) -> Callable[[], Any]:
        """What a field that was never set prints."""
        return (lambda: None) if p.pointer else self.zero(p.schema)

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a custom kind's schema and all in it that is its own."""
        for node in untyped_nodes(schema):
            self._compiled.pop(id(node), None)

    def _compile(self, schema: Schema) -> Decode:
        if not schema.typed:
            return compile_pruner(schema, self.decoder)
        if schema.format == "raw" and schema.items is not None:
            return self._schema_or_other(schema, schema.items)
        special = self._readers.get(schema.format)
        if special is not None:
            return special
        match schema.type:
            case "object":
                return self._object(schema)
            case "map":
                return self._map(schema)
            case "array":
                return self._array(schema)
            case "string":
                return read_string
            case "boolean":
                return read_boolean
            case "number":
                return read_number
            case "integer":
                return read_int32 if schema.format == "int32" else read_int64
            case _:
                return read_raw

    def _schema_or_other(self, schema: Schema, items: Schema) -> Decode:
        """Schemas of custom kinds have fields that hold a schema, or a boolean, or a list."""
        props = self.decoder(items)
        flag = schema.go_type.endswith("OrBool")
        strings = schema.go_type.endswith("OrStringArray")

        def decode(value: Any, unknown: Unknown) -> Any:
            # Strict reading does not look in here.
            if value.__class__ is dict:
                return props(value, Unknown())
            if value.__class__ is bool and flag:
                return value
            if value.__class__ is not list or flag:
                raise Mismatch
            wanted = str if strings else dict
            if any(x.__class__ is not wanted for x in value):
                raise Mismatch
            return value if strings else [props(x, Unknown()) for x in value]

        return decode

    def _array(self, schema: Schema) -> Decode:
        assert schema.items is not None
        item = self.decoder(schema.items)
        zero = self.zero(schema.items)

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not list:
                raise Mismatch
            return [zero() if x is None else item(x, unknown) for x in value]

        def decode_strings(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not list:
                raise Mismatch
            for x in value:
                if x.__class__ is not str:
                    return decode(value, unknown)
            return value

        return decode_strings if item is read_string else decode

    def _map(self, schema: Schema) -> Decode:
        assert schema.values is not None
        item = self.decoder(schema.values)
        zero = self.zero(schema.values)

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not dict:
                raise Mismatch
            keys = value if len(value) < 2 else sorted(value)
            return {k: zero() if (x := value[k]) is None else item(x, unknown) for k in keys}

        return decode

    def _object(self, schema: Schema) -> Decode:
        fields = [self._field(p) for p in schema.properties.values()]
        properties = schema.properties
        plans: dict[tuple[str, ...], Plan] = {}

        def plan_of(names: tuple[str, ...]) -> Plan:
            """Made once for each combination of fields; of few, as bodies show few."""
            given = frozenset(names)
            plan = [f for f in fields if f[0] in given or f[4] is not None]
            if all(name in properties for name in names):
                if len(plans) >= PLANS_MAX:
                    plans.clear()
                plans[names] = plan
            return plan

        def decode(value: Any, unknown: Unknown) -> Any:
            if value.__class__ is not dict:
                raise Mismatch
            names = tuple(value)
            plan = plans.get(names)
            if plan is None:
                plan = plan_of(names)
                if names not in plans:
                    unknown.extend(None for name in names if name not in properties)
            get = value.get
            out: Json = {}
            for name, read, vanishes, vanishing, absent in plan:
                x = get(name)
                if x is not None:
                    if read is not None:
                        x = read(x, unknown)
                    elif x.__class__ is not str:
                        raise Mismatch
                    if (x or not vanishes) and (vanishing is None or x != vanishing):
                        out[name] = x
                        continue
                if absent is not None:
                    out[name] = absent()
            return out

        return decode

    def _field(self, p: Property) -> Field:
        read: Decode | None = self.decoder(p.schema)
        if read is read_string:
            read = None
        absent = self._absent(p) if emitted(p) else None
        return p.name, read, vanishes(p), self._vanishing(p), absent

    def _vanishing(self, p: Property) -> Any:
        """For omitzero structs: the value that makes the field vanish."""
        if p.omit_zero and not p.pointer and p.schema.type == "object":
            return self.zero(p.schema)()
        return None


# Formats that are Go structs of their own, and what they print when never set: omitempty leaves
# none of them out.
_STRUCT_ZERO = {
    "quantity": "0",
    "int-or-string": 0,
    "date-time": None,
    "micro-time": None,
    "duration": "0s",
    "raw": None,
}


def emitted(p: Property) -> bool:
    """Whether a field that was never set still appears."""
    if p.omit_zero:
        return False
    if p.pointer:
        return not p.omit_empty
    return not p.omit_empty or p.schema.type == "object" or p.schema.format in _STRUCT_ZERO


def vanishes(p: Property) -> bool:
    """Whether an empty value makes the field vanish. (What is not optional stays: settling.py.)"""
    if p.pointer or p.schema.type == "object" or p.schema.format in _STRUCT_ZERO:
        return False
    return p.omit_empty or p.omit_zero
