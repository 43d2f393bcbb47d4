"""The endpoints of the `kubernetes` service where several servers share a store: those that live.

Each server writes a key with its address and lets it end by itself unless it is written again
(`masterleases`, as the real server's "lease" reconciler). From the keys that are there, each makes
the Endpoints and the EndpointSlice, so that who dies is gone from them within `LEASE_S`. A server
that stops takes its key away first.

`background/loops.py` runs one `ServerEndpoints`; the store must end keys under `LEASES` by itself.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controlplane/reconcilers/lease.go
"""

from __future__ import annotations

from typing import Any, Final

from kapi import log
from kapi.clock import Clock
from kapi.codec import json_format
from kapi.controllers import kubernetes_service
from kapi.controllers.objects import Objects, ensure
from kapi.errors import ApiError
from kapi.storage import keys
from kapi.storage.interface import AlreadyExists, Conflict, NotFound, Storage, StorageError

Json = dict[str, Any]
LEASES: Final = f"{keys.ROOT}masterleases/"
LEASE_S: Final = 15
RENEW_S: Final = 10.0
ATTEMPTS_MAX: Final = 5

_log = log.get("endpoints")


class ServerEndpoints:
    """One per server. `address` is where others reach it."""

    def __init__(
        self, storage: Storage, objects: Objects, clock: Clock, address: str, port: int
    ) -> None:
        self._storage = storage
        self._objects = objects
        self._clock = clock
        self._address = address
        self._port = port
        self._key = f"{LEASES}{address}"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.step()
            await self._clock.sleep(RENEW_S)

    async def step(self) -> None:
        """Say that this server lives, and show who does."""
        try:
            await self._renew()
            await self._show()
        except (StorageError, ApiError) as error:
            _log.warning("the kubernetes service", error=str(error))

    async def stop(self) -> None:
        """This server lives no more."""
        try:
            record = await self._storage.get(self._key)
            if record is not None:
                await self._storage.delete(self._key, expected_revision=record.revision)
            await self._show()
        except (StorageError, ApiError) as error:
            _log.warning("the kubernetes service", error=str(error))

    async def _renew(self) -> None:
        for _ in range(ATTEMPTS_MAX):
            record = await self._storage.get(self._key)
            generation = 0
            if record is not None:
                found: Json = json_format.loads(record.value)
                generation = (found.get("metadata") or {}).get("generation", 0)
            value = json_format.dumps(
                {
                    "kind": "Endpoints",
                    "apiVersion": "v1",
                    "metadata": {"generation": generation + 1},
                    "subsets": [{"addresses": [{"ip": self._address}]}],
                }
            )
            try:
                if record is None:
                    await self._storage.create(self._key, value)
                else:
                    await self._storage.update(self._key, value, expected_revision=record.revision)
                return
            except (AlreadyExists, Conflict, NotFound):
                continue

    async def _show(self) -> None:
        addresses = []
        for record in (await self._storage.list(LEASES)).records:
            found: Json = json_format.loads(record.value)
            listed = [a.get("ip", "") for s in found.get("subsets") or () for a in s["addresses"]]
            addresses += [ip for ip in listed[:1] if ip]
        if addresses:  # else something is wrong with the store: better old ones than none
            for fixed in kubernetes_service.endpoints(addresses, self._port):
                await ensure(self._objects, fixed)
