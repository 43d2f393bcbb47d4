"""Strategic merge patch: a merge patch that knows the kind's schema, so that lists merge by key.

Called by `handlers/patch.py`. Pure; untouched parts are shared with the
document. The result still has to be decoded by the typed schema: unknown members of the patch are
in it.

A patch may carry directives: `$patch` (replace, delete) in a map or a list item, `$retainKeys` in a
map, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>` beside a list. How merged lists
are ordered: items of the patch in the patch's order (or that of `$setElementOrder`), the others in
their old order; both are then interleaved by the old order, where a new item goes before the old
ones.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from kapi.errors import ApiError, bad_request
from kapi.registry.go_text import go_text, go_type
from kapi.registry.patches.json_patch import json_type, unprocessable
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder"
_DELETE = "$deleteFromPrimitiveList"
_DIRECTIVES = (_ORDER, _DELETE, _RETAIN)


def strategic_merge(doc: Json, patch: Any, schema: Schema) -> Json:
    """The patched document.

    Raises ApiError: 400 for malformed directives, 422 for lists of lists, 500 without a reason for
    the rest (the real server reports those so).
    """
    if not isinstance(patch, dict):
        if patch is None:
            return doc
        raise bad_request(
            f"json: cannot unmarshal {json_type(patch)} into Go value of type "
            "map[string]interface {}"
        )
    try:
        return _merge_map(doc, patch, schema)
    except RecursionError:  # deeper than any typed object is
        raise unprocessable() from None


def _failure(message: str) -> ApiError:
    return ApiError(500, "", message)


def _no_merge_key(item: Json, key: str) -> ApiError:
    return _failure(f"map: {go_text(item)} does not contain declared merge key: {key}")


def _bad_patch_type(directive: Any, item: Json) -> ApiError:
    named = directive if isinstance(directive, str) else f"%!s({go_type(directive)}={directive})"
    return _failure(f"unknown patch type: {named} in map: {go_text(item)}")


def _bad_argument(expected: str, value: Any) -> ApiError:
    found = "%!s(<nil>)" if value is None else go_type(value)
    return _failure(f"expected a {expected}, but received a {found}")


# -- maps ---------------------------------------------------------------------------------------


def _merge_map(original: Json, patch: Json, schema: Schema | None) -> Json:
    if _PATCH in patch:
        return _replaced(patch)
    out = dict(original)
    special = any(name.startswith("$") for name in patch)
    if special:
        patch = dict(patch)
        if _RETAIN in patch:
            out = _retained(out, patch, patch.pop(_RETAIN))
        for name in [n for n in patch if n.startswith(_ORDER)]:
            _ordered_list(out, patch, name, schema)
    for name, value in patch.items():
        if special and name.startswith(_DELETE):
            _delete_from_list(out, name, value, schema)
        elif value is None:
            out.pop(name, None)
        else:
            here: Any = out.get(name)
            # Scalars replace; so does anything where the types differ.
            if here.__class__ is not value.__class__:
                out[name] = _without_directives(value)
            elif here.__class__ is dict:
                out[name] = _merge_child(here, value, name, schema)
            elif here.__class__ is list:
                out[name] = _merge_list_field(here, value, name, schema)
            else:
                out[name] = value
            if out[name] is _DROPPED:
                del out[name]
    return out


def _replaced(patch: Json) -> Json:
    directive = patch[_PATCH]
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _PATCH}
    if directive == "delete":
        return {}
    raise _bad_patch_type(directive, patch)


def _merge_child(here: Json, value: Json, name: str, schema: Schema | None) -> Any:
    sub, strategy, _ = _lookup(schema, name)
    return value if strategy == "replace" else _merge_map(here, value, sub)


def _retained(out: Json, patch: Json, names: Any) -> Json:
    if not isinstance(names, list):
        raise bad_request("invalid patch format of retainKeys")
    kept = {n for n in names if isinstance(n, str)}
    for name, value in patch.items():
        if value is not None and name not in kept and not name.startswith((_DELETE, _ORDER)):
            raise bad_request("invalid patch format of retainKeys")
    return {name: value for name, value in out.items() if name in kept}


def _lookup(schema: Schema | None, name: str) -> tuple[Schema | None, str, str]:
    """The schema of a field, its strategy for lists and maps, and its merge key."""
    if schema is not None:
        field: Property | None = schema.properties.get(name)
        if field is not None:
            strategy = next((s for s in field.patch_strategy if s != "retainKeys"), "")
            return field.schema, strategy, field.merge_key
        if schema.type == "map":
            return schema.values, "", ""
    struct = schema.struct if schema is not None else ""
    raise _failure(f'unable to find api field in struct {struct} for the json field "{name}"')


class _Dropped:
    """The type of `_DROPPED`."""


_DROPPED = _Dropped()  # a value that its own `$patch` directive takes away


def _without_directives(value: Any) -> Any:
    """A value for a place where nothing was: members that are null and maps with directives are
    gone.
    """
    if isinstance(value, dict):
        if _PATCH in value:
            return _DROPPED
        cleaned = ((n, _without_directives(v)) for n, v in value.items() if v is not None)
        return {n: v for n, v in cleaned if v is not _DROPPED}
    if isinstance(value, list):
        return [c for v in value if (c := _without_directives(v)) is not _DROPPED]
    return value


# -- lists --------------------------------------------------------------------------------------


def _delete_from_list(out: Json, directive: str, value: Any, schema: Schema | None) -> None:
    prefix, slash, name = directive.partition("/")
    if not slash or prefix != _DELETE:
        raise bad_request("invalid patch format of primitive list")
    if value is None:
        out.pop(name, None)
        return
    here = out.get(name)
    if not isinstance(here, list) or not isinstance(value, list):
        return
    _, strategy, _ = _lookup(schema, name)
    if strategy != "merge":
        out[name] = value
    elif here or value:
        if _element_class(here, value) is dict:
            out[name] = _merge_list_field(here, value, name, schema)
        else:
            gone = {_identity(v) for v in value}
            out[name] = [v for v in here if _identity(v) not in gone]


def _ordered_list(out: Json, patch: Json, directive: str, schema: Schema | None) -> None:
    """Merge a list in the order that its `$setElementOrder` gives; takes both out of the patch."""
    order = patch.pop(directive)
    if not isinstance(order, list):
        raise _bad_argument("[]interface {}", order)
    prefix, slash, name = directive.partition("/")
    if not slash or prefix != _ORDER:
        raise bad_request("invalid patch format of setElementOrder list")
    here, value = out.get(name, _DROPPED), patch.get(name, _DROPPED)
    for given in (here, value):
        if given is not _DROPPED and not isinstance(given, list):
            raise _bad_argument("[]interface {}", given)
    sub, strategy, key = _lookup(schema, name)
    if value is not _DROPPED:
        _check_order(value, order, key)
    if here is _DROPPED and value is _DROPPED:
        return
    if value is _DROPPED:
        merged = here
    elif here is _DROPPED:
        merged = _without_directives(value)
    elif strategy == "merge":
        merged = _merge_list(here, value, sub.items if sub is not None else None, key)
    else:
        merged = value
    old = [] if here is _DROPPED else here
    _element_class(old, merged if here is _DROPPED else value if value is not _DROPPED else [])
    out[name] = _interleaved(merged, order, old, key)
    patch.pop(name, None)


def _check_order(value: list[Any], order: list[Any], key: str) -> None:
    """The items of the patch stand in the order list, in the same relative order."""
    if not order or not value:
        return
    wanted = [v for v in value if not (key and _is_directive(v))]
    position = 0
    for item in order:
        if position < len(wanted) and _key_of(wanted[position], key) == _key_of(item, key):
            position += 1
    if position < len(wanted):
        raise _failure(
            f"The order in patch list:\n{go_text(value)}\n doesn't match {_ORDER} list:\n"
            f"{go_text(order)}\n"
        )


def _is_directive(item: Any) -> bool:
    if not isinstance(item, dict):
        raise _bad_argument("map[string]interface {}", item)
    return _PATCH in item


def _merge_list_field(here: list[Any], value: list[Any], name: str, schema: Schema | None) -> Any:
    sub, strategy, key = _lookup(schema, name)
    if strategy != "merge":
        return value
    return _merge_list(here, value, sub.items if sub is not None else None, key)


def _merge_list(original: list[Any], patch: list[Any], item: Schema | None, key: str) -> list[Any]:
    if not original and not patch:
        return original
    if _element_class(original, patch) is not dict:
        seen: set[Hashable] = set()
        merged = []
        for v in (*original, *patch):
            if (identity := _identity(v)) not in seen:
                seen.add(identity)
                merged.append(v)
        return _interleaved(merged, patch, original, "")
    if not key:
        raise _failure("cannot merge lists without merge key for type struct")
    kept, plain = _after_directives(original, patch, key)
    return _interleaved(_merge_items(kept, plain, item, key), plain, kept, key)


def _after_directives(
    original: list[Any], patch: list[Any], key: str
) -> tuple[list[Any], list[Any]]:
    """The list after `$patch` items were obeyed, and the patch without them."""
    plain: list[Any] = []
    replace = False
    for change in patch:
        directive = change.get(_PATCH, _DROPPED)
        if directive is _DROPPED:
            plain.append(change)
        elif directive == "delete":
            gone = _key_of(change, key)
            original = [v for v in original if _maybe_key(v, key) != gone]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _failure("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_patch_type(directive, change)
    return (plain, []) if replace else (original, plain)


def _merge_items(original: list[Any], patch: list[Any], item: Schema | None, key: str) -> list[Any]:
    merged = list(original)
    index: dict[Hashable, int] = {}
    for i, v in enumerate(merged):
        index.setdefault(_maybe_key(v, key), i)
    for change in patch:
        identity = _key_of(change, key)
        i = index.get(identity, -1)
        if i >= 0:
            merged[i] = _merge_map(merged[i], change, item)
        else:
            index[identity] = len(merged)
            merged.append(_without_directives(change))
    return merged


def _interleaved(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Items that `order` names in its order, the others in the old one; both interleaved by the old
    order.
    """
    place = _places(order, key)
    before = _places(old, key)
    named: list[tuple[Hashable, Any]] = []
    others: list[tuple[Hashable, Any]] = []
    for v in merged:
        identity = _key_of(v, key)
        (named if identity in place else others).append((identity, v))
    named.sort(key=lambda pair: place[pair[0]])
    others.sort(key=lambda pair: before.get(pair[0], len(before)))
    out: list[Any] = []
    i = 0
    for identity, v in named:
        at = before.get(identity, -1)
        while i < len(others) and before.get(others[i][0], at) < at:
            out.append(others[i][1])
            i += 1
        out.append(v)
    out.extend(v for _, v in others[i:])
    return out


def _places(items: list[Any], key: str) -> dict[Hashable, int]:
    places: dict[Hashable, int] = {}
    for i, v in enumerate(items):
        places.setdefault(_key_of(v, key), i)
    return places


def _identity(value: Any) -> Hashable:
    """What Go's == compares: type and value."""
    if isinstance(value, (dict, list)):
        return go_text(value)
    return value.__class__, value


def _maybe_key(item: Any, key: str) -> Hashable:
    if not isinstance(item, dict):
        raise _bad_argument("map[string]interface {}", item)
    return _identity(item[key]) if key in item else None


def _key_of(item: Any, key: str) -> Hashable:
    """The identity of a list item: its merge key's value, or itself where there is none."""
    if not key:
        return _identity(item)
    if not isinstance(item, dict):
        raise _bad_argument("map[string]interface {}", item)
    if key not in item:
        raise _no_merge_key(item, key)
    return _identity(item[key])


def _element_class(*lists: list[Any]) -> type:
    """The one type of all items. Raises where they differ, or are lists, or there are none."""
    found: type | None = None
    first: Any = None
    for items in lists:
        for v in items:
            if found is None:
                found, first = v.__class__, v
                if isinstance(v, list):
                    raise unprocessable()
            elif v.__class__ is not found:
                raise _failure(
                    f"list element types are not identical: {go_type(first)} {go_type(v)}"
                )
    if found is None:
        raise _failure("no elements in any of the given slices")
    return found
