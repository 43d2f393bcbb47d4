"""The ServiceCIDR `kubernetes` is ready, once it is there with the ranges of the flags.

Who changed the ranges in the flags is told by a word in the log: the object keeps the old ones,
which services may still use.
https://kubernetes.io/docs/reference/networking/virtual-ips/#default-servicecidr-considerations
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError
from kapi.storage.interface import StorageError

Json = dict[str, Any]
GROUP, PLURAL, NAME = "networking.k8s.io", "servicecidrs", "kubernetes"
MANAGER = "kubernetes-service-cidr-controller"
READY, MESSAGE = "Ready", "Kubernetes default Service CIDR is ready"
LOOK_S = 60.0

_log = log.get("service-ranges")


class Objects(Protocol):
    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None: ...

    async def apply(
        self, group: str, plural: str, subresource: str, config: Json, manager: str
    ) -> None: ...


class DefaultServiceRange:
    def __init__(self, clock: Clock, objects: Objects, ranges: Sequence[str]) -> None:
        self._clock = clock
        self._objects = objects
        self._ranges = list(ranges)
        self._told = False

    async def run(self) -> None:
        """Until cancelled; the start made the first step."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.step()

    async def step(self) -> None:
        try:
            await self._step()
        except (ApiError, StorageError) as error:
            _log.warning("the default service range", error=str(error))

    async def _step(self) -> None:
        found = await self._objects.get(GROUP, PLURAL, "", NAME)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        cidrs = (found.get("spec") or {}).get("cidrs") or []
        if cidrs != self._ranges:
            if not self._told:
                _log.warning("the default service range is not that of the flags", has=cidrs)
                self._told = True
            return
        conditions = (found.get("status") or {}).get("conditions") or ()
        if any(c.get("type") == READY for c in conditions):
            return
        condition = {
            "type": READY,
            "status": "True",
            "message": MESSAGE,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        config = {
            "kind": "ServiceCIDR",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {"name": NAME},
            "status": {"conditions": [condition]},
        }
        await self._objects.apply(GROUP, PLURAL, "status", config, MANAGER)
