"""Deletion: preconditions, grace period, finalizers and propagation decide between "mark" and
"remove".

The same loop as `registry/write.py`: read, decide, let admission refuse, write if nobody was
faster.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kapi import errors
from kapi.admission.plugin import AdmissionChain, Attributes
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError
from kapi.messages import UserInfo
from kapi.registry.conversion import ConversionFailed, Corrupt, Step, at_once
from kapi.registry.corrupt import CorruptObject
from kapi.registry.edits import put_finalizers, set_deletion, with_version
from kapi.registry.hearsay import Heard, Sight, nothing, on_hearsay
from kapi.registry.hooks import Hook, to_the_end
from kapi.registry.options import DeleteOptions, Preconditions
from kapi.registry.resource import ResourceType, Version
from kapi.registry.storing import storage_call
from kapi.registry.versions import Versions
from kapi.registry.write import ATTEMPTS_MAX
from kapi.schema.scalars import parse_time
from kapi.storage import keys
from kapi.storage.interface import Conflict, NotFound, Record, Storage, why_unreadable

Json = dict[str, Any]
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(slots=True, kw_only=True)
class Deletion:
    """One deletion as asked for."""

    resource: ResourceType
    version: Version
    namespace: str
    name: str
    options: DeleteOptions
    user: UserInfo
    warn: Callable[[str], None] = lambda text: None
    annotate: Callable[[str, str], None] = lambda key, value: None
    collection: bool = False  # one of all that were selected, not named itself
    admitted: bool = False  # admission was asked about what led to it: not again
    step: Step = at_once  # how work that may convert objects is done; the deleter sets it


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object as it was left or as it last was, in the version of the request; and whether it is
    gone.
    """

    object: Json
    gone: bool


class Deleter:
    """Deletes objects of any kind. One per server."""

    def __init__(
        self,
        storage: Storage,
        versions: Versions,
        admission: AdmissionChain,
        clock: Clock,
        hooks: Sequence[Hook] = (),
        *,
        heard: Heard = nothing,
        collects: bool = True,
    ) -> None:
        """`collects`: a garbage collector is there to act on propagation finalizers."""
        self._heard = heard
        self._collects = collects
        self._storage = storage
        self._versions = versions
        self._admission = admission
        self._clock = clock
        self._hooks = hooks

    async def delete(self, deletion: Deletion) -> Deleted:
        """Mark or remove an object. Raises ApiError: 403, 404, 409, 503."""
        if deletion.resource.conversions is None:
            return await self._delete(deletion)
        with deletion.resource.conversions.session() as session:
            return await self._delete(replace(deletion, step=session.step))

    async def _delete(self, deletion: Deletion) -> Deleted:
        resource, options = deletion.resource, deletion.options
        key = keys.object_key(resource, deletion.namespace, deletion.name)
        if options.unread:
            return await self._remove_unread(deletion, key)
        warning = resource.strategy.deletion_warning
        if warning and options.propagation_policy is None and options.orphan_dependents is None:
            deletion.warn(warning)
        attempt, lost = partial(self._attempt, deletion), (Conflict, NotFound)
        heard = self._heard(resource, deletion.namespace, deletion.name)
        if heard is not None:
            deleted = await on_hearsay(heard, attempt, lambda: self._current(key), lost)
            if deleted is not None:
                return deleted
        for _ in range(ATTEMPTS_MAX):
            record = await self._current(key)
            if record is None:
                raise errors.not_found(resource.group, resource.plural, deletion.name)
            try:
                return await attempt(Sight(record))
            except lost:
                continue
        raise errors.conflict(
            resource.group, resource.plural, deletion.name, errors.OBJECT_MODIFIED
        )

    async def _remove_unread(self, deletion: Deletion, key: str) -> Deleted:
        """Take an object out that cannot be read; one that can be is not (KEP-3926)."""
        resource, name = deletion.resource, deletion.name
        record = await self._current(key)
        if record is None:
            raise errors.not_found(resource.group, resource.plural, name)
        if not why_unreadable(record.value):
            raise errors.conflict(
                resource.group,
                resource.plural,
                name,
                f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
                "AdditionalErrorMsg: unsafe deletion is not allowed because the object is "
                "decodable from storage",
            )
        try:
            await storage_call(self._storage.delete(key, expected_revision=record.revision))
        except (Conflict, NotFound):
            raise errors.conflict(
                resource.group, resource.plural, name, errors.OBJECT_MODIFIED
            ) from None
        return Deleted({"metadata": {"name": name}}, gone=True)

    async def _current(self, key: str) -> Record | None:
        record: Record | None = await storage_call(self._storage.get(key))
        return record

    async def _attempt(self, deletion: Deletion, sight: Sight) -> Deleted:
        """Raises Conflict and NotFound if the store has something else."""
        record = sight.record
        assert record is not None
        current = await deletion.step(partial(self._read, deletion, record))
        check_preconditions(
            deletion.resource,
            deletion.name,
            deletion.options,
            current["metadata"],
            named=not deletion.collection,
        )
        if not deletion.admitted:
            await self._admit(deletion, current)
        marked, stays = await deletion.step(partial(self._mark, deletion, record))
        if not stays:
            if _grace(marked) != _grace(current) and not deletion.options.dry_run:
                return await self._announce_and_remove(deletion, sight, current, marked)
            return await self._remove(deletion, sight, current, marked)
        return await self._update(deletion, sight, marked)

    def _read(self, deletion: Deletion, record: Record) -> Json:
        """What stands there. Raises ApiError 500 if it could not be shown."""
        why = why_unreadable(record.value)
        if why:
            raise CorruptObject(record.key, why)
        try:
            current = self._versions.decode_stored(deletion.resource, record)
            if deletion.resource.custom:
                self._versions.from_stored(deletion.resource, deletion.version, current)
            return current
        except ConversionFailed as e:
            raise Corrupt(record.key, record.revision, e) from None

    async def _admit(self, deletion: Deletion, current: Json) -> None:
        r = deletion.resource
        attributes = Attributes(
            operation="DELETE",
            group=r.group,
            version=deletion.version.name,
            kind=r.kind,
            resource=r.plural,
            subresource="",
            namespace=deletion.namespace,
            name=deletion.name,
            object=None,
            old=current,
            user=deletion.user,
            dry_run=deletion.options.dry_run,
            options=deletion.options,
            warn=deletion.warn,
            annotate=deletion.annotate,
        )
        await self._admission.admit(attributes)
        await self._admission.validate(attributes)

    def _mark(self, deletion: Deletion, record: Record) -> tuple[Json, bool]:
        """The object with its marks of deletion, and whether it stays: whether something holds it.

        It is as it was where a deletion is already under way. What goes at once is marked where
        its kind has a grace period, be it zero, and the answer shows it.
        """
        strategy, options = deletion.resource.strategy, deletion.options
        obj = self._versions.decode_stored(deletion.resource, record)
        meta = obj["metadata"]
        now = self._clock.now()
        grace = _requested(options)
        if "deletionTimestamp" in meta:
            held = meta.get("deletionGracePeriodSeconds")
            if held:  # only a shorter grace period may follow
                if grace is None or grace >= held:
                    return obj, True
                began = parse_time(meta["deletionTimestamp"])[0] - held
                set_deletion(meta, rfc3339(began + grace), grace)
                return obj, grace > 0 or bool(meta.get("finalizers"))
            self._propagate(deletion, meta)
            return obj, bool(meta.get("finalizers")) or strategy.held(obj)
        period = strategy.grace_period(obj, grace)
        self._propagate(deletion, meta)
        if period is not None:
            set_deletion(meta, rfc3339(now + period), period)
            _bump(meta)
            return obj, period > 0 or bool(meta.get("finalizers"))
        own_way = not (deletion.collection and strategy.own_deletion)
        if own_way and strategy.mark_deleted(obj, rfc3339(now)):
            return obj, True
        if meta.get("finalizers"):
            set_deletion(meta, rfc3339(now), 0)
            _bump(meta)
            return obj, True
        return obj, False

    def _propagate(self, deletion: Deletion, meta: Json) -> None:
        """Turn the propagation policy into finalizers for the garbage collector."""
        options, strategy = deletion.options, deletion.resource.strategy
        propagates = strategy.propagates or (deletion.collection and strategy.own_deletion)
        if not propagates or not self._collects:
            return
        held = meta.get("finalizers") or []
        orphan = foreground = False
        if options.orphan_dependents is not None:
            orphan = options.orphan_dependents
        elif options.propagation_policy is not None:
            orphan = options.propagation_policy == "Orphan"
            foreground = options.propagation_policy == "Foreground"
        else:
            orphan = ORPHAN in held or (FOREGROUND not in held and strategy.orphans_by_default)
            foreground = FOREGROUND in held and ORPHAN not in held
        rest = [f for f in held if f not in (ORPHAN, FOREGROUND)]
        wanted = rest + [ORPHAN] * orphan + [FOREGROUND] * foreground
        if set(wanted) != set(held):
            put_finalizers(meta, wanted)

    async def _announce_and_remove(
        self, deletion: Deletion, sight: Sight, current: Json, marked: Json
    ) -> Deleted:
        """Show that the object goes, then remove it: a kind with a grace period goes in two steps,
        be the period zero. What is left between them goes with the next deletion.
        """
        record = sight.record
        assert record is not None
        value = self._versions.encode_stored(deletion.resource, marked)
        sight.sent = True
        revision = await storage_call(
            self._storage.update(record.key, value, expected_revision=record.revision)
        )
        shown = replace(record, value=value, revision=revision)
        try:
            return await self._remove(deletion, Sight(shown), current, marked)
        except NotFound:  # whoever else was to remove it did
            return Deleted(await self._answer(deletion, marked, revision), gone=True)

    async def _remove(
        self, deletion: Deletion, sight: Sight, current: Json, marked: Json
    ) -> Deleted:
        record = sight.record
        assert record is not None
        revision = record.revision
        if not deletion.options.dry_run:
            sight.sent = True
            freeing = [h for h in self._hooks if h.frees(deletion.resource)]
            removal = self._removed(record, current, freeing)
            revision = await (to_the_end(removal) if freeing else removal)
        return Deleted(await self._answer(deletion, marked, revision), gone=True)

    async def _removed(self, record: Record, current: Json, freeing: Sequence[Hook]) -> int:
        _, revision = await storage_call(
            self._storage.delete(record.key, expected_revision=record.revision)
        )
        for hook in freeing:
            await hook.after_delete(current)
        return revision

    async def _update(self, deletion: Deletion, sight: Sight, marked: Json) -> Deleted:
        record = sight.record
        assert record is not None
        revision = record.revision
        value = self._versions.encode_stored(deletion.resource, marked)
        same = value == record.value and not record.stale
        if not same and not deletion.options.dry_run:
            sight.sent = True
            revision = await storage_call(
                self._storage.update(record.key, value, expected_revision=record.revision)
            )
        return Deleted(await self._answer(deletion, marked, revision), gone=False)

    async def _answer(self, deletion: Deletion, stored: Json, revision: int) -> Json:
        with_version(stored, revision)
        obj = await deletion.step(
            lambda: self._versions.from_stored(deletion.resource, deletion.version, stored)
        )
        assert obj is not None
        return obj


def _grace(obj: Json) -> int | None:
    period: int | None = obj["metadata"].get("deletionGracePeriodSeconds")
    return period


def _requested(options: DeleteOptions) -> int | None:
    grace = options.grace_period_seconds
    return grace if grace is None or grace >= 0 else 1  # as the real server reads a negative one


def _bump(meta: Json) -> None:
    if meta.get("generation", 0) > 0:
        meta["generation"] += 1


def check_preconditions(
    resource: ResourceType, name: str, options: DeleteOptions, meta: Json, *, named: bool = True
) -> None:
    """Raises ApiError 409 if the object is not the one that was meant. `named`: by its name, not as
    one of a collection.
    """
    wanted = options.preconditions
    if resource.strategy.own_deletion and named:
        _check_own(resource, name, wanted, meta)
    if wanted.uid is not None and wanted.uid != meta.get("uid"):
        raise _precondition_failed(
            resource,
            name,
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record "
            f"({meta.get('uid')}). The object might have been deleted and then recreated",
        )
    if wanted.resource_version is not None and (
        wanted.resource_version != meta.get("resourceVersion")
    ):
        raise _precondition_failed(
            resource,
            name,
            f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match "
            f"the ResourceVersion in record ({meta.get('resourceVersion')}). "
            "The object might have been modified",
        )


def _check_own(resource: ResourceType, name: str, wanted: Preconditions, meta: Json) -> None:
    """Kinds that are deleted in a way of their own have words of their own."""
    for field, value, found in (
        ("UID", wanted.uid, meta.get("uid")),
        ("ResourceVersion", wanted.resource_version, meta.get("resourceVersion")),
    ):
        if value is not None and value != found:
            raise errors.conflict(
                resource.group,
                resource.plural,
                name,
                f"precondition failed: {field} in precondition: {value}, "
                f"{field} in object meta: {found}",
            )


def _precondition_failed(resource: ResourceType, name: str, message: str) -> ApiError:
    """This one names the kind where others name the resource."""
    return errors.conflict(resource.group, resource.kind, name, message)
