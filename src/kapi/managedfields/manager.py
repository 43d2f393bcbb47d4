"""Who owns which field: works out `metadata.managedFields` for every write that is not an apply.

Called by `registry/write.py` with the live and the new object in the version of the request, before
admission. The rule: what this write adds or changes belongs to its manager, and to nobody else who
did not apply it anew; what it removes belongs to nobody. An entry is one manager, operation,
subresource and version; its time moves when it takes fields. What identifies an object is not
owned, and neither is what its kind resets in this place.

At most ten entries come from updates: older ones are merged into the entry `ancient-changes`. An
object that lost its entries (a client set them to `[{}]`) stays without until it is applied.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kapi.managedfields import fieldsv1
from kapi.managedfields.elements import SELF
from kapi.managedfields.fieldset import FieldSet, Node, difference, union, without
from kapi.managedfields.fieldsv1 import FieldsV1Error
from kapi.managedfields.typed import Diff, ListItemError, MapWalker
from kapi.managedfields.walkers import Walkers
from kapi.schema.decoding import Decoders
from kapi.schema.structural import Schema

Json = dict[str, Any]
# To another version of the kind by apiVersion, with its schema; None: it is not served any more.
Convert = Callable[[Json, str], tuple[Json, Schema] | None]

UPDATE_ENTRIES_MAX = 10  # entries of updates in one object; the real server's own limit
ANCIENT = "ancient-changes"
UNKNOWN = "unknown"  # the manager of a client that names none
MANAGER_BYTES_MAX = 128  # of a name taken from a user agent; what a client gives is checked
FIELDS_TYPE = "FieldsV1"

_ENVELOPE = frozenset(("apiVersion", "kind", "metadata"))
# What identifies an object or is the server's own: owned by nobody.
_IDENTITY = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)
# The same as a set, with the envelope: what an applied configuration names without owning it.
STRIPPED: Node = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {SELF: {}, **{f"f:{name}": {} for name in sorted(_IDENTITY)}},
}


def default_manager(user_agent: str) -> str:
    """The manager of a client that names none: its user agent up to the first `/`, cut to fit."""
    name = user_agent.partition("/")[0]
    if name.isascii() and name.isprintable():
        return name[:MANAGER_BYTES_MAX]
    printable = "".join(c for c in name if c.isprintable())
    return printable.encode()[:MANAGER_BYTES_MAX].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class EntryId:
    """What makes an entry: of an apply the version does not count."""

    manager: str
    operation: str
    api_version: str
    subresource: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of managedFields. `wire`: as it came, while it still is so."""

    manager: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str
    time: str | None
    node: Node
    wire: Json | None = None

    @property
    def id(self) -> EntryId:
        version = "" if self.operation == "Apply" else self.api_version
        return EntryId(self.manager, self.operation, version, self.subresource)

    def with_node(self, node: Node) -> Entry:
        if node is self.node:
            return self
        return Entry(
            self.manager, self.operation, self.api_version, self.subresource, self.time, node
        )

    def encode(self) -> Json:
        if self.wire is not None:
            return self.wire
        out: Json = {}
        if self.manager:
            out["manager"] = self.manager
        out["operation"] = self.operation
        out["apiVersion"] = self.api_version
        if self.time is not None:
            out["time"] = self.time
        out["fieldsType"] = FIELDS_TYPE
        out["fieldsV1"] = self.node
        if self.subresource:
            out["subresource"] = self.subresource
        return out


Managed = dict[EntryId, Entry]


class FieldManager:
    """Works out managedFields. One per server: it keeps what it compiled for each schema."""

    def __init__(self, decoders: Decoders) -> None:
        self.walkers = Walkers()
        self._decoders = decoders

    def updated(
        self,
        *,
        live: Json | None,
        new: Json,
        schema: Schema,
        api_version: str,
        manager: str,
        subresource: str,
        now: str,
        reset: FieldSet | None = None,
        convert: Convert,
    ) -> list[Json]:
        """The managedFields of `new`, which replaces `live` (None: is created); [] for none.

        `api_version` is that of both objects and of `schema`; `now` is RFC 3339; `reset` holds what
        the kind does not take from clients here. What `new` carries as managedFields counts as the
        client's wish. The list of `live` itself where nothing changed. Arguments stay as they are,
        the result may share with them.
        """
        carried = managed_list(live)
        managed, from_live = _decode_live_or_new(carried, new, subresource)
        if not managed and live is not None:
            return carried if from_live and not carried else []
        try:
            if live is None:
                live = self.empty(schema, api_version, new.get("kind", ""))
            compared = self.comparisons(live, new, schema, api_version, reset, convert)
            after = self._update(managed, compared, manager, subresource, now)
        except (ListItemError, RecursionError):
            # A list item that nothing names, in an object that validation will refuse or that
            # is older than its schema: the real server then keeps no owners at all.
            return []
        return encode(after, carried)

    def _update(
        self, managed: Managed, compared: Comparisons, manager: str, subresource: str, now: str
    ) -> Managed:
        changed, _ = compared.own
        after: Managed = {}
        for key, entry in managed.items():
            diff = compared.at(entry.api_version)
            if diff is None:
                continue
            node = entry.node
            for gone in diff:
                if gone is not None:
                    node = difference(node, gone)
            if node:
                after[key] = entry.with_node(node)
        if changed is not None:
            entry = Entry(
                manager or UNKNOWN, "Update", compared.api_version, subresource, now, changed
            )
            before = after.pop(entry.id, None)
            if before is not None:
                entry = entry.with_node(union(before.node, changed))
            after[entry.id] = entry
        return _capped(after)

    def comparisons(
        self,
        live: Json,
        new: Json,
        schema: Schema,
        api_version: str,
        reset: FieldSet | None,
        convert: Convert,
    ) -> Comparisons:
        """What differs between two objects, in any version; `api_version` is theirs."""
        return Comparisons(self, live, new, schema, api_version, reset, convert)

    def compare(self, old: Json, new: Json, schema: Schema) -> Diff:
        """What differs between two objects but for what identifies them."""
        walker = self.walkers.walker(schema)
        assert isinstance(walker, MapWalker), "a kind is an object"
        return walker.compare(owned_part(old), owned_part(new)) or (None, None)

    def empty(self, schema: Schema, api_version: str, kind: str) -> Json:
        """An object of the kind to which nothing happened yet: what its struct prints anyway."""
        zero: Json = self._decoders.zero(schema)() if schema.typed else {}
        return {**zero, "apiVersion": api_version, "kind": kind}


class Comparisons:
    """Live and new object compared in the versions that entries are of, each once."""

    def __init__(
        self,
        fields: FieldManager,
        live: Json,
        new: Json,
        schema: Schema,
        api_version: str,
        reset: FieldSet | None,
        convert: Convert,
    ) -> None:
        self.api_version = api_version
        self._fields = fields
        self._live = live
        self._new = new
        self._reset = reset
        self._convert = convert
        self.own = self._compare(self._live, new, schema)
        self._found: dict[str, Diff | None] = {api_version: self.own}

    def at(self, api_version: str) -> Diff | None:
        """The difference in a version; None if the version is not served any more."""
        if api_version not in self._found:
            old, new = (
                self._convert(self._live, api_version),
                self._convert(self._new, api_version),
            )
            found = None
            if old is not None and new is not None:
                found = self._compare(old[0], new[0], old[1])
            self._found[api_version] = found
        return self._found[api_version]

    def _compare(self, old: Json, new: Json, schema: Schema) -> Diff:
        changed, removed = self._fields.compare(old, new, schema)
        if self._reset is not None:
            if changed is not None:
                changed = without(changed, self._reset.root) or None
            if removed is not None:
                removed = without(removed, self._reset.root) or None
        return changed, removed


def owned_part(obj: Mapping[str, Any]) -> Json:
    """The object without what nobody owns."""
    out = {name: value for name, value in obj.items() if name not in _ENVELOPE}
    meta = obj.get("metadata")
    kept = meta.items() if isinstance(meta, dict) else ()
    out["metadata"] = {name: value for name, value in kept if name not in _IDENTITY}
    return out


# -- entries ------------------------------------------------------------------------------------


def managed_list(obj: Json | None) -> list[Json]:
    meta = obj.get("metadata") if obj is not None else None
    found = meta.get("managedFields") if isinstance(meta, dict) else None
    return found if isinstance(found, list) else []


def _decode_live_or_new(carried: list[Json], new: Json, subresource: str) -> tuple[Managed, bool]:
    """The entries to start from, and whether they are those of the live object."""
    wished = managed_list(new)
    if not subresource and wished and wished is not carried:
        if wished == [{}]:
            return {}, False
        if wished != carried:
            managed = _read_wish(wished)
            if managed:
                return managed, False
    return decode(carried), True


def decode(entries: list[Json]) -> Managed:
    """The entries as kapi stored them; none at all where one is malformed."""
    managed: Managed = {}
    for e in entries:
        node = e.get("fieldsV1")
        if not _well_formed(e):
            return {}
        entry = Entry(
            e.get("manager", ""), e["operation"], e["apiVersion"], e.get("subresource", ""),
            e.get("time"), node if isinstance(node, dict) else {}, e,
        )  # fmt: skip
        managed[entry.id] = entry
    return managed


def _read_wish(entries: list[Json]) -> Managed:
    """The entries as a client sent them; none at all where one is malformed."""
    managed: Managed = {}
    for e in entries:
        if not _well_formed(e):
            return {}
        try:
            node = fieldsv1.read(e.get("fieldsV1")).root
        except FieldsV1Error:
            return {}
        entry = Entry(
            e.get("manager", ""), e["operation"], e["apiVersion"], e.get("subresource", ""),
            e.get("time"), node,
        )  # fmt: skip
        managed[entry.id] = entry
    return managed


def _well_formed(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in ("Apply", "Update")
        and bool(entry.get("apiVersion"))
        and entry.get("fieldsType") == FIELDS_TYPE
    )


def _capped(managed: Managed) -> Managed:
    """With the oldest entries of updates merged, per version, until there are few enough."""
    updates = [e for e in managed.values() if e.operation == "Update"]
    excess = len(updates) - UPDATE_ENTRIES_MAX
    if excess <= 0:
        return managed
    out = dict(managed)
    first: dict[str, Entry] = {}  # the oldest entry of each version
    for entry in sorted(updates, key=_age):
        if excess <= 0:
            break
        oldest = first.setdefault(entry.api_version, entry)
        if oldest is entry:
            continue
        bucket = Entry(ANCIENT, "Update", entry.api_version, "", entry.time, entry.node)
        before = out.get(bucket.id)
        if before is None:
            del out[oldest.id]
            before = oldest
        del out[entry.id]
        out[bucket.id] = bucket.with_node(union(before.node, entry.node))
        excess -= 1
    return out


def _age(entry: Entry) -> tuple[str, str, str, str]:
    return entry.time or "", entry.manager, entry.api_version, entry.subresource


def encode(managed: Managed, carried: list[Json]) -> list[Json]:
    """The list of entries in its order; `carried` itself if it is that."""
    entries = sorted(managed.values(), key=lambda e: (e.operation, *_age(e)))
    out = [e.encode() for e in entries]
    if len(out) == len(carried) and all(a is b for a, b in zip(out, carried, strict=True)):
        return carried
    return out
