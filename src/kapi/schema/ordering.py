"""Fields in the order of the Go struct and keys of maps in byte order: what defaulting, admission
and strategies added goes where it belongs.

Called by the write pipeline right before an object is encoded; answers are made from the stored
bytes, so their fields come in the order of the real server. Compiled per schema; an object that is
in order is only looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kapi.schema.made import Made
from kapi.schema.structural import Schema

Json = dict[str, Any]
Arrange = Callable[[Any], None]

# Combinations of fields remembered for one struct. Objects that people and controllers write show
# a handful; past the bound they are learnt anew.
PLANS_MAX = 64


class Orders:
    """Compiled arrangers by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._made: Made[int, tuple[Schema, Arrange | None]] = Made()
        self._compiled = self._made.known

    def arrange(self, schema: Schema, obj: Json) -> None:
        """Put all fields in order, in place."""
        run = self.arranger(schema)
        if run is not None:
            run(obj)

    def arranger(self, schema: Schema) -> Arrange | None:
        """None where a schema holds neither struct nor map at any depth."""
        found = self._compiled.get(id(schema))
        if found is not None:
            return found[1]

        def later(value: Any) -> None:  # the inner place of a recursive type
            run = self._compiled[id(schema)][1]
            if run is not None:
                run(value)

        with self._made as made:
            found = made.find(id(schema))
            if found is None:
                made.put(id(schema), (schema, later))
                found = (schema, self._compile(schema))
                made.put(id(schema), found)
            return found[1]

    def _compile(self, schema: Schema) -> Arrange | None:
        if schema.type == "object":
            return self._object(schema) if schema.typed and schema.properties else None
        inner = schema.items if schema.type == "array" else schema.values
        run = self.arranger(inner) if inner is not None else None
        if schema.type == "map" and schema.typed:
            return _map(run)
        if run is None:
            return None
        each = run

        def arrange_items(value: Any) -> None:
            for item in value:
                if item:
                    each(item)

        return arrange_items

    def _object(self, schema: Schema) -> Arrange:
        inner: dict[str, Arrange] = {}
        for name, p in schema.properties.items():
            run = self.arranger(p.schema)
            if run is not None:
                inner[name] = run
        plans: dict[tuple[str, ...], Plan] = {}
        plan_of = _planner(schema, inner, plans)

        def arrange(obj: Any) -> None:
            names = tuple(obj)
            runs, ordered = plans.get(names) or plan_of(names)
            for name, run in runs:
                value = obj[name]
                if value:
                    run(value)
            if ordered is not None:
                items = [(name, obj[name]) for name in ordered]
                obj.clear()
                obj.update(items)

        return arrange


def _map(run: Arrange | None) -> Arrange:
    def arrange(value: Any) -> None:
        if len(value) > 1:
            names = list(value)
            ordered = sorted(names)
            if names != ordered:
                items = [(name, value[name]) for name in ordered]
                value.clear()
                value.update(items)
        if run is not None:
            for item in value.values():
                if item:
                    run(item)

    return arrange


# What to do with an object that has these fields: those to look into, and the order of all if it
# is not theirs.
Plan = tuple[Sequence[tuple[str, Arrange]], Sequence[str] | None]


def _planner(
    schema: Schema, inner: Mapping[str, Arrange], plans: dict[tuple[str, ...], Plan]
) -> Callable[[tuple[str, ...]], Plan]:
    order = tuple(schema.properties)

    def plan_of(names: tuple[str, ...]) -> Plan:
        """Made for a combination of fields that `plans` lacks, and put there."""
        present = set(names)
        known = [name for name in order if name in present]
        others = [name for name in names if name not in schema.properties]
        moved = known != [name for name in names if name in schema.properties]
        made: Plan = (
            tuple((name, inner[name]) for name in known if name in inner),
            tuple(known + others) if moved else None,
        )
        if not others:
            if len(plans) >= PLANS_MAX:
                plans.clear()
            plans[names] = made
        return made

    return plan_of
