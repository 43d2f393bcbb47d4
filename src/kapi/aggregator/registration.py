"""An APIService for every group version that custom kinds serve, kept as long as they do.

Follows the definitions and the APIServices. What somebody else registered under such a name is
left alone; what carries the label is made, put right and removed here, as the real server's
autoregistration does it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from kapi import log
from kapi.aggregator.api_services import GroupVersion
from kapi.clock import Clock
from kapi.controllers.follow import Begin, follow
from kapi.errors import ApiError

Json = dict[str, Any]
LABEL, ALWAYS = "kube-aggregator.kubernetes.io/automanaged", "true"
GROUP_PRIORITY, VERSION_PRIORITY = 1000, 100  # of custom kinds: after the built-in ones
RETRY_SECONDS = 1.0
TRIES_MAX = 5  # at one change; the next change tries again

_log = log.get("aggregator")


class Objects(Protocol):
    """APIServices as the server itself writes them."""

    def get(self, name: str) -> Json | None: ...

    async def create(self, obj: Json) -> None: ...

    async def update(self, obj: Json) -> None: ...

    async def delete(self, name: str) -> None: ...


class Registration:
    def __init__(self, clock: Clock, objects: Objects) -> None:
        self._clock = clock
        self._objects = objects
        self._of: dict[str, frozenset[GroupVersion]] = {}  # by the definition's name
        self._wanted: Counter[GroupVersion] = Counter()

    async def run(
        self, definitions: Iterable[Json], follow_definitions: Begin, follow_services: Begin
    ) -> None:
        """`definitions`: those that are there already. Until the server stops."""
        for definition in definitions:
            self._note(definition["metadata"]["name"], served(definition))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._definitions(follow_definitions))
            group.create_task(self._services(follow_services))

    async def _definitions(self, begin: Begin) -> None:
        async for kind, obj in follow(begin):
            now = frozenset() if kind == "DELETED" else served(obj)
            for group_version in sorted(self._note(obj["metadata"]["name"], now)):
                await self._settle(group_version)

    async def _services(self, begin: Begin) -> None:
        async for _, obj in follow(begin):
            spec = obj.get("spec") or {}
            group_version = (spec.get("group", ""), spec.get("version", ""))
            if group_version in self._wanted or _is_ours(obj):
                await self._settle(group_version)

    def _note(self, name: str, now: frozenset[GroupVersion]) -> frozenset[GroupVersion]:
        """Take down what a definition serves; the group versions to look at."""
        before = self._of.pop(name, frozenset())
        if now:
            self._of[name] = now
        for group_version in now - before:
            self._wanted[group_version] += 1
        for group_version in before - now:
            self._wanted[group_version] -= 1
            if not self._wanted[group_version]:
                del self._wanted[group_version]
        return before | now

    async def _settle(self, group_version: GroupVersion) -> None:
        for _ in range(TRIES_MAX):
            try:
                change = self._change(group_version)
                if change is not None:
                    await change()
                return
            except ApiError as error:
                if error.code in (404, 409):  # somebody was faster, and we shall hear of it
                    return
                name = name_of(group_version)
                _log.warning("APIService not written", name=name, problem=error.message)
                await self._clock.sleep(RETRY_SECONDS)

    def _change(self, group_version: GroupVersion) -> Callable[[], Awaitable[None]] | None:
        name = name_of(group_version)
        current = self._objects.get(name)
        if group_version in self._wanted:
            wanted = api_service(group_version)
            if current is None:
                return lambda: self._objects.create(wanted)
            if _is_ours(current) and current.get("spec") != wanted["spec"]:
                new = {**current, "spec": wanted["spec"]}
                return lambda: self._objects.update(new)
        elif current is not None and _is_ours(current):
            return lambda: self._objects.delete(name)
        return None


def served(definition: Json) -> frozenset[GroupVersion]:
    """The group versions that a definition serves."""
    spec = definition.get("spec") or {}
    return frozenset(
        (spec.get("group", ""), version.get("name", ""))
        for version in spec.get("versions") or ()
        if version.get("served")
    )


def name_of(group_version: GroupVersion) -> str:
    group, version = group_version
    return f"{version}.{group}"


def api_service(group_version: GroupVersion) -> Json:
    group, version = group_version
    return {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": name_of(group_version), "labels": {LABEL: ALWAYS}},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": GROUP_PRIORITY,
            "versionPriority": VERSION_PRIORITY,
        },
    }


def _is_ours(obj: Json) -> bool:
    return (obj["metadata"].get("labels") or {}).get(LABEL) == ALWAYS
