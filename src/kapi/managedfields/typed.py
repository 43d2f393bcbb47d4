"""Objects walked with their schema: to the set of their fields, and to the set of what a write
changed.

A `Walker` is made once per schema node and kept in `Walkers` (walkers.py). What is one field and
what has fields of its own follows the schema: scalars, atomic lists and maps are one; structs and
granular maps have named fields; lists of type map have items named by their keys (a key that is
left out has its default), sets have items named by value; a place without a schema has fields where
it holds a map. An empty list or map, and null, is one field.

`compare` yields (changed, removed): what was added or has another value, and what is gone, as nodes
of a `FieldSet`; None where nothing differs. Equal parts are skipped by one comparison, so that a
small change to a large object costs little. Called by `manager.py` and `merge.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kapi.managedfields.elements import SELF, key_element, text_of, value_element, value_order
from kapi.managedfields.fieldset import Node
from kapi.schema.structural import Schema

Diff = tuple[Node | None, Node | None]  # changed, removed
# What a struct with some fields comes to: its node, and the members that are more than one field.
Plan = tuple[Node, tuple[tuple[str, str, "Walker"], ...]]
_MISSING: Any = object()

# Combinations of fields remembered for one struct; past it, they are learnt anew.
PLANS_MAX = 64


class ListItemError(ValueError):
    """A list item without the keys that would name it, or a set item that is no scalar."""


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: as Python's, but true is not 1."""
    if a is b:
        return True
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(k in b and same(v, b[k]) for k, v in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


class Family(Protocol):
    """Who has the walkers of schemas: `Walkers`."""

    def walker(self, schema: Schema | None) -> Walker: ...

    def reaches_untyped(self, schema: Schema | None) -> bool: ...


class Walker:
    """A scalar, or anything that is one field as a whole."""

    __slots__ = ("exact",)

    def __init__(self, *, exact: bool = False) -> None:
        self.exact = exact  # below a place without a schema: there a boolean may meet a number

    def equal(self, old: Any, new: Any) -> bool:
        return same(old, new) if self.exact else bool(old == new)

    def shape(self, value: Any) -> Node:
        """The node of a value that stands where nothing was: all its fields and itself."""
        return {}

    def compare(self, old: Any, new: Any) -> Diff | None:
        return None if self.equal(old, new) else ({}, None)

    def fields(self, value: Any) -> Node | None:
        """The node of what an applied configuration names; None where it names nothing."""
        return {}


class MapWalker(Walker):
    """A struct, a granular map, or a place without a schema that holds a map."""

    __slots__ = ("_children", "_other", "_plans", "_scalars", "_schema", "_walkers")

    def __init__(self, walkers: Family, schema: Schema | None) -> None:
        super().__init__(exact=walkers.reaches_untyped(schema))
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._walkers = walkers
        self._schema = schema
        self._children: dict[str, tuple[str, Walker]] = {}
        self._other: Walker | None = None
        # A map of scalars: each member is one field.
        values = schema.values if schema is not None and schema.type == "map" else None
        self._scalars = values is not None and type(walkers.walker(values)) is Walker

    @property
    def declared(self) -> bool:
        """Whether there is a schema for this place."""
        return self._schema is not None

    def declares(self, name: str) -> bool:
        return self._schema is not None and name in self._schema.properties

    def child(self, name: str) -> tuple[str, Walker]:
        """The element and the walker of a member."""
        found = self._children.get(name)
        if found is not None:
            return found
        schema = self._schema
        if schema is not None and name in schema.properties:
            found = f"f:{name}", self._walkers.walker(schema.properties[name].schema)
            self._children[name] = found  # as many as the schema has
            return found
        if self._other is None:
            values = schema.values if schema is not None and schema.type == "map" else None
            self._other = self._walkers.walker(values)
        return f"f:{name}", self._other

    def shape(self, value: Any) -> Node:
        if not value or value.__class__ is not dict:
            return {}
        if self._scalars:
            node: Node = {SELF: {}}
            for name in value if len(value) < 2 else sorted(value):
                node[f"f:{name}"] = {}
            return node
        names = tuple(value)
        whole, members = self._plans.get(names) or self._plan(names)
        if not members:
            return whole  # one for all that have the same fields
        node = whole.copy()
        for name, element, walker in members:
            node[element] = walker.shape(value[name])
        return node

    def _plan(self, names: tuple[str, ...]) -> Plan:
        found = sorted(((*self.child(name), name) for name in names), key=_element)
        plan: Plan = (
            {SELF: {}, **{element: {} for element, _, _ in found}},
            tuple((name, element, w) for element, w, name in found if type(w) is not Walker),
        )
        declared = self._schema.properties if self._schema is not None else {}
        if all(name in declared for name in names):
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            self._plans[names] = plan
        return plan

    def compare(self, old: Any, new: Any) -> Diff | None:
        if old is new or self.equal(old, new):
            return None
        old_map = old if old.__class__ is dict else {}
        new_map = new if new.__class__ is dict else {}
        if not old_map and not new_map:
            return {}, None
        changed, removed = self.compare_members(old_map, new_map)
        if self._schema is None and not (_maplike(old) and _maplike(new)):
            changed[SELF] = {}  # from a map to something else, or back
        return _sorted(changed), _sorted(removed)

    def compare_members(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Node, Node]:
        changed: Node = {}
        removed: Node = {}
        known = self._children
        for name, after in new.items():
            before = old.get(name, _MISSING)
            if before is after:
                continue
            element, walker = known.get(name) or self.child(name)
            if before is _MISSING:
                changed[element] = walker.shape(after)
                continue
            diff = walker.compare(before, after)
            if diff is not None:
                if diff[0] is not None:
                    changed[element] = diff[0]
                if diff[1] is not None:
                    removed[element] = diff[1]
        for name, before in old.items():
            if name not in new:
                element, walker = known.get(name) or self.child(name)
                removed[element] = walker.shape(before)
        return changed, removed

    def fields(self, value: Any) -> Node | None:
        if value.__class__ is not dict:
            return None if self._schema is not None else {}
        out = []
        for name, v in value.items():
            element, walker = self._children.get(name) or self.child(name)
            node = walker.fields(v)
            if v is None or (v.__class__ is dict and not v) or not self.declares(name):
                node = {SELF: {}, **node} if node else {}
            if node is not None:
                out.append((element, node))
        out.sort()
        return dict(out) or None


def _element(member: tuple[str, Walker, str]) -> str:
    return member[0]


def _maplike(value: Any) -> bool:
    return value is None or value.__class__ is dict


def _sorted(node: Node) -> Node | None:
    """The node as it stands in a set; None for nothing, and a lone `.` as an empty node."""
    if len(node) > 1:
        return dict(sorted(node.items()))
    if not node:
        return None
    return {} if SELF in node else node


class AnyWalker(MapWalker):
    """A place without a schema: lists are one field, maps have fields."""

    __slots__ = ()

    def __init__(self, walkers: Family) -> None:
        super().__init__(walkers, None)


class ListWalker(Walker):
    """A list whose items have names: by keys, or (a set) by value."""

    __slots__ = ("_defaults", "_item", "_names", "_only", "_schema", "_walkers")

    def __init__(self, walkers: Family, schema: Schema) -> None:
        super().__init__(exact=walkers.reaches_untyped(schema))
        self._walkers = walkers
        self._schema = schema
        self._names = tuple(sorted(schema.list_keys)) if schema.list_type == "map" else ()
        # Most lists have one key: what its elements start with.
        self._only = f'k:{{"{self._names[0]}":' if len(self._names) == 1 else ""
        self._defaults: dict[str, Any] = {}
        properties = schema.items.properties if schema.items is not None else {}
        for name in self._names:
            field = properties.get(name)
            self._defaults[name] = _MISSING
            if field is not None and field.default is not None:
                self._defaults[name] = field.default
        self._item: Walker | None = None

    @property
    def item(self) -> Walker:
        if self._item is None:
            self._item = self._walkers.walker(self._schema.items)
        return self._item

    def key(self, item: Any) -> Any:
        """What names an item: the values of its keys in the order of their names, or the item.

        Some of several keys may be missing, but not all.
        """
        names = self._names
        if not names:
            if item is None or item.__class__ is dict or item.__class__ is list:
                raise ListItemError("a set has an item that is not a scalar")
            return item
        if item.__class__ is not dict:
            raise ListItemError("a list with keys has an item that is not a map")
        key, found = [], False
        for name in names:
            value = item.get(name, _MISSING)
            if value is _MISSING:
                value = self._defaults[name]
            found = found or value is not _MISSING
            if value.__class__ is dict or value.__class__ is list:
                raise ListItemError(f'the key field "{name}" of an item is not a scalar')
            key.append(value)
        if not found:
            declared = " ".join(f'"{name}"' for name in self._schema.list_keys)
            raise ListItemError(
                f"associative list with keys has an element that omits all key fields [{declared}] "
                "(and doesn't have default values for any key fields)"
            )
        return tuple(key)

    def element(self, key: Any) -> str:
        if self._only:
            return f"{self._only}{text_of(key[0])}}}"
        if not self._names:
            return value_element(key)
        if _MISSING in key:
            return key_element(*zip(*self._present(key), strict=True))
        return key_element(self._names, key)

    def _present(self, key: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """The keys that an item has, by name; an item without one is another than with it."""
        pairs = zip(self._names, key, strict=True)
        return [(name, value) for name, value in pairs if value is not _MISSING]

    def _order(self, key: Any) -> Any:
        if not self._names:
            return value_order(key)
        return [(name, value_order(value)) for name, value in self._present(key)]

    def index(self, items: Iterable[Any]) -> dict[Any, list[Any]]:
        """Items by key, in order; more than one where a key is repeated. Raises ListItemError."""
        found: dict[Any, list[Any]] = {}
        for item in items:
            found.setdefault(self.key(item), []).append(item)
        return found

    def node(self, found: Mapping[Any, Node]) -> Node:
        """A node of items, in the order of the wire."""
        try:
            keys = sorted(found)
        except TypeError:  # keys of several types, or not all of them there
            keys = sorted(found, key=self._order)
        return {self.element(k): found[k] for k in keys}

    def shape(self, value: Any) -> Node:
        if not value or value.__class__ is not list:
            return {}
        return {SELF: {}, **self._items(value)}

    def _items(self, value: list[Any]) -> Node:
        """The node of items that stand where none were; repeated ones are one field."""
        item = self.item
        found: dict[Any, Node] = {}
        if self._only:  # nearly always one text names an item
            name = self._names[0]
            for v in value:
                key = v.get(name) if v.__class__ is dict else None
                if key.__class__ is not str:
                    break
                found[key] = {} if key in found else item.shape(v)
            else:
                only = self._only
                return {f"{only}{text_of(key)}}}": found[key] for key in sorted(found)}
            found.clear()
        for v in value:
            key = self.key(v)
            found[key] = {} if key in found else item.shape(v)
        return self.node(found)

    def compare(self, old: Any, new: Any) -> Diff | None:
        if old is new or self.equal(old, new):
            return None
        old_list = old if old.__class__ is list else []
        new_list = new if new.__class__ is list else []
        if not old_list and not new_list:
            return {}, None
        if not old_list:
            return self._items(new_list), None
        return self.compare_items(self.index(old_list), self.index(new_list))

    def compare_items(
        self, old: Mapping[Any, list[Any]], new: Mapping[Any, list[Any]]
    ) -> Diff | None:
        changed: dict[Any, Node] = {}
        removed: dict[Any, Node] = {}
        item = self.item
        nothing: list[Any] = []
        for key in dict.fromkeys((*old, *new)):
            before, after = old.get(key, nothing), new.get(key, nothing)
            if len(before) > 1 and len(after) > 1:  # repeated items are one field
                if not same(before, after):
                    changed[key] = {}
            elif len(before) > 1:
                removed[key] = {}
                if after:
                    changed[key] = item.shape(after[0])
            elif len(after) > 1:
                changed[key] = {}
                if before:
                    removed[key] = item.shape(before[0])
            elif not before:
                changed[key] = item.shape(after[0])
            elif not after:
                removed[key] = item.shape(before[0])
            elif before[0] is not after[0]:
                diff = item.compare(before[0], after[0])
                if diff is not None:
                    if diff[0] is not None:
                        changed[key] = diff[0]
                    if diff[1] is not None:
                        removed[key] = diff[1]
        if not changed and not removed:
            return None
        return self.node(changed) or None, self.node(removed) or None

    def fields(self, value: Any) -> Node | None:
        if value.__class__ is not list:
            return None
        item = self.item
        found: dict[Any, Node] = {}
        for v in value:
            node = item.fields(v)
            found[self.key(v)] = {SELF: {}, **node} if node else {}
        return self.node(found) or None
