"""Custom kinds, live: every CustomResourceDefinition gets its names and is served, or not any more.

One loop follows the definitions. It decides which names are accepted (`naming.py`), says so in the
status, and swaps the ResourceType in (`serving.py`) as soon as all of them are; a change of the
definition swaps in another one, a deletion removes the instances first and the kind last. Since
one loop does all this in order, two definitions never get one name.

What it wrote itself counts at once, not only when the change comes back: an older event says
nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

import orjson

from kapi import log
from kapi.apiextensions.naming import Taken, accepted_names, decide
from kapi.apiextensions.serving import Blueprint, Surroundings
from kapi.cacher.event import Event, Item
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError
from kapi.kinds.definitions.apiextensions import GROUP, PLURAL
from kapi.kinds.definitions.conditions import (
    CLEANUP,
    ESTABLISHED,
    NAMES_ACCEPTED,
    TERMINATING,
    condition_of,
    is_true,
    set_condition,
)
from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]
# How often it is looked whether the instances of a deleted kind are gone, and at most how rarely.
CLEANUP_POLL_S = 0.05
CLEANUP_POLL_MAX_S = 5.0
# Built-in kinds that are stored where a custom kind of this name would be: never to be removed.
_OVERLAPPING = frozenset({("apiregistration.k8s.io", "apiservices"), (GROUP, PLURAL)})

_log = log.get("definitions")


class Watching(Protocol):
    async def batch(self) -> Sequence[tuple[str, Any]]: ...

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Effects:
    """What it does to the server."""

    serve: Callable[[ResourceType], None]
    unserve: Callable[[str, str], None]
    # A definition as the cache has it.
    read: Callable[[str], Json | None]
    # Stores the status (and finalizers) of a definition at its resourceVersion; gives the
    # definition as it is then. Raises ApiError 404, 409.
    write: Callable[[Json], Awaitable[Json]]
    # Deletes every instance of a kind that can be; tells how many are left.
    delete_instances: Callable[[ResourceType, Version], Awaitable[int]]


@dataclass(slots=True)
class _Known:
    """What is remembered of a definition."""

    group: str
    accepted: Json
    revision: int = 0
    written: int = 0  # the last revision that this loop made itself
    state: bytes = b""  # spec and accepted names: what a ResourceType is made of
    waiting: bool = False  # for a name that somebody else has
    blueprint: Blueprint | None = None
    cleaning: asyncio.Task[None] | None = None


class Definitions:
    """One per server."""

    def __init__(self, clock: Clock, around: Surroundings, effects: Effects) -> None:
        self._clock = clock
        self._around = around
        self._effects = effects
        self._known: dict[str, _Known] = {}
        self._groups: dict[str, dict[str, _Known]] = {}

    def load(self, definitions: Iterable[Json]) -> None:
        """Serve what was served when the server stopped. Before `run`."""
        for definition in definitions:
            self._serve(definition, self._remember(definition))

    async def run(self, begin: Callable[[], Awaitable[Watching | None]]) -> None:
        """Follow the definitions until the server stops. `begin` starts a watch that tells first
        what is there.
        """
        async with asyncio.TaskGroup() as tasks:
            while (watcher := await begin()) is not None:
                try:
                    while deliveries := await watcher.batch():
                        for kind, what in deliveries:
                            await self._event(kind, what, tasks)
                finally:
                    watcher.end()

    async def _event(self, kind: str, what: Any, tasks: asyncio.TaskGroup) -> None:
        item = what.item if isinstance(what, Event) else what
        if not isinstance(item, Item):
            return
        known = self._known.get(item.name)
        if kind == "DELETED":
            await self._gone(item.name)
        elif known is None or item.revision > known.revision or not known.written:
            definition = item.decode()
            await self._changed(definition)
            self._clean_up(definition, tasks)

    # -- one definition ---------------------------------------------------------------------------

    def _remember(self, definition: Json) -> _Known:
        name, group = definition["metadata"]["name"], definition["spec"]["group"]
        accepted = accepted_names(definition)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known(group, accepted)
            self._groups.setdefault(group, {})[name] = known
        known.accepted = accepted
        known.revision = int(definition["metadata"]["resourceVersion"])
        known.waiting = not is_true(definition, NAMES_ACCEPTED)
        state = (definition["spec"], accepted)
        known.state = sha256(orjson.dumps(state, option=orjson.OPT_SORT_KEYS)).digest()
        return known

    async def _changed(self, definition: Json) -> None:
        name = definition["metadata"]["name"]
        known = self._known.get(name)
        before = known.accepted if known is not None else {}
        settled = await self._settle(definition)
        known = self._remember(settled or definition)
        if settled is not None:
            known.written = known.revision
        self._serve(settled or definition, known)
        if before and before != known.accepted:
            await self._names_came_free(known.group, name)

    async def _settle(self, definition: Json) -> Json | None:
        """Names and conditions as they ought to be; the definition with them, if they were not."""
        if "deletionTimestamp" in definition["metadata"]:
            return None
        name = definition["metadata"]["name"]
        neighbours = self._groups.get(definition["spec"]["group"], {})
        accepted = [known.accepted for other, known in neighbours.items() if other != name]
        accepted.append(accepted_names(definition))  # one name cannot serve twice
        status = decide(definition, Taken.by(accepted), rfc3339(self._clock.now()))
        if status == definition.get("status"):
            return None
        try:
            return await self._effects.write({**definition, "status": status})
        except ApiError as e:
            if e.code not in (404, 409):  # changed meanwhile: that change comes, too
                _log.warning("status", name=name, error=e.message)
            return None

    async def _names_came_free(self, group: str, name: str) -> None:
        for other, known in list(self._groups.get(group, {}).items()):
            if other != name and known.waiting:
                definition = self._effects.read(other)
                if definition is not None:
                    await self._changed(definition)

    async def _gone(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is None:
            return
        del self._groups[known.group][name]
        if not self._groups[known.group]:
            del self._groups[known.group]
        if known.cleaning is not None:
            known.cleaning.cancel()
        self._unserve(known)
        await self._names_came_free(known.group, name)

    # -- serving ----------------------------------------------------------------------------------

    def _serve(self, definition: Json, known: _Known) -> None:
        if not is_true(definition, ESTABLISHED):
            self._unserve(known)
            return
        terminating = "deletionTimestamp" in definition["metadata"]
        old = known.blueprint
        if old is None or old.state != known.state:
            fresh = known.blueprint = Blueprint(definition, known.state, self._around)
            self._show(fresh, terminating=terminating)
            if old is not None:
                old.forget()
        elif terminating != old.terminating:
            self._show(old, terminating=terminating)

    def _show(self, blueprint: Blueprint, *, terminating: bool) -> None:
        blueprint.terminating = terminating
        resource = blueprint.resource
        self._effects.serve(replace(resource, terminating=True) if terminating else resource)

    def _unserve(self, known: _Known) -> None:
        blueprint, known.blueprint = known.blueprint, None
        if blueprint is not None:
            self._effects.unserve(blueprint.group, blueprint.plural)
            blueprint.forget()

    # -- deletion ---------------------------------------------------------------------------------

    def _clean_up(self, definition: Json, tasks: asyncio.TaskGroup) -> None:
        """Begin to remove the instances of a kind that is deleted."""
        meta = definition["metadata"]
        known = self._known.get(meta["name"])
        if known is None or "deletionTimestamp" not in meta or not _to_clean(definition):
            return
        if known.cleaning is None or known.cleaning.done():
            known.cleaning = tasks.create_task(self._clean(meta["name"], known))

    async def _clean(self, name: str, known: _Known) -> None:
        wait = CLEANUP_POLL_S
        while (definition := self._effects.read(name)) is not None and _to_clean(definition):
            try:
                if await self._clean_once(definition, known):
                    return
            except ApiError as e:
                if e.code not in (404, 409):
                    _log.warning("instances of a deleted kind", name=name, error=e.message)
            await self._clock.sleep(wait)
            wait = min(2 * wait, CLEANUP_POLL_MAX_S)

    async def _clean_once(self, definition: Json, known: _Known) -> bool:
        """Whether the instances are gone, and the definition free to go."""
        blueprint = known.blueprint
        spec = definition["spec"]
        if (spec["group"], spec["names"]["plural"]) in _OVERLAPPING:
            return await self._free(definition, *_OVERLAPS)
        if blueprint is None:
            return await self._free(definition, *_NEVER_SERVED)
        definition = await self._tell(definition, "True", *_UNDER_WAY)
        left = await self._effects.delete_instances(blueprint.resource, blueprint.storage_version)
        if left:
            return False
        return await self._free(definition, *_COMPLETED)

    async def _tell(self, definition: Json, status: str, reason: str, message: str) -> Json:
        found = {**definition, "status": dict(definition.get("status") or {})}
        wanted = condition_of(TERMINATING, status, reason, message)
        set_condition(found["status"], wanted, rfc3339(self._clock.now()))
        if found["status"] == definition.get("status"):
            return definition
        return await self._effects.write(found)

    async def _free(self, definition: Json, reason: str, message: str) -> bool:
        meta = dict(definition["metadata"])
        meta["finalizers"] = [f for f in meta.get("finalizers") or () if f != CLEANUP]
        await self._tell({**definition, "metadata": meta}, "False", reason, message)
        return True


def _to_clean(definition: Json) -> bool:
    return CLEANUP in (definition["metadata"].get("finalizers") or ())


_UNDER_WAY = ("InstanceDeletionInProgress", "CustomResource deletion is in progress")
_COMPLETED = ("InstanceDeletionCompleted", "removed all instances")
_NEVER_SERVED = ("NeverEstablished", "resource was never established")
_OVERLAPS = (
    "OverlappingBuiltInResource",
    "instances overlap with built-in resources in storage",
)
