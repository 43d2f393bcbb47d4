"""THE WRITE PIPELINE. Every create, update, patch and apply of every kind goes through
`Writer.commit`.

The order of its steps is the order of the real server, and stands in that one function. A step that
holds for many kinds is here; what one kind needs is in its strategy. Deletion: `delete.py`.

An attempt works on objects of its own: `current` is decoded anew for each one, nothing is shared
with the cache. The first one may build on what this server has heard (`hearsay.py`).
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from kapi import errors
from kapi.admission.plugin import AdmissionChain
from kapi.clock import Clock, Entropy, rfc3339
from kapi.errors import ApiError, TooManyFindings, bounded_findings
from kapi.managedfields.manager import FieldManager
from kapi.registry import object_meta
from kapi.registry import write_steps as steps
from kapi.registry.beside import Run
from kapi.registry.change import Change, Written
from kapi.registry.conditions import check_version, match_path
from kapi.registry.conversion import ConversionFailed, at_once, undecodable
from kapi.registry.edits import (
    finished,
    in_order,
    keep,
    owned_after_scale,
    timeless,
    wanted_changed,
    with_version,
    without,
)
from kapi.registry.emptied import findings
from kapi.registry.hearsay import Heard, Sight, nothing, on_hearsay
from kapi.registry.hooks import Held, Hook, Occupied
from kapi.registry.storing import storage_call
from kapi.registry.strategy import Context
from kapi.registry.versions import Versions
from kapi.registry.warned import Warned
from kapi.storage import keys
from kapi.storage.interface import AlreadyExists, Conflict, NotFound, Record, Storage

Json = dict[str, Any]
# Conflicts in a row before a patch without resourceVersion gives up, as the real server.
ATTEMPTS_MAX = 5
NAME_ATTEMPTS_MAX = 8  # generated names that were all taken (KEP-4420)
OCCUPIED_MAX = 4096  # addresses that turned out to be others'; each is met once


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
        hooks: tuple[Hook, ...] = (),
        heard: Heard = nothing,
        aside: Run | None = None,
    ) -> None:
        """`aside` does the work of large objects, so that other requests go on meanwhile."""
        self._aside = aside
        self._storage = storage
        self._heard = heard
        self._versions = versions
        self._fields = fields
        self._admission = admission
        self._clock = clock
        self._entropy = entropy
        self._hooks = hooks

    async def commit(self, change: Change) -> Written:
        """Carry out a change. Raises ApiError: 400, 403, 404, 409, 422, 500, 503."""
        if change.resource.conversions is None:
            return await self._commit(change)
        with change.resource.conversions.session() as session:
            change.step = session.step
            return await self._commit(change)

    async def _commit(self, change: Change) -> Written:
        heard = None
        if change.mode != "create":
            heard = self._heard(change.resource, change.namespace, change.name)
        if heard is not None:
            attempt, look = partial(self._attempt, change), partial(self._current, change)
            written = await on_hearsay(heard, attempt, look, (_Lost, Occupied))
            if written is not None:
                return written
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._attempt(change, Sight(await self._current(change)))
            except _Lost as lost:
                # Somebody was faster. A client that named a version wants to know; else try again.
                if not lost.unconditional or attempts >= ATTEMPTS_MAX:
                    raise self._lost(change, lost.cause) from None
            except Occupied:
                if attempts >= OCCUPIED_MAX:
                    raise
            except _Taken as taken:
                if not taken.generated or attempts >= NAME_ATTEMPTS_MAX:
                    r = change.resource
                    raise errors.already_exists(r.group, r.plural, taken.name) from None

    async def _attempt(self, change: Change, sight: Sight) -> Written:
        # 1 what stands there
        record = sight.record
        steps.weigh(change, record, self._aside)
        current, live = None, None
        if record is not None:
            current, live = await change.step(lambda: self._read(change, record))
        if current is None:
            await self._creating(change)
        # 2 what is asked for
        proposed = await change.step(lambda: change.propose(live))
        match_path(change, proposed)
        # 3 what the client may not set
        unconditional = check_version(change, proposed, live)
        steps.wipe(self._versions, change, proposed, live)
        # 4 who owns which field
        if change.unmanaged or steps.ownerless(change, live):
            keep(proposed["metadata"], live["metadata"] if live else {}, "managedFields")
        elif change.mode != "apply":
            r, v = change.resource, change.version
            proposed = await change.beside(partial(self._versions.settled, r, v, proposed))
            await change.step(lambda: self._manage(change, proposed, live))
        steps.restrict(change, proposed, live)
        # 5 admission may change it
        attributes = steps.attributes(change, proposed, live)
        owners = proposed["metadata"].get("managedFields")
        if not change.admitted:
            await self._admission.admit(attributes)
        if attributes.mutated:
            steps.put_back(self._versions, change, proposed, live, owners)
        # A custom kind is settled in the version of the request, and converted last.
        late = change.resource.custom
        work, before = proposed, live
        if not late:
            work = await change.beside(
                lambda: self._versions.to_stored(change.resource, change.version, proposed)
            )
            before = current
        # 6 what only the server sets, with what must be reserved
        context = steps.context(change, before, self._clock.now())
        self._identify(change, work, before, context)
        held = Held(self._hooks, change.resource, change.subresource)
        try:
            await held.take(work, before)
            # 7 every finding at once, then admission may refuse
            warned = Warned(change, work, before, context)
            await change.beside(lambda: self._examine(change, work, before, context, warned))
            if not change.admitted:
                attributes.object, attributes.old = work, before
                await warned.around(self._admission.validate, attributes)
            # 8 nothing to do, or only asked what would happen
            stored = work
            if late:
                stored = await change.step(
                    lambda: self._versions.to_stored(change.resource, change.version, work)
                )
            value = await change.beside(
                lambda: steps.encoded(self._versions, change, stored, current, record)
            )
            same = record is not None and value == record.value and not record.stale
            if same or change.options.dry_run:
                warned.tell()
                return await self._unwritten(change, stored, record)
            # 9 write it, if nobody was faster
            put = partial(self._put, change, sight, stored, value, unconditional, warned)
            return await held.store(put, current)
        finally:
            await held.undo()

    # -- 1 ----------------------------------------------------------------------------------------

    async def _current(self, change: Change) -> Record | None:
        if change.mode == "create":
            return None
        key = keys.object_key(change.resource, change.namespace, change.name)
        record: Record | None = await storage_call(self._storage.get(key))
        return record

    def _read(self, change: Change, record: Record) -> tuple[Json, Json | None]:
        """What stands there, as stored and in the version of the change."""
        try:
            current = self._versions.decode_stored(change.resource, record)
            return current, self._versions.from_stored(change.resource, change.version, current)
        except ConversionFailed as e:
            raise undecodable(e, record.revision) from None

    async def _creating(self, change: Change) -> None:
        if change.resource.terminating:
            refusal = errors.method_not_allowed(change.resource.group, change.resource.plural)
            verb = "patch" if change.mode == "apply" else change.mode
            text = f"{verb} not allowed while custom resource definition is terminating"
            raise ApiError(refusal.code, refusal.reason, text, details=refusal.details)
        if change.mode == "create":
            return
        if not change.may_create or change.subresource:
            r = change.resource
            raise errors.not_found(r.group, r.plural, change.name)
        if change.authorize_create is not None:
            outcome = change.authorize_create()
            if inspect.isawaitable(outcome):
                await outcome

    # -- 4 ----------------------------------------------------------------------------------------

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
            entries = owned_after_scale(entries, proposed, steps.scale_paths(change))
        meta = proposed["metadata"]
        if entries:
            meta["managedFields"] = entries
        else:
            meta.pop("managedFields", None)

    # -- 6 and 7 ----------------------------------------------------------------------------------

    def _identify(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        """A new object's uid, time and name."""
        if current is not None:
            return
        strategy, meta = change.resource.strategy, stored["metadata"]
        meta["uid"] = self._entropy.uid()
        meta["creationTimestamp"] = rfc3339(context.now)
        if change.resource.generation:
            meta["generation"] = 1
        if meta.get("generateName") and not meta.get("name"):
            base = meta["generateName"][: object_meta.GENERATED_BASE_MAX]
            suffix = self._entropy.name_suffix() if strategy.generates_names else ""
            meta["name"] = base + suffix
        in_order(meta, self._versions.meta_order)

    def _prepare(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        strategy, meta = change.resource.strategy, stored["metadata"]
        strategy.prepare(stored, current, context)
        for text in context.warned:
            change.warn(text)
        counts = change.resource.generation and not change.unmanaged
        uncounted = strategy.uncounted(change.version.name)
        exact = change.resource.custom or self._versions.spellings.any(change.version.schema())
        if (
            current is not None
            and counts
            and wanted_changed(stored, current, uncounted, exact=exact)
        ):
            meta["generation"] = current["metadata"].get("generation", 0) + 1

    def _examine(
        self,
        change: Change,
        stored: Json,
        current: Json | None,
        context: Context,
        warned: Warned,
    ) -> None:
        """Raises ApiError 422 with all that is wrong."""
        self._prepare(change, stored, current, context)
        try:
            with bounded_findings():
                self._validate(change, stored, current, context)
        except TooManyFindings as e:
            raise self._invalid(change, stored, e.found) from None
        if change.beside is not at_once:  # a large object: what takes long is done here
            warned.look()

    def _validate(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        """`stored` and `current` may be in the version of the request: of a custom kind."""
        strategy, meta = change.resource.strategy, stored["metadata"]
        if current is None:
            found = object_meta.validate_create(
                meta,
                namespaced=change.resource.namespaced,
                name_rule=strategy.name_rule_of(stored),
                standard_finalizers=strategy.standard_finalizers,
            )
        else:
            found = object_meta.validate_update(
                meta, current["metadata"], standard_finalizers=strategy.standard_finalizers
            )
            found *= strategy.metadata_checks
        found += findings(change, stored, current, context)
        if found:
            raise self._invalid(change, stored, found)
        strategy.complete(stored, current, context)

    def _invalid(self, change: Change, stored: Json, found: list[errors.FieldError]) -> ApiError:
        # The kind as it is stored: findings about events.k8s.io are about an Event of core.
        kind = stored.get("kind", change.resource.kind)  # a custom object may say another
        name = stored["metadata"].get("name", "")
        return errors.invalid(change.resource.stored.group, kind, name, found)

    # -- 8 and 9 ----------------------------------------------------------------------------------

    async def _unwritten(self, change: Change, stored: Json, record: Record | None) -> Written:
        """What would be written. A dry create of a name that is taken is refused as a real one."""
        if record is not None:
            return await self._written(change, stored, record.revision)
        name = stored["metadata"]["name"]
        key = keys.object_key(change.resource, change.namespace, name)
        if await storage_call(self._storage.get(key)) is not None:
            raise _Taken(change.mode == "create" and not change.name, name)
        return await self._written(change, stored, 0, created=True)

    async def _put(
        self,
        change: Change,
        sight: Sight,
        stored: Json,
        value: bytes,
        unconditional: bool,
        warned: Warned,
    ) -> Written:
        meta, record = stored["metadata"], sight.record
        key = keys.object_key(change.resource, change.namespace, meta["name"])
        sight.sent = True
        try:
            if record is None:
                revision = await storage_call(self._storage.create(key, value), warned.tell)
                return await self._written(change, stored, revision, created=True)
            expected = record.revision
            if finished(meta) and not change.resource.strategy.held(stored):
                deleting = self._storage.delete(key, expected_revision=expected)
                _, revision = await storage_call(deleting, warned.tell)
                return await self._written(change, stored, revision, deleted=True)
            updating = self._storage.update(key, value, expected_revision=expected)
            revision = await storage_call(updating, warned.tell)
            return await self._written(change, stored, revision)
        except (Conflict, NotFound) as e:
            raise _Lost(unconditional, e) from None
        except AlreadyExists:
            generated = change.mode == "create" and not change.name
            raise _Taken(generated and bool(meta.get("generateName")), meta["name"]) from None

    async def _written(
        self,
        change: Change,
        stored: Json,
        revision: int,
        *,
        created: bool = False,
        deleted: bool = False,
    ) -> Written:
        with_version(stored, revision)
        obj = await change.step(
            lambda: self._versions.from_stored(change.resource, change.version, stored)
        )
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
