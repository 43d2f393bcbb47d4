"""The walkers of `typed.py` by schema: which one a place of an object has.

Made lazily and kept for as long as the server runs, or until a schema is forgotten. Used by
`manager.py` and `configuration.py`; walkers of structs and lists ask it for those below them.
"""

from __future__ import annotations

from kapi.managedfields.typed import AnyWalker, ListWalker, MapWalker, Walker
from kapi.schema.structural import Schema


class Walkers:
    """Walkers by schema. One instance per server."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Schema, Walker]] = {}
        self._untyped: dict[int, bool] = {}
        self._leaf = Walker()
        self._any: AnyWalker | None = None

    def walker(self, schema: Schema | None) -> Walker:
        if schema is None:
            return self._deduced()
        found = self._made.get(id(schema))
        if found is None:
            # The schema is kept beside its walker: its identity must not be given to another.
            found = (schema, self._make(schema))
            self._made[id(schema)] = found
        return found[1]

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a schema and the schemas below it that only it has."""
        pending = [schema]
        while pending:
            gone = pending.pop()
            self._untyped.pop(id(gone), None)
            if self._made.pop(id(gone), None) is not None:
                pending.extend(_below(gone))

    def _deduced(self) -> Walker:
        if self._any is None:
            self._any = AnyWalker(self)
        return self._any

    def _make(self, schema: Schema) -> Walker:
        if schema.type == "object" or schema.type == "map":
            if schema.map_type != "atomic":
                return MapWalker(self, schema)
        elif schema.type == "array":
            if schema.list_type != "atomic":
                return ListWalker(self, schema)
        elif schema.type == "any" and schema.format != "int-or-string":
            # A RawExtension is owned as one thing, what has no schema at all member by member.
            return Walker(exact=True) if schema.typed else self._deduced()
        return Walker(exact=True) if self.reaches_untyped(schema) else self._leaf

    def reaches_untyped(self, schema: Schema | None) -> bool:
        """Whether an object of this schema may hold a place without one."""
        if schema is None:
            return True
        found = self._untyped.get(id(schema))
        if found is None:
            seen: set[int] = set()
            pending = [schema]
            found = False
            while pending and not found:
                at = pending.pop()
                if id(at) in seen:
                    continue
                seen.add(id(at))
                untyped = at.type == "any" and at.format != "int-or-string"
                found = untyped or at.preserve_unknown or self._untyped.get(id(at), False)
                pending.extend(_below(at))
            self._untyped[id(schema)] = found
        return found


def _below(schema: Schema) -> list[Schema]:
    # Who owns managedFields is nobody's question: they would make every object an untyped one.
    below = [p.schema for p in schema.properties.values() if p.name != "managedFields"]
    if schema.values is not None:
        below.append(schema.values)
    if schema.items is not None:
        below.append(schema.items)
    return below
