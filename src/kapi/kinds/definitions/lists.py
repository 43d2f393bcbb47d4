"""List and map types in the schema of a definition: do their keys name scalars that are there?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds.definitions import go_form

Json = dict[str, Any]
LIST_TYPE = "x-kubernetes-list-type"
MAP_TYPE = "x-kubernetes-map-type"
KEYS = "x-kubernetes-list-map-keys"


def findings(props: Json, path: str, *, atomic_sets: bool, map_keys: bool) -> Iterator[FieldError]:
    """About one schema. `atomic_sets`, `map_keys`: what later releases came to require."""
    yield from _map_type(props, path)
    yield from _list_type(props, path, atomic_sets=atomic_sets)
    keys, list_type = props.get(KEYS) or [], props.get(LIST_TYPE)
    if keys and list_type != "map":
        where, text = f"{path}.{LIST_TYPE}", f"must be map if {KEYS} is non-empty"
        yield required(where, text) if list_type is None else invalid_value(where, list_type, text)
    if list_type == "map":
        yield from _map(props, keys, path)
    if map_keys:
        yield from later_rules(props, path)


def _map_type(props: Json, path: str) -> Iterator[FieldError]:
    map_type, kind = props.get(MAP_TYPE), props.get("type", "")
    if map_type is None:
        return
    if kind != "object":
        where, text = f"{path}.type", f"must be object if {MAP_TYPE} is specified"
        yield invalid_value(where, kind, text) if kind else required(where, text)
    if map_type not in ("atomic", "granular"):
        yield not_supported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular"))


def _list_type(props: Json, path: str, *, atomic_sets: bool) -> Iterator[FieldError]:
    list_type, kind = props.get(LIST_TYPE), props.get("type", "")
    if list_type is None:
        return
    if kind != "array":
        where, text = f"{path}.type", f"must be array if {LIST_TYPE} is specified"
        yield invalid_value(where, kind, text) if kind else required(where, text)
    elif atomic_sets:
        yield from non_atomic_set(props, path)
    if list_type not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "set", "map"))


def non_atomic_set(props: Json, path: str) -> Iterator[FieldError]:
    """A set whose items are not compared as wholes."""
    items = props.get("items")
    if props.get(LIST_TYPE) != "set" or not isinstance(items, dict):
        return
    text = f"must be atomic as item of a list with {LIST_TYPE}=set"
    own = items.get(LIST_TYPE)
    if items.get("type") == "array" and own not in (None, "atomic"):
        yield invalid_value(f"{path}.items.{LIST_TYPE}", own, text)
    elif items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        # The real server prints the list type of the items here.
        yield invalid_value(f"{path}.items.{MAP_TYPE}", own, text)


def _map(props: Json, keys: list[str], path: str) -> Iterator[FieldError]:
    items = props.get("items")
    if not keys:
        yield required(f"{path}.{KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if items is None:
        yield required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
        return
    if not isinstance(items, dict):
        text = f"must only have a single schema if {LIST_TYPE} is map"
        yield invalid_value(f"{path}.items", go_form.shown(go_form.items(items)), text)
        return
    kind = items.get("type", "")
    if kind != "object":
        text = f"must be object if parent array's {LIST_TYPE} is map"
        yield invalid_value(f"{path}.items.type", kind, text)
        return
    seen: set[str] = set()
    for key in keys:
        field = (items.get("properties") or {}).get(key)
        if field is None:
            text = "entries must all be names of item properties"
            yield invalid_value(f"{path}.{KEYS}", keys, text)
        elif field.get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            yield invalid_value(f"{path}.items.properties[{key}].type", kind, text)
        if key in seen:
            yield invalid_value(f"{path}.{KEYS}", keys, "must not contain duplicate entries")
        seen.add(key)


def later_rules(props: Json, path: str) -> Iterator[FieldError]:
    """Items and keys that may not be null, keys that are always there."""
    items, list_type = props.get("items"), props.get(LIST_TYPE)
    if list_type not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable"):
        text = f"cannot be nullable when {LIST_TYPE} is {list_type}"
        yield field_forbidden(f"{path}.items.nullable", text)
    if list_type != "map":
        return
    head = f"this property is in {KEYS}, so it"
    always = items.get("required") or ()
    for key in props.get(KEYS) or ():
        field = (items.get("properties") or {}).get(key)
        if field is None:
            continue
        where = f"{path}.items.properties[{key}]"
        if key not in always and field.get("default") is None:
            yield required(
                f"{where}.default", f"{head} must have a default or be a required property"
            )
        if field.get("nullable"):
            yield field_forbidden(f"{where}.nullable", f"{head} cannot be nullable")
