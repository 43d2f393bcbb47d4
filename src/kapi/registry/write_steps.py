"""Steps of the write pipeline that need nothing but the change and its objects.

Called by `registry/write.py`, which says in which order.
"""

from __future__ import annotations

from typing import Any

from kapi.admission.plugin import Attributes
from kapi.registry import edits
from kapi.registry.change import Change
from kapi.registry.edits import keep, restore
from kapi.registry.strategy import Context
from kapi.registry.versions import Versions

Json = dict[str, Any]


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
