"""Small edits of objects that the write pipeline and deletion share. Pure but for the object they
are told to edit.

Objects are JSON as dicts; a path is a tuple of names. Fields of ObjectMeta keep the order of Go's
struct."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

import orjson

from kapi.codec.spelled import same
from kapi.registry.resource import ScalePaths
from kapi.registry.scale import STANDARD, owners_for_scale, owners_from_scale
from kapi.registry.versions import MISSING

Json = dict[str, Any]


def in_order(meta: Json, order: Sequence[str]) -> None:
    """Put the fields of an ObjectMeta where Go's struct has them, in place."""
    items = dict(meta)
    meta.clear()
    for name in order:
        if name in items:
            meta[name] = items.pop(name)
    meta.update(items)


def with_version(obj: Json, revision: int) -> Json:
    """Set metadata.resourceVersion where it belongs: after the uid."""
    meta = obj["metadata"]
    if not revision:
        meta.pop("resourceVersion", None)
    elif "resourceVersion" in meta:
        meta["resourceVersion"] = str(revision)
    else:
        items = list(meta.items())
        meta.clear()
        for name, value in items:
            meta[name] = value
            if name == "uid":
                meta["resourceVersion"] = str(revision)
    return obj


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if value.__class__ not in (dict, list):
        return value
    try:
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    except orjson.JSONEncodeError:  # something in it is more than its JSON
        return copy.deepcopy(value)


def keep(meta: Json, old: Json, name: str) -> None:
    if name in old:
        meta[name] = old[name]
    else:
        meta.pop(name, None)


def restore(proposed: Json, live: Json | None, path: tuple[str, ...], absent: Any) -> None:
    """Put back what a path held before; where it held nothing, what a field never set prints."""
    target, source = proposed, live or {}
    for name in path[:-1]:
        source = source.get(name) or {}
        if not isinstance(target.get(name), dict):
            if not source:
                return
            target[name] = {}
        target = target[name]
    last = path[-1]
    if last in source:
        target[last] = copied(source[last])
    elif absent is not MISSING:
        target[last] = absent
    else:
        target.pop(last, None)


def restrict(proposed: Json, live: Json, paths: Sequence[tuple[str, ...]]) -> None:
    """Keep of `proposed` only what lies at `paths`, and its version: everything else stays as it
    is.
    """
    kept: Json = copied(live)
    for path in paths:
        source, target = proposed, kept
        for name in path[:-1]:
            source = source.get(name) or {}
            target = target.setdefault(name, {})
        if path[-1] in source:
            target[path[-1]] = source[path[-1]]
        else:
            target.pop(path[-1], None)
    meta = proposed["metadata"]
    for name in ("name", "uid", "resourceVersion", "managedFields"):
        keep(kept["metadata"], meta, name)
    proposed.clear()
    proposed.update(kept)


def wanted_changed(
    stored: Json, current: Json, uncounted: Container[str], *, exact: bool = False
) -> bool:
    """Whether a field at the top that counts differs. `exact`: 5.0 is not 5, nor is other text."""
    for name in stored.keys() | current.keys():
        if name in uncounted:
            continue
        new, old = stored.get(name), current.get(name)
        if new != old or (exact and not same(new, old)):
            return True
    return False


def replicas_owned(live: Json | None, paths: ScalePaths | None) -> bool:
    """Whether anybody owns the replicas: where nobody does, nobody starts to by scaling."""
    managed = live["metadata"].get("managedFields") if live is not None else None
    return bool(owners_for_scale(managed or [], paths))


def owned_after_scale(entries: list[Json], scaled: Json, paths: ScalePaths | None) -> list[Json]:
    """The owners after scaling: a Scale says nothing of no replicas, so nobody owns them then."""
    holder = scaled
    *way, last = (paths or STANDARD).spec_replicas
    for name in way:
        holder = holder.get(name) or {}
    return entries if holder.get(last) else owners_from_scale(entries, [], "", paths)


def timeless(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name != "time"}


def owned_anew(stored: Json, current: Json) -> bool:
    """Whether managed fields differ in their times, and in nothing else."""
    new = stored["metadata"].get("managedFields") or ()
    old = current["metadata"].get("managedFields") or ()
    return (
        len(new) == len(old)
        and new != old
        and all(timeless(a) == timeless(b) for a, b in zip(new, old, strict=True))
    )


def without(obj: Json, paths: Sequence[tuple[str, ...]]) -> Json:
    """The object without what stands at the paths; it shares the rest."""
    for path in paths:
        obj = _without(obj, path)
    return obj


def _without(obj: Json, path: tuple[str, ...]) -> Json:
    name = path[0]
    if name not in obj:
        return obj
    if len(path) == 1:
        return {k: v for k, v in obj.items() if k != name}
    inner = obj[name]
    return {**obj, name: _without(inner, path[1:])} if isinstance(inner, dict) else obj


def finished(meta: Json) -> bool:
    """A deleted object whose last finalizer is gone."""
    return (
        "deletionTimestamp" in meta
        and not meta.get("finalizers")
        and meta.get("deletionGracePeriodSeconds", 0) == 0
    )


def set_deletion(meta: Json, when: str, grace: int) -> None:
    """Set the two fields of a deletion under way, where Go's struct has them."""
    insert_after(meta, "creationTimestamp", "deletionTimestamp", when)
    insert_after(meta, "deletionTimestamp", "deletionGracePeriodSeconds", grace)


def put_finalizers(meta: Json, finalizers: list[str]) -> None:
    if not finalizers:
        meta.pop("finalizers", None)
    elif "finalizers" in meta:
        meta["finalizers"] = finalizers
    else:
        managed = meta.pop("managedFields", None)
        meta["finalizers"] = finalizers
        if managed is not None:
            meta["managedFields"] = managed


def insert_after(obj: Json, after: str, name: str, value: Any) -> None:
    """Set a field; a new one is put behind `after`, in place."""
    if name in obj:
        obj[name] = value
        return
    items = list(obj.items())
    obj.clear()
    for k, v in items:
        obj[k] = v
        if k == after:
            obj[name] = value
    obj.setdefault(name, value)
