"""The loop that tends APIServices: one task for each that is served elsewhere.

It checks whether the backend is there, writes the `Available` condition, and has discovery and
OpenAPI fetched. A backend that is slow or dead holds up nobody but its own task. Checks happen when
the APIService, its service or its endpoints change, every half minute, and after a failure again
and again, ever more rarely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kapi import log
from kapi.aggregator import checks
from kapi.aggregator.api_services import ApiServices, Backend, backend_of, condition_of
from kapi.aggregator.checks import Prober, by_cache, with_condition
from kapi.aggregator.remote_documents import RemoteDocuments
from kapi.clock import Clock, rfc3339
from kapi.controllers.follow import Begin
from kapi.errors import ApiError
from kapi.outgoing.services import ServiceResolver

Json = dict[str, Any]
RESYNC_SECONDS = 30.0
REFETCH_SECONDS = 60.0  # discovery of a backend that is well
RETRY_SECONDS = (0.05, 30.0)  # first and longest wait after a failure
BACKENDS_MAX = 1_000  # tended at a time

Read = Callable[[str], Json | None]  # an APIService by name
Write = Callable[[Json], Awaitable[Json]]  # its status

_log = log.get("aggregator")


class Tending:
    def __init__(
        self,
        clock: Clock,
        services: ApiServices,
        documents: RemoteDocuments,
        prober: Prober,
        resolver: ServiceResolver,
        *,
        read: Read,
        write: Write,
    ) -> None:
        self._clock = clock
        self._services = services
        self._documents = documents
        self._prober = prober
        self._lookup, self._slices = resolver.lookup, resolver.slices
        self._read = read
        self._write = write
        self._nudges: dict[str, asyncio.Event] = {}

    async def run(self, api_services: Begin, *others: Begin) -> None:
        """`others`: what the checks look at, besides. Until the server stops."""
        changed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(_tell(api_services, changed.set))]
            followers += [group.create_task(_tell(begin, self._nudge_all)) for begin in others]
            keeper = group.create_task(self._keep(group, changed))
            await asyncio.wait(followers)
            keeper.cancel()
            for nudge in self._nudges.values():
                nudge.set()

    def _nudge_all(self) -> None:
        for nudge in self._nudges.values():
            nudge.set()

    async def _keep(self, group: asyncio.TaskGroup, changed: asyncio.Event) -> None:
        """A task for every backend, none for those that are gone."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                names = {backend.name for backend in self._services.backends().values()}
                for name in [name for name in tasks if name not in names]:
                    tasks.pop(name).cancel()
                    del self._nudges[name]
                    await self._say(name, checks.LOCAL)  # if it is still there
                for name in sorted(names - tasks.keys())[: BACKENDS_MAX - len(tasks)]:
                    self._nudges[name] = asyncio.Event()
                    tasks[name] = group.create_task(self._tend(name, self._nudges[name]))
                self._nudge_all()
                await changed.wait()
                changed.clear()
        finally:
            for task in tasks.values():
                task.cancel()

    async def _tend(self, name: str, nudge: asyncio.Event) -> None:
        """What goes wrong with one must not end the others."""
        while True:
            try:
                await self._tend_while_there(name, nudge)
                return
            except Exception:
                _log.exception("tending an APIService failed", name=name)
                await self._clock.sleep(RETRY_SECONDS[1])

    async def _tend_while_there(self, name: str, nudge: asyncio.Event) -> None:
        seen: Any = None
        wait, fetched_at = 0.0, -REFETCH_SECONDS
        retry = RETRY_SECONDS[0]
        due = 0.0
        while (obj := self._read(name)) is not None and (backend := backend_of(obj)) is not None:
            nudge.clear()
            looks = self._looks(obj, backend)
            now = self._clock.monotonic()
            if looks != seen or now >= due:
                if looks != seen:
                    retry, fetched_at = RETRY_SECONDS[0], -REFETCH_SECONDS
                seen = looks
                well = await self._check(name, backend)
                if well and now - fetched_at >= REFETCH_SECONDS:
                    well = await self._documents.fetch(backend)
                    fetched_at = now
                elif not well:
                    self._documents.mark_stale(backend)
                    fetched_at = -REFETCH_SECONDS
                retry = RETRY_SECONDS[0] if well else min(retry * 2, RETRY_SECONDS[1])
                wait = RESYNC_SECONDS if well else retry
                due = self._clock.monotonic() + wait
            await self._nudged(nudge, due - self._clock.monotonic())

    def _looks(self, obj: Json, backend: Backend) -> Any:
        """What a check would see; if it is as before, only time calls for another one."""
        service = self._lookup("services", backend.namespace, backend.service)
        slices = self._slices(backend.namespace, backend.service)
        endpoints = self._lookup("endpoints", backend.namespace, backend.service)
        versions = [
            (o or {}).get("metadata", {}).get("resourceVersion") for o in (service, endpoints)
        ]
        pieces = [s["metadata"].get("resourceVersion") for s in slices]
        return obj.get("spec"), obj["metadata"].get("uid"), versions, pieces

    async def _nudged(self, nudge: asyncio.Event, seconds: float) -> None:
        """Until something changed, or the time is over."""
        loop = asyncio.get_running_loop()
        waits = [
            loop.create_task(nudge.wait()),
            loop.create_task(self._clock.sleep(max(seconds, 0.0))),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _check(self, name: str, backend: Backend) -> bool:
        """Whether the backend is there, and its object says so."""
        service = self._lookup("services", backend.namespace, backend.service)
        slices = self._slices(backend.namespace, backend.service)
        endpoints = self._lookup("endpoints", backend.namespace, backend.service)
        found = by_cache(backend, service, slices, endpoints)
        if found is None:
            found = await self._prober.check(backend)
        said = await self._say(name, found)
        return said and found.status == "True"

    async def _say(self, name: str, found: checks.Condition) -> bool:
        """Write the condition, unless it says so already. False if that must be tried again."""
        obj = self._read(name)
        if obj is None or (backend_of(obj) is None) != (found is checks.LOCAL):
            return True
        new = with_condition(obj, found, rfc3339(self._clock.now()))
        if new is None:
            return True
        old = condition_of(obj) or {}
        if old.get("status") != found.status:
            _log.info("availability", name=name, now=found.status, why=found.reason)
        try:
            await self._write(new)
        except ApiError as error:
            if error.code not in (404, 409):  # somebody was faster: the change calls us again
                _log.warning("availability not written", name=name, problem=error.message)
            return False
        return True


async def _tell(begin: Begin, changed: Callable[[], None]) -> None:
    """Call at every change, until the server stops."""
    while (watcher := await begin()) is not None:
        try:
            while await watcher.batch():
                changed()
        finally:
            watcher.end()
