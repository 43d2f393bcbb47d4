"""What an apply does to values: merge a configuration in, take fields out. Pure; parts are shared.

`merged` lays a configuration over an object: its leaves win, nothing is removed, lists with names
keep both sides' items in an order that respects both. `removed` takes the paths of a set out of an
object. `promoted` widens a set: a struct field that has fields in the set is itself in it, so that
removing the last of them removes it too. Called by `apply.py`; all follow the walkers of
`typed.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.managedfields.elements import SELF
from kapi.managedfields.fieldset import Node
from kapi.managedfields.typed import ListWalker, MapWalker, Walker

_MISSING: Any = object()


def merged(walker: Walker, old: Any, new: Any) -> Any:
    """`old` with `new` laid over it; `new` itself where the place is one field."""
    if isinstance(walker, MapWalker):
        old_map = old if old.__class__ is dict else {}
        new_map = new if new.__class__ is dict else {}
        if not old_map and not new_map:
            return new
        if not walker.declared and new is not None and new.__class__ is not dict:
            return new
        return _merged_map(walker, old_map, new_map)
    if isinstance(walker, ListWalker):
        old_list = old if old.__class__ is list else []
        new_list = new if new.__class__ is list else []
        if not old_list and not new_list:
            return new
        return _merged_list(walker, old_list, new_list)
    return new


def _merged_map(walker: MapWalker, old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    out = dict(old)
    for name, value in new.items():
        before = old.get(name, _MISSING)
        _, child = walker.child(name)
        out[name] = merged(child, None if before is _MISSING else before, value)
    return out


def _merged_list(walker: ListWalker, old: list[Any], new: list[Any]) -> list[Any]:
    """Items of both: shared ones in the order of `new`, the others near where they stood."""
    item = walker.item
    old_keys = [walker.key(v) for v in old]
    new_keys = [walker.key(v) for v in new]
    before: dict[Any, Any] = {}
    for key, value in zip(old_keys, old, strict=True):
        before[key] = None if key in before else value  # a repeated item has no one value
    after = dict(zip(new_keys, new, strict=True))
    shared = iter([key for key in new_keys if key in before])
    wanted = next(shared, _MISSING)
    done: set[Any] = set()
    out: list[Any] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new):
            key = old_keys[i]
            if key == new_keys[j]:
                out.append(merged(item, before[key], after[key]))
                done.add(key)
                i, j = i + 1, j + 1
                wanted = next(shared, _MISSING)
                continue
            if key in after and wanted is not _MISSING and wanted != key:
                i += 1  # its turn comes with the configuration's order
                continue
        if i < len(old):
            key = old_keys[i]
            if key not in after:
                out.append(old[i])
                i += 1
                continue
            if key in done:
                i += 1
        if j < len(new):
            key = new_keys[j]
            out.append(merged(item, before.get(key), after[key]))
            done.add(key)
            j += 1
            if wanted is not _MISSING and wanted == key:
                wanted = next(shared, _MISSING)
    return out


def removed(walker: Walker, value: Any, gone: Node) -> Any:
    """The value without the paths of `gone` and all below them; None where nothing is left."""
    if isinstance(walker, MapWalker):
        if value.__class__ is not dict:
            return None if walker.declared or value.__class__ is list else value
        kept: dict[str, Any] = {}
        for name, v in value.items():
            element, child = walker.child(name)
            below = gone.get(element)
            if below is None:
                kept[name] = v
            elif below and SELF not in below:
                kept[name] = removed(child, v, below)
        return kept or None
    if isinstance(walker, ListWalker):
        if value.__class__ is not list:
            return None
        items = []
        for v in value:
            below = gone.get(walker.element(walker.key(v)))
            if below is None:
                items.append(v)
            elif below and SELF not in below:
                items.append(removed(walker.item, v, below))
        return items or None
    return None if value.__class__ in (dict, list) else value


def promoted(walker: Walker, node: Node) -> Node:
    """The set with every struct field in it that has fields in it."""
    out: Node = {}
    for element, below in node.items():
        if not below:
            out[element] = below
            continue
        child: Walker | None = None
        declared = False
        if element.startswith("f:") and isinstance(walker, MapWalker):
            name = element[2:]
            declared = walker.declares(name)
            child = walker.child(name)[1]
        elif element.startswith("k:") and isinstance(walker, ListWalker):
            child = walker.item
        made = promoted(child, below) if child is not None else below
        out[element] = {SELF: {}, **made} if declared and SELF not in made else made
    return out
