"""What the server keeps in place while it runs: system namespaces, the `kubernetes` service, flow
control, its own API services, the default service range and the config maps of kube-system.

Every ten seconds it looks into the cache, and writes only what is missing or other than it should
be. Roles and priority classes are the start's business, as on the real server: who deletes one
means it, until the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock
from kapi.controllers.objects import Fixed, Objects, ensure
from kapi.errors import ApiError
from kapi.storage.interface import StorageError

Json = dict[str, Any]
LOOK_S = 10.0

_log = log.get("upkeep")


class Lister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...


class Upkeep:
    """`wanted` is asked at each look: certificates in it may have been replaced."""

    def __init__(
        self,
        clock: Clock,
        wanted: Callable[[], Iterable[Fixed]],
        lister: Callable[[str, str], Lister],
        objects: Objects,
    ) -> None:
        self._clock = clock
        self._wanted = wanted
        self._lister = lister
        self._objects = objects

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.step()

    async def step(self) -> int:
        """How many objects were written."""
        try:
            wanted = list(self._wanted())
        except OSError as error:  # a file of certificates is just being replaced
            _log.warning("cannot read what should be there", error=str(error))
            return 0
        written = 0
        for fixed in wanted:
            existing = self._lister(fixed.group, fixed.resource).get(fixed.namespace, fixed.name)
            if existing is not None and not _differs(fixed, existing):
                continue
            try:
                await ensure(self._objects, fixed)
                written += 1
            except (ApiError, StorageError) as error:
                # A namespace that is being deleted, say: it comes back when it is gone.
                _log.debug("not yet", resource=fixed.resource, name=fixed.name, error=str(error))
        return written


def _differs(fixed: Fixed, existing: Json) -> bool:
    return fixed.merge is not None and fixed.merge(existing, fixed.object) is not None
