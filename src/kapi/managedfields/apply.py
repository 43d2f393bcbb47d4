"""Server-side apply: lay a configuration over an object, and settle who owns what.

The applier owns exactly the fields its configuration names. A field that another manager owns with
another value is a conflict, unless forced; fields that the applier named last time and does not
name now are removed if nobody else owns them. Called by `registry/applying.py` with the live
object; what comes back is not decoded or defaulted yet, and goes through the write pipeline as any
proposal.

An object without owners first gives all its fields to `before-first-apply`. The manager `kubectl`
may take over what client-side apply set: fields that the last-applied annotation names with their
present value do not conflict, and the annotation is kept up to date.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kapi.errors import ApiError, bad_request, quote
from kapi.managedfields.configuration import complaints
from kapi.managedfields.elements import SELF, shown_path, sorted_elements
from kapi.managedfields.fieldset import FieldSet, Node, difference, intersection, union, without
from kapi.managedfields.manager import (
    STRIPPED,
    Convert,
    Entry,
    EntryId,
    FieldManager,
    Managed,
    decode,
    encode,
    managed_list,
)
from kapi.managedfields.merge import merged, promoted, removed
from kapi.managedfields.typed import ListItemError, MapWalker, same
from kapi.schema.structural import Schema

Json = dict[str, Any]
BEFORE_FIRST_APPLY = "before-first-apply"
KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Applied:
    """The object as applied, to be decoded and defaulted, without managedFields; and these."""

    object: Json
    managed: list[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """One apply as asked for. `api_version`, `kind` and `schema` are the request's."""

    schema: Schema
    api_version: str
    kind: str
    manager: str
    subresource: str
    force: bool
    now: str  # RFC 3339
    convert: Convert  # from the version that the object itself names
    reset: FieldSet | None = None


class _Conflict(Exception):
    """Fields that others own: per entry, as nodes."""

    def __init__(self, found: dict[EntryId, Node]) -> None:
        super().__init__("conflict")
        self.found = found


def applied(fields: FieldManager, live: Json | None, config: Any, asked: Apply) -> Applied:
    """Lay `config` over `live` (None: create).

    Raises ApiError: 400 for another kind than the resource's or with managedFields, 409 with a
    cause per field for conflicts, 500 without a reason for what the schema does not know (so the
    real server does).
    """
    try:
        out = _applied(_Run(fields, live, config, asked), asked)
    except ListItemError as e:
        raise ApiError(500, "", f"failed to merge config: {e}") from None
    except RecursionError:
        raise bad_request("the applied configuration is nested too deeply") from None
    return _with_last_applied(out, config) if asked.manager == KUBECTL else out


def _applied(run: _Run, asked: Apply) -> Applied:
    try:
        return run.run(force=asked.force)
    except _Conflict as conflict:
        found = conflict.found
        if asked.manager == KUBECTL:
            found = run.not_from_client_side_apply(found)
        if found:
            raise _conflict_error(found) from None
    return run.run(force=True)


class _Run:
    def __init__(self, fields: FieldManager, live: Json | None, config: Any, asked: Apply) -> None:
        self._fields = fields
        self._asked = asked
        self._check_kind(config)
        self._config: Json = config
        carried = managed_list(live)
        self._carried = carried
        self._managed = decode(carried)
        self._live = (
            fields.empty(asked.schema, asked.api_version, asked.kind) if live is None else live
        )
        if not self._managed:
            entries = fields.updated(
                live=None, new=_without_owners(self._live), schema=asked.schema,
                api_version=asked.api_version, manager=BEFORE_FIRST_APPLY,
                subresource=asked.subresource, now=asked.now, reset=asked.reset,
                convert=asked.convert,
            )  # fmt: skip
            self._managed = decode(entries)
        self._live = _without_owners(self._live)
        self._check_fit()

    def _check_kind(self, config: Any) -> None:
        asked = self._asked
        found = config if isinstance(config, dict) else {}
        api_version, kind = found.get("apiVersion"), found.get("kind")
        if api_version != asked.api_version or kind != asked.kind:
            raise bad_request(f"invalid object type: {_group_version_kind(api_version, kind)}")
        meta = found.get("metadata")
        if isinstance(meta, dict) and meta.get("managedFields") is not None:
            raise bad_request("metadata.managedFields must be nil")

    def _check_fit(self) -> None:
        found = complaints(self._fields.walkers, self._asked.schema, self._config)
        if found:
            meta = self._config.get("metadata")
            meta = meta if isinstance(meta, dict) else {}
            name = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
            kind = _group_version_kind(self._asked.api_version, self._asked.kind)
            raise ApiError(
                500, "", f"failed to create typed patch object ({name}; {kind}): {found}"
            )

    def run(self, *, force: bool) -> Applied:
        asked, managed = self._asked, dict(self._managed)
        walker = self._walker(asked.schema)
        mine = Entry(asked.manager, "Apply", asked.api_version, asked.subresource, None, {})
        last = managed.get(mine.id)
        node = walker.fields(self._config) or {}
        if asked.reset is not None:
            node = without(node, asked.reset.root)
        managed[mine.id] = replace(mine, node=node, time=last.time if last is not None else None)
        new = merged(walker, self._live, self._config)
        if last is not None and last.node:
            new = self._pruned(new, managed, last)
        managed = self._settled(new, managed, mine.id, force=force)
        changed = not same(self._live, new)
        entry = managed[mine.id]
        kept = difference(entry.node, STRIPPED)
        if not kept:
            del managed[mine.id]
        elif changed:
            managed[mine.id] = replace(entry, node=kept, time=asked.now)
        elif last is not None and last.node == kept and last.api_version == entry.api_version:
            managed[mine.id] = last
        else:
            managed[mine.id] = replace(entry, node=kept)
        return Applied(new if changed else self._live, encode(managed, self._carried))

    def _walker(self, schema: Schema) -> MapWalker:
        walker = self._fields.walkers.walker(schema)
        assert isinstance(walker, MapWalker), "a kind is an object"
        return walker

    def _settled(self, new: Json, managed: Managed, mine: EntryId, *, force: bool) -> Managed:
        """The entries after the change. Raises _Conflict, unless forced."""
        compared = self._fields.comparisons(
            self._live, new, self._asked.schema, self._asked.api_version, self._asked.reset,
            self._asked.convert,
        )  # fmt: skip
        out: Managed = {}
        conflicts: dict[EntryId, Node] = {}
        for key, entry in managed.items():
            if key == mine:
                out[key] = entry
                continue
            diff = compared.at(entry.api_version)
            if diff is None:
                continue
            changed, gone = diff
            node = entry.node
            if changed is not None:
                conflict = intersection(node, changed)
                if conflict:
                    conflicts[key] = conflict
                    node = difference(node, conflict)
            if gone is not None:
                node = difference(node, gone)
            if node:
                out[key] = entry.with_node(node)
        if conflicts and not force:
            raise _Conflict(conflicts)
        return out

    # -- removal of what is no longer applied -------------------------------------------------

    def _pruned(self, new: Json, managed: Managed, last: Entry) -> Json:
        """Without what was applied last time, is not now, and nobody else owns."""
        start = self._converted(new, last.api_version)
        if start is None:
            return new
        whole, schema = start
        walker = self._walker(schema)
        pruned = removed(walker, whole, promoted(walker, last.node)) or {}
        owned: dict[str, Node] = {}
        for entry in managed.values():
            owned[entry.api_version] = union(owned.get(entry.api_version, {}), entry.node)
        first = {last.api_version: owned.pop(last.api_version, {})}
        at_version, current = schema, whole
        for version, node in (first | owned).items():
            here = self._converted(current, version)
            there = self._converted(_named(pruned, current), version)
            if here is None or there is None:
                continue
            (current, at_version), pruned = here, there[0]
            w = self._walker(at_version)
            kept = union(_all_fields(w, pruned), promoted(w, node))
            pruned = removed(w, current, difference(_all_fields(w, current), kept)) or {}
        back = self._converted(_named(pruned, current), last.api_version)
        if back is None:
            return new
        gone = difference(_all_fields(walker, whole), _all_fields(walker, back[0]))
        pruned = removed(walker, whole, intersection(gone, promoted(walker, last.node))) or {}
        out = self._converted(_named(pruned, whole), self._asked.api_version)
        assert out is not None, "the request's own version is served"
        return out[0]

    def _converted(self, obj: Json, api_version: str) -> tuple[Json, Schema] | None:
        if api_version == obj.get("apiVersion"):
            if api_version == self._asked.api_version:
                return obj, self._asked.schema
            found = self._asked.convert(obj, api_version)
            return (obj, found[1]) if found is not None else None
        return self._asked.convert(obj, api_version)

    # -- kubectl's way from client-side apply -------------------------------------------------

    def not_from_client_side_apply(self, found: dict[EntryId, Node]) -> dict[EntryId, Node]:
        """The conflicts that the last-applied annotation does not explain."""
        text = _annotations(self._live).get(LAST_APPLIED)
        try:
            last = orjson.loads(text) if text else None
        except (orjson.JSONDecodeError, TypeError):
            return found
        asked = self._asked
        if not isinstance(last, dict) or last.get("apiVersion") != asked.api_version:
            return found
        if complaints(self._fields.walkers, asked.schema, last):
            return found
        allowed = self._walker(asked.schema).fields(last) or {}
        for node in self._fields.compare(last, self._live, asked.schema):
            if node is not None:
                allowed = difference(allowed, node)
        rest = {key: difference(node, allowed) for key, node in found.items()}
        return {key: node for key, node in rest.items() if node}


def _all_fields(walker: MapWalker, value: Json) -> Node:
    return promoted(walker, walker.fields(value) or {})


def _named(obj: Json, like: Json) -> Json:
    """The object with its kind and version, which removal may have taken."""
    if "apiVersion" in obj and "kind" in obj:
        return obj
    return {**obj, "apiVersion": like.get("apiVersion"), "kind": like.get("kind")}


def _without_owners(obj: Json) -> Json:
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or "managedFields" not in meta:
        return obj
    kept = {name: value for name, value in meta.items() if name != "managedFields"}
    return {**obj, "metadata": kept}


def _annotations(obj: Json) -> Json:
    meta = obj.get("metadata")
    found = meta.get("annotations") if isinstance(meta, dict) else None
    return found if isinstance(found, dict) else {}


def _with_last_applied(out: Applied, config: Json) -> Applied:
    """With the annotation of client-side apply brought up to date, where there is one."""
    annotations = _annotations(out.object)
    if not annotations.get(LAST_APPLIED):
        return out
    meta = dict(config.get("metadata") or {})
    if LAST_APPLIED in _annotations(config):
        kept = {n: v for n, v in meta["annotations"].items() if n != LAST_APPLIED}
        meta["annotations"] = kept
        if not kept:
            del meta["annotations"]
    text = orjson.dumps({**config, "metadata": meta}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    changed = {**annotations, LAST_APPLIED: text}
    obj = {**out.object, "metadata": {**out.object["metadata"], "annotations": changed}}
    return Applied(obj, out.managed)


def _group_version_kind(api_version: Any, kind: Any) -> str:
    text = api_version if isinstance(api_version, str) else ""
    group, _, version = text.rpartition("/")
    if "/" in group:  # no group and version at all
        group = version = ""
    return f"{group}/{version}, Kind={kind if isinstance(kind, str) else ''}"


# -- conflicts ----------------------------------------------------------------------------------


def _conflict_error(found: dict[EntryId, Node]) -> ApiError:
    """409 with one cause per field, the managers in the order of their names."""
    per_manager = {
        _shown_manager(key): [shown_path(path) for path in _members_first(node, ())]
        for key, node in sorted(found.items(), key=lambda item: _sort_key(item[0]))
    }
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, paths in per_manager.items()
        for path in paths
    ]
    if len(causes) == 1:
        message = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for who, paths in per_manager.items():
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for path in paths]
        message = f"{len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", f"Apply failed with {message}", details={"causes": causes})


def _sort_key(key: EntryId) -> tuple[str, str, str, str]:
    return key.manager, key.operation, key.api_version, key.subresource


def _shown_manager(key: EntryId) -> str:
    text = quote(key.manager)
    if key.subresource:
        text += f" with subresource {quote(key.subresource)}"
    return f"{text} using {key.api_version}" if key.operation == "Update" else text


def _members_first(node: Node, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of a set: on each level those in it before those below."""
    # Sets of custom kinds come from the store sorted by text.
    ordered = [(element, node[element]) for element in sorted_elements(node)]
    for element, below in ordered:
        if element != SELF and (not below or SELF in below):
            yield (*at, element)
    for element, below in ordered:
        if below:
            yield from _members_first(below, (*at, element))
