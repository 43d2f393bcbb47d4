"""THE WRITE PIPELINE. Every create, update, patch and apply of every kind goes through
`Writer.commit`.

The order of its steps is the order of the real server, and stands in that one function. A step that
holds for many kinds is here; what one kind needs is in its strategy. Deletion is the same loop in
`registry/delete.py`.

An attempt works on objects of its own: `current` is decoded anew for each one, nothing is shared
with the cache.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import orjson

from kapi import errors
from kapi.admission.plugin import AdmissionChain, Attributes
from kapi.clock import Clock, Entropy, rfc3339
from kapi.errors import ApiError
from kapi.managedfields.manager import FieldManager
from kapi.registry import object_meta
from kapi.registry.change import Change, Written
from kapi.registry.hooks import Reservation, WriteHook
from kapi.registry.strategy import Context
from kapi.registry.versions import MISSING, Versions
from kapi.storage import keys
from kapi.storage.interface import (
    AlreadyExists,
    Conflict,
    NotFound,
    Record,
    Storage,
    Unavailable,
)

Json = dict[str, Any]
ATTEMPTS_MAX = (
    5  # conflicts in a row before a patch without resourceVersion gives up, as the real server
)
NAME_ATTEMPTS_MAX = 8  # generated names that were all taken (KEP-4420)


class Writer:
    """Writes objects of any kind. One per server."""

    def __init__(
        self,
        storage: Storage,
        versions: Versions,
        fields: FieldManager,
        admission: AdmissionChain,
        clock: Clock,
        entropy: Entropy,
        hooks: tuple[WriteHook, ...] = (),
    ) -> None:
        self._storage = storage
        self._versions = versions
        self._fields = fields
        self._admission = admission
        self._clock = clock
        self._entropy = entropy
        self._hooks = hooks

    async def commit(self, change: Change) -> Written:
        """Carry out a change. Raises ApiError: 400, 403, 404, 409, 422, 500, 503."""
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._attempt(change)
            except _Lost as lost:
                # Somebody was faster. A client that named a version wants to know; else try again.
                if not lost.unconditional or attempts >= ATTEMPTS_MAX:
                    raise self._lost(change, lost.cause) from None
            except _Taken as taken:
                if not taken.generated or attempts >= NAME_ATTEMPTS_MAX:
                    r = change.resource
                    raise errors.already_exists(r.group, r.plural, taken.name) from None

    async def _attempt(self, change: Change) -> Written:
        # 1 what stands there
        record = await self._current(change)
        current = self._versions.decode_stored(change.resource, record) if record else None
        if current is None:
            await self._creating(change)
        # 2 what is asked for
        live = self._versions.from_stored(change.resource, change.version, current)
        proposed = change.propose(live)
        self._match_path(change, proposed)
        # 3 what the client may not set
        unconditional = self._check_version(change, proposed, live)
        self._wipe(change, proposed, live)
        # 4 who owns which field
        if change.unmanaged:
            keep(proposed["metadata"], live["metadata"] if live else {}, "managedFields")
        elif change.mode != "apply":
            proposed = self._versions.settled(change.resource, change.version, proposed)
            self._manage(change, proposed, live)
        self._restrict(change, proposed, live)
        # 5 admission may change it
        attributes = self._attributes(change, proposed, live)
        await self._admission.admit(attributes)
        stored = self._versions.to_stored(change.resource, change.version, proposed)
        # 6 what only the server sets, with what must be reserved
        context = self._context(change, current)
        self._identify(change, stored, current, context)
        reservations: list[Reservation] = []
        try:
            for hook in self._hooks:
                if hook.handles(change.resource, change.subresource):
                    reservations.append(await hook.before_write(stored, current))
            self._prepare(change, stored, current, context)
            # 7 every finding at once, then admission may refuse
            self._validate(change, stored, current, context)
            attributes.object, attributes.old = stored, current
            await self._admission.validate(attributes)
            # 8 nothing to do, or only asked what would happen
            self._versions.arrange(change.resource, stored)
            if not change.options.dry_run:
                self._versions.settlers.settle(change.resource.stored_schema(), stored)
            value = self._versions.encode_stored(change.resource, stored)
            if record is not None and value == record.value:
                return self._written(change, stored, record.revision)
            if change.options.dry_run:
                revision = record.revision if record else 0
                return self._written(change, stored, revision, created=record is None)
            # 9 write it, if nobody was faster
            written = await self._put(change, record, stored, value, unconditional)
            done, reservations = reservations, []
        finally:
            for reservation in reversed(reservations):
                reservation.undo()
        for reservation in done:
            await reservation.commit()
        return written

    # -- 1 ----------------------------------------------------------------------------------------

    async def _current(self, change: Change) -> Record | None:
        if change.mode == "create":
            return None
        key = keys.object_key(change.resource, change.namespace, change.name)
        record: Record | None = await storage_call(self._storage.get(key))
        return record

    async def _creating(self, change: Change) -> None:
        if change.mode == "create":
            return
        if not change.may_create or change.subresource:
            r = change.resource
            raise errors.not_found(r.group, r.plural, change.name)
        if change.authorize_create is not None:
            outcome = change.authorize_create()
            if inspect.isawaitable(outcome):
                await outcome

    # -- 2 and 3 ----------------------------------------------------------------------------------

    def _match_path(self, change: Change, proposed: Json) -> None:
        meta = proposed.get("metadata")
        if meta is None:
            meta = proposed["metadata"] = {}
        name = meta.get("name", "")
        if change.mode != "create" or (change.name and change.subresource):
            if not name:
                raise errors.bad_request(
                    f"the name of the object ({change.name} based on URL) was undeterminable: "
                    "name must be provided"
                )
            if name != change.name:
                raise errors.bad_request(
                    f"the name of the object ({name}) does not match the name on the URL "
                    f"({change.name})"
                )
        namespace = meta.get("namespace", "")
        if not change.resource.namespaced:
            meta.pop("namespace", None)
        elif namespace and namespace != change.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        if change.namespace and not namespace:
            meta["namespace"] = change.namespace

    def _wipe(self, change: Change, proposed: Json, live: Json | None) -> None:
        strategy = change.resource.strategy
        paths = strategy.reset_status if change.subresource == "status" else strategy.reset_main
        if change.subresource in ("", "status"):
            schema = change.version.schema()
            for path in paths:
                restore(proposed, live, path, self._versions.absent(schema, path))
        meta = proposed["metadata"]
        if live is None:
            for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid"):
                meta.pop(name, None)
            meta.pop("creationTimestamp", None)
            meta.pop("generation", None)
            return
        old = live["metadata"]
        for name in ("creationTimestamp", "generation", "selfLink"):
            keep(meta, old, name)
        if "deletionTimestamp" in old:
            meta["deletionTimestamp"] = old["deletionTimestamp"]
        if "deletionGracePeriodSeconds" in old and "deletionGracePeriodSeconds" not in meta:
            meta["deletionGracePeriodSeconds"] = old["deletionGracePeriodSeconds"]

    def _restrict(self, change: Change, proposed: Json, live: Json | None) -> None:
        """A subresource that may change a few fields only; its writer owns what it asked for, though."""
        paths = change.resource.strategy.sets.get(change.subresource)
        if paths is not None:
            assert live is not None, "a subresource is of something"
            restrict(proposed, live, paths)

    def _check_version(self, change: Change, proposed: Json, live: Json | None) -> bool:
        """Optimistic concurrency. True if the client named no version: then a lost race is tried again."""
        meta, r = proposed["metadata"], change.resource
        wanted = meta.pop("resourceVersion", "")
        if live is None:
            if wanted.isdigit() and wanted != "0" and not change.options.dry_run:
                if change.mode == "apply":
                    return True
                raise ApiError(
                    500, "", "resourceVersion should not be set on objects to be created"
                )
            if wanted and change.mode != "create":
                raise errors.conflict(r.group, r.plural, change.name, errors.OBJECT_MODIFIED)
            return True
        old = live["metadata"]
        current = old["resourceVersion"]
        if wanted and not wanted.isdigit():
            raise ApiError(
                500, "", f"strconv.ParseUint: parsing {errors.quote(wanted)}: invalid syntax"
            )
        unconditional = wanted in ("", "0")
        if unconditional and change.mode == "update" and not r.strategy.unconditional_update:
            found = [
                errors.invalid_value(
                    "metadata.resourceVersion", 0, "must be specified for an update"
                )
            ]
            raise errors.invalid(r.group, r.plural, change.name, found)
        uid = meta.get("uid")
        if uid and uid != old["uid"] and change.mode == "update":
            raise self._uid_conflict(change, uid, old)
        if not unconditional and wanted != current:
            raise errors.conflict(r.group, r.plural, change.name, errors.OBJECT_MODIFIED)
        if not uid:
            meta["uid"] = old["uid"]
        return unconditional or (change.mode in ("patch", "apply") and not change.extra.get("rv"))

    def _uid_conflict(self, change: Change, uid: str, old: Json) -> ApiError:
        r = change.resource
        key = keys.object_key(r, change.namespace, change.name)
        return errors.conflict(
            r.group,
            r.plural,
            change.name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {old['uid']}",
        )

    # -- 4 and 5 ----------------------------------------------------------------------------------

    def _manage(self, change: Change, proposed: Json, live: Json | None) -> None:
        unowned = change.resource.strategy.unowned
        entries = self._fields.updated(
            live=without(live, unowned) if live else None,
            new=without(proposed, unowned),
            schema=change.version.schema(),
            api_version=change.version.kind.api_version,
            manager=change.manager,
            subresource=change.subresource,
            now=rfc3339(self._clock.now()),
            convert=self._versions.converter(change.resource),
        )
        if change.subresource == "scale":  # entries of a Scale carry no time
            entries = [timeless(e) if e.get("subresource") == "scale" else e for e in entries]
        meta = proposed["metadata"]
        if entries:
            meta["managedFields"] = entries
        else:
            meta.pop("managedFields", None)

    def _attributes(self, change: Change, proposed: Json, live: Json | None) -> Attributes:
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
            warn=change.warn,
            annotate=change.annotate,
        )

    # -- 6 and 7 ----------------------------------------------------------------------------------

    def _context(self, change: Change, current: Json | None) -> Context:
        return Context(
            operation="CREATE" if current is None else "UPDATE",
            subresource=change.subresource,
            version=change.version.name,
            user=change.user,
            now=self._clock.now(),
        )

    def _identify(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        """A new object's uid, time and name."""
        if current is not None:
            return
        meta = stored["metadata"]
        meta["uid"] = self._entropy.uid()
        meta["creationTimestamp"] = rfc3339(context.now)
        if change.resource.generation:
            meta["generation"] = 1
        if meta.get("generateName") and not meta.get("name"):
            base = meta["generateName"][: object_meta.GENERATED_BASE_MAX]
            meta["name"] = base + self._entropy.name_suffix()
        in_order(meta, self._versions.meta_order)

    def _prepare(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        strategy, meta = change.resource.strategy, stored["metadata"]
        strategy.prepare(stored, current, context)
        counts = change.resource.generation and not change.unmanaged
        if current is not None and counts and _changed(stored, current):
            meta["generation"] = current["metadata"].get("generation", 0) + 1

    def _validate(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        r, strategy, meta = change.resource, change.resource.strategy, stored["metadata"]
        if current is None:
            found = object_meta.validate_create(
                meta,
                namespaced=r.namespaced,
                name_rule=strategy.name_rule,
                standard_finalizers=strategy.standard_finalizers,
            )
        else:
            found = object_meta.validate_update(
                meta, current["metadata"], standard_finalizers=strategy.standard_finalizers
            )
        found += strategy.validate(stored, current, context)
        if found:
            # The kind as it is stored: findings about events.k8s.io are about an Event of core.
            raise errors.invalid(r.stored.group, r.kind, meta.get("name", ""), found)
        strategy.complete(stored, current, context)
        for text in strategy.warnings(stored, current, context):
            change.warn(text)

    # -- 9 ----------------------------------------------------------------------------------------

    async def _put(
        self,
        change: Change,
        record: Record | None,
        stored: Json,
        value: bytes,
        unconditional: bool,
    ) -> Written:
        meta = stored["metadata"]
        key = keys.object_key(change.resource, change.namespace, meta["name"])
        try:
            if record is None:
                revision = await storage_call(self._storage.create(key, value))
                return self._written(change, stored, revision, created=True)
            expected = record.revision
            if _finished(meta) and not change.resource.strategy.held(stored):
                _, revision = await storage_call(
                    self._storage.delete(key, expected_revision=expected)
                )
                return self._written(change, stored, revision, deleted=True)
            revision = await storage_call(
                self._storage.update(key, value, expected_revision=expected)
            )
            return self._written(change, stored, revision)
        except (Conflict, NotFound) as e:
            raise _Lost(unconditional, e) from None
        except AlreadyExists:
            generated = change.mode == "create" and not change.name
            raise _Taken(generated and bool(meta.get("generateName")), meta["name"]) from None

    def _written(
        self,
        change: Change,
        stored: Json,
        revision: int,
        *,
        created: bool = False,
        deleted: bool = False,
    ) -> Written:
        with_version(stored, revision)
        obj = self._versions.from_stored(change.resource, change.version, stored)
        assert obj is not None
        return Written(obj, created, deleted)

    def _lost(self, change: Change, lost: Exception) -> ApiError:
        r = change.resource
        if isinstance(lost, NotFound) or (isinstance(lost, Conflict) and lost.current is None):
            return errors.not_found(r.group, r.plural, change.name)
        return errors.conflict(r.group, r.plural, change.name, errors.OBJECT_MODIFIED)


class _Lost(Exception):
    """Somebody changed or removed the object meanwhile."""

    def __init__(self, unconditional: bool, cause: Exception) -> None:
        self.unconditional, self.cause = unconditional, cause


class _Taken(Exception):
    """The name of a new object is not free."""

    def __init__(self, generated: bool, name: str) -> None:
        self.generated, self.name = generated, name


async def storage_call(call: Any) -> Any:
    """Await a storage call; a backend that cannot answer now is a 503."""
    try:
        return await call
    except Unavailable as e:
        raise errors.service_unavailable(f"storage is unavailable: {e}", retry_after=1) from e


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
    return orjson.loads(orjson.dumps(value)) if value.__class__ in (dict, list) else value


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
    """Keep of `proposed` only what lies at `paths`, and its version: everything else stays as it is."""
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


def _changed(stored: Json, current: Json) -> bool:
    """Whether anything but metadata and status differs."""
    for name in stored.keys() | current.keys():
        if name not in ("metadata", "status", "kind", "apiVersion") and (
            stored.get(name) != current.get(name)
        ):
            return True
    return False


def timeless(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name != "time"}


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


def _finished(meta: Json) -> bool:
    """A deleted object whose last finalizer is gone."""
    return (
        "deletionTimestamp" in meta
        and not meta.get("finalizers")
        and meta.get("deletionGracePeriodSeconds", 0) == 0
    )
