"""Steps of the write pipeline that need nothing but the change and its objects.

Called by `registry/write.py`, which says in which order.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kapi.admission.plugin import Attributes
from kapi.managedfields.manager import decode
from kapi.registry import edits
from kapi.registry.beside import INLINE_BYTES_MAX, Run
from kapi.registry.change import Change
from kapi.registry.conditions import match_path
from kapi.registry.edits import keep, replicas_owned, restore
from kapi.registry.object_meta import validate_managed_fields
from kapi.registry.resource import ScalePaths
from kapi.registry.strategy import Context
from kapi.registry.versions import Versions
from kapi.storage.interface import Record

Json = dict[str, Any]
INVALID_OWNERS = (
    ".metadata.managedFields was in an invalid state after admission; this could be caused by an "
    "outdated mutating admission controller; please fix your requests: "
)


def weigh(change: Change, record: Record | None, aside: Run | None) -> None:
    """Say how the steps are done: at once, or aside where the body or what stands there is large.

    What a webhook converts has its own way, and steps of other kinds know nothing of webhooks.
    """
    size = change.size if record is None else max(change.size, len(record.value))
    if aside is None or size <= INLINE_BYTES_MAX:
        return
    change.beside = partial(aside, size)
    if change.resource.conversions is None:
        change.step = change.beside


def wipe(versions: Versions, change: Change, proposed: Json, live: Json | None) -> None:
    """Put back what the client may not set, in place. May be done twice."""
    paths = change.resource.strategy.resets(change.subresource, change.version.name)
    if change.subresource in ("", "status", "finalize"):
        schema = change.version.schema()
        for path in paths:
            restore(proposed, live, path, versions.absent(schema, path))
    meta = proposed["metadata"]
    if live is None:
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid"):
            meta.pop(name, None)
        meta.pop("creationTimestamp", None)
        return
    old = live["metadata"]
    for name in ("creationTimestamp", "generation", "selfLink"):
        keep(meta, old, name)
    if "deletionTimestamp" in old:
        meta["deletionTimestamp"] = old["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in old and "deletionGracePeriodSeconds" not in meta:
        meta["deletionGracePeriodSeconds"] = old["deletionGracePeriodSeconds"]


def restrict(change: Change, proposed: Json, live: Json | None) -> None:
    """A subresource that may change a few fields only; its writer owns what it asked for,
    though.
    """
    paths = change.resource.strategy.sets.get(change.subresource)
    if paths is not None:
        assert live is not None, "a subresource is of something"
        edits.restrict(proposed, live, paths)


def put_back(
    versions: Versions,
    change: Change,
    proposed: Json,
    live: Json | None,
    owners: list[Json] | None,
) -> None:
    """What an object may not lose, however admission changed it; `owners`: before that."""
    match_path(change, proposed)
    wipe(versions, change, proposed, live)
    restrict(change, proposed, live)
    _keep_owners(change, proposed, owners)


def _keep_owners(change: Change, proposed: Json, owners: list[Json] | None) -> None:
    """Owners as they were, if somebody from outside has left others that cannot be."""
    meta = proposed["metadata"]
    entries = meta.get("managedFields")
    if not entries or entries == owners:
        return
    found = validate_managed_fields(entries, "metadata.managedFields")
    if not found and decode(entries):
        return
    meta.pop("managedFields")
    if owners:
        meta["managedFields"] = owners
    why = str(found[0]) if len(found) == 1 else f"[{', '.join(map(str, found))}]"
    change.warn(INVALID_OWNERS + why)


def attributes(change: Change, proposed: Json, live: Json | None) -> Attributes:
    """What admission is told."""
    r = change.resource
    return Attributes(
        operation="CREATE" if live is None else "UPDATE",
        group=r.group,
        version=change.version.name,
        kind=r.kind,
        resource=r.plural,
        subresource=change.subresource,
        namespace=change.namespace,
        name=change.name or proposed["metadata"].get("name", ""),
        object=proposed,
        old=live,
        user=change.user,
        dry_run=change.options.dry_run,
        patched=change.mode in ("patch", "apply"),
        options=change.options,
        warn=change.warn,
        annotate=change.annotate,
    )


def context(change: Change, current: Json | None, now: float) -> Context:
    return Context(
        operation="CREATE" if current is None else "UPDATE",
        subresource=change.subresource,
        version=change.version.name,
        user=change.user,
        now=now,
    )


def ownerless(change: Change, live: Json | None) -> bool:
    """Whether nobody owns the replicas that a scale changes: only by applying one becomes it."""
    if change.subresource != "scale" or change.mode == "apply":
        return False
    return not replicas_owned(live, scale_paths(change))


def scale_paths(change: Change) -> ScalePaths | None:
    return change.version.subresources["scale"].scale


def encoded(
    versions: Versions, change: Change, stored: Json, current: Json | None, record: Record | None
) -> bytes:
    """The bytes to store, of an object that is put in order in place."""
    versions.arrange(change.resource, stored)
    versions.settlers.settle(change.resource.stored_schema(), stored)
    value = versions.encode_stored(change.resource, stored)
    if record is not None and current is not None and edits.owned_anew(stored, current):
        value = _unless_same(versions, change, stored, current, value, record)
    return value


def _unless_same(
    versions: Versions, change: Change, stored: Json, current: Json, value: bytes, record: Record
) -> bytes:
    """A write that would change nothing but when fields were set does not change that either.

    So does an apply that leaves out again what defaults have put into an atomic map.
    """
    meta, times = stored["metadata"], stored["metadata"]["managedFields"]
    meta["managedFields"] = current["metadata"]["managedFields"]
    before = versions.encode_stored(change.resource, stored)
    if before == record.value:
        return before
    meta["managedFields"] = times
    return value
